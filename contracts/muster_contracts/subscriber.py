"""What a subscriber needs besides a Kafka client: decoding, duplicates, gaps, and a copy of the directory.

Nothing here talks to anyone. Kafka delivers at least once, so a record may come again, and always in the same
order; whoever keeps state applies each event once, and notices when one is missing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Protocol

from muster_contracts.directory import DirectoryUser, read_directory
from muster_contracts.envelope import Envelope, from_record

_MANY = 100_000


class KafkaRecord(Protocol):
    """What every Kafka client for Python calls a record in one way or another; aiokafka exactly so."""

    @property
    def topic(self) -> str: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Iterable[tuple[str, bytes | None]]: ...


def decode(record: KafkaRecord) -> Envelope:
    """Return the event in a record.

    Raises:
        Undecodable: it is no event of ours and will never be: put it aside and go on.
    """
    return from_record(record.topic, record.key, record.value, record.headers)


class Deduplicator:
    """Remembers the ids of the last events; enough where an event leads to an act, and no state is built."""

    def __init__(self, capacity: int = _MANY) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._capacity = capacity

    def first(self, envelope: Envelope) -> bool:
        """Say whether this event comes for the first time, and remember it."""
        if envelope.id in self._seen:
            return False
        self._seen[envelope.id] = None
        if len(self._seen) > self._capacity:
            self._seen.popitem(last=False)
        return True


class Verdict(Enum):
    """What to do with an event."""

    APPLY = "apply"
    SEEN = "seen"
    GAP = "gap"


class GapCheck:
    """Keeps the last sequence of each stream: what was seen is dropped, the next is applied, a gap reported.

    The first sequence seen of a stream is its base, since a topic keeps seven days only. A higher epoch is a
    restored log: the stream begins anew there. Streams that were silent for longest are forgotten first.
    """

    def __init__(self, capacity: int = _MANY) -> None:
        self._last: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._capacity = capacity

    def check(self, envelope: Envelope) -> Verdict:
        """Say what to do; after a gap the stream stays where it was until the missing events are checked."""
        here = (envelope.epoch or 0, envelope.sequence)
        last = self._last.get(envelope.subject)
        if last and here <= last:
            self._last.move_to_end(envelope.subject)
            return Verdict.SEEN
        if last and here[0] == last[0] and here[1] > last[1] + 1:
            return Verdict.GAP
        self._keep(envelope.subject, here)
        return Verdict.APPLY

    def missing(self, envelope: Envelope) -> range:
        """Return the sequences that must come before this event."""
        last = self._last.get(envelope.subject)
        return range(last[1] + 1 if last else envelope.sequence, envelope.sequence)

    def _keep(self, subject: str, here: tuple[int, int]) -> None:
        self._last[subject] = here
        self._last.move_to_end(subject)
        if len(self._last) > self._capacity:
            self._last.popitem(last=False)


class Replica:
    """A copy of the directory in memory: read the topic from its beginning, and feed every record in."""

    def __init__(self) -> None:
        self._users: dict[str, DirectoryUser] = {}
        self._gone: set[str] = set()

    def feed(self, record: KafkaRecord) -> None:
        """Take a record in; an older state, and whatever follows a tombstone, changes nothing.

        Raises:
            Undecodable: it is no record of the directory.
        """
        user_id, user = read_directory(record.key, record.value)
        if user is None:
            self._gone.add(user_id)
            self._users.pop(user_id, None)
        elif user_id not in self._gone and self._is_news(user):
            self._users[user_id] = user

    def _is_news(self, user: DirectoryUser) -> bool:
        known = self._users.get(user.id)
        return known is None or (user.epoch, user.version) >= (known.epoch, known.version)

    def get(self, user_id: str) -> DirectoryUser | None:
        """Return a user as last heard of, None when unknown or gone."""
        return self._users.get(user_id)

    def __iter__(self) -> Iterator[DirectoryUser]:
        return iter(self._users.values())

    def __len__(self) -> int:
        return len(self._users)
