"""An event with its CloudEvents attributes, and its way into a Kafka record and back.

CloudEvents 1.0, binary mode: an attribute is a header `ce_…`, the data is the value. Who reads must expect
anything in a topic: whatever is malformed raises `Undecodable`, and nothing else is ever raised.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from muster_contracts import registry
from muster_contracts.attributes import read_headers, write_headers
from muster_contracts.errors import Undecodable, UnknownEvent
from muster_contracts.events import Data, Event, Stamp
from muster_contracts.strict_json import dump, load
from muster_contracts.wire import check, complete, stamp_of

Headers = list[tuple[str, bytes]]


class Record(NamedTuple):
    """What Kafka gets; a null value says: forget what this key stood for."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An event as it is published; `data` is its own fields and the stamp, as plain JSON values.

    Optional attributes are None where they are left out: events of the notifier have no position, those of
    other teams' services little beyond what CloudEvents asks for.
    """

    id: str
    source: str
    type: str
    version: int
    subject: str
    partition_key: str
    sequence: int
    time: datetime
    recorded_time: datetime | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    auth_type: str | None = None
    auth_id: str | None = None
    data_classification: str | None = None
    org: str
    action: str | None = None
    position: int | None = None
    epoch: int | None = None
    data: Data

    def event(self) -> Event:
        """Return the event in the newest version of its class.

        Raises:
            UnknownEvent: this release does not know the type or the version.
            Undecodable: the data is not what the schema says; never after `from_record`.
        """
        return registry.read(self.type, self.version, self.data)

    def stamp(self) -> Stamp:
        """Return who did it, from where and why."""
        return stamp_of(self.data)

    @property
    def erased(self) -> bool:
        """True where the person whom the event is about was erased: what was personal is null."""
        return self.data.get("erased") is True


def to_record(envelope: Envelope) -> Record:
    """Return the Kafka record of an event.

    Raises:
        UnknownEvent: this release does not know the type, so neither its topic.
    """
    topic = registry.topic_of(envelope.type)
    if topic is None:
        raise UnknownEvent(envelope.type, envelope.version)
    key = envelope.partition_key.encode()
    return Record(topic.name, key, dump(envelope.data), write_headers(envelope))


def from_record(
    topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Envelope:
    """Return the event in a record; for a type or version of a newer release, too.

    Raises:
        Undecodable: whatever is wrong with it.
    """
    try:
        return _read(topic, key, value, headers)
    except Undecodable:
        raise
    except Exception as error:  # a consumer that dies of one record never gets to the next
        raise Undecodable(f"{type(error).__name__} while reading") from error


def _read(
    topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]]
) -> Envelope:
    if value is None:
        raise Undecodable("no value")
    attributes = read_headers(headers)
    if key != attributes["partition_key"].encode():
        raise Undecodable("ce_partitionkey is not the key")
    data = load(value)
    type_, version = attributes["type"], attributes["version"]
    # Who may write to one topic must not be able to say there what belongs to another.
    home = registry.topic_of(type_)
    if home and home.name != topic:
        raise Undecodable(f"{type_} does not belong to {topic}")
    try:
        kind = registry.find(type_, version)
    except UnknownEvent:
        stamp_of(data)
    else:
        check(kind, value)
        data = complete(kind, data)
    return Envelope(**attributes, data=data)
