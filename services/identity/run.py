"""Runs decisions: read, decide, commit one unit, and again when something moved meanwhile.

A decision is a function from the database to a `Draft`. It reads what it needs together with the versions of
the heads that guard it, calls a pure decider, and says what is to be kept. Nothing here knows a rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from muster_contracts.attempts import AttemptRefused
from muster_contracts.events import Actor, Event, Stamp
from muster_contracts.personal import split

from services.identity.log import seal
from services.identity.store import Answer, Claim, Conflict, Fact, Store, Unit, Write
from services.identity.vault import taken_by
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from services.kit.persons import NewKey, PersonKeys
from services.kit.postgres import Database, Pool, dumps
from services.kit.sealing import Sealer

PATIENCE_SECONDS = 2.0


class Busy(Unavailable):
    """Too many changes to the same thing at once; try again."""

    code = "busy"


@dataclass(frozen=True, slots=True)
class Origin:
    """Who does it, from where and why: stamped onto every event of the unit.

    `key` is the API key through which they do it. `reads` are the heads that the actor's right rests on.
    `recorded_at` is None outside of seeding: the database says when it recorded.
    """

    org: str
    actor: Actor
    now: datetime
    request_id: str
    ip: str | None = None
    user_agent: str | None = None
    traceparent: str | None = None
    session_id: str | None = None
    key: str | None = None
    reason: str | None = None
    causation_id: str | None = None
    reads: Mapping[str, int] = field(default_factory=dict[str, int])
    recorded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What a decision wants kept, and what its caller is answered.

    Args:
        events: in the order of api.md §3's table; their streams start at `reads` (0 where absent: a new
        stream).
        streams: stream of each event where the event itself does not name it (attempts).
        reads: heads that the decision relied on, beside the actor's.
        touches: guards that it advances; each must be in `reads`.
        claims, releases, writes: see `store.Unit`.
        persons: keys of the people that it creates.
        body: members of the answer; None: there is nothing to answer.
        secret: members that only the first answer shows.
        status: of the answer.
    """

    events: Sequence[Event] = ()
    streams: Sequence[str | None] = ()
    reads: Mapping[str, int] = field(default_factory=dict[str, int])
    touches: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    releases: tuple[str, ...] = ()
    writes: tuple[Write, ...] = ()
    persons: tuple[NewKey, ...] = ()
    body: dict[str, Any] | None = None
    secret: dict[str, Any] = field(default_factory=dict[str, Any])
    status: int = 200


@dataclass(frozen=True, slots=True)
class Done:
    """A committed draft: `position` of its last event (the log's head for one without), facts with ids."""

    draft: Draft
    facts: tuple[Fact, ...]
    position: int | None


Decide = Callable[[Database], Awaitable[tuple[Origin, Draft]]]
MakeAnswer = Callable[[Draft, tuple[Fact, ...]], Answer | None]


class Runner:
    """Decides and commits; one for a process."""

    def __init__(self, pool: Pool, store: Store, keys: PersonKeys) -> None:
        self.pool = pool
        self.keys = keys
        self._store = store
        self._queues: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def run(self, decide: Decide, *, dry_run: bool = False, answer: MakeAnswer | None = None) -> Done:
        """Decide until the unit commits, for at most two seconds.

        Args:
            decide: called anew for each try, with the pool: statements outside of a transaction.
            dry_run: stop before the commit; `position` is None and nothing is written.
            answer: makes the idempotent answer that is kept with the unit.

        Raises:
            Busy: it did not get through in time.
            MusterError: whatever `decide` refuses.
        """
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        hot: frozenset[str] = frozenset()
        while True:
            async with self._queued(hot, deadline):
                # The place is kept as long as it is enough: behind all others again, one might never have a turn.
                place = hot
                while hot <= place:
                    try:
                        return await self._attempt(decide, place, dry_run, answer)
                    except Conflict as conflict:
                        hot |= conflict.heads
                    if asyncio.get_running_loop().time() > deadline:
                        raise Busy(retry_after=1)

    async def _attempt(
        self, decide: Decide, place: frozenset[str], dry_run: bool, answer: MakeAnswer | None
    ) -> Done:
        origin, draft = await decide(self.pool)
        facts = tuple(_facts(origin, draft))
        if dry_run:
            return Done(draft, facts, None)
        unit = await self._unit(origin, draft, facts, answer)
        if awaited := {head for head in unit.advances() if head not in place and self._is_awaited(head)}:
            raise Conflict(awaited)  # who has queued for it goes first
        return Done(draft, facts, await self._store.commit(unit))

    async def _unit(
        self, origin: Origin, draft: Draft, facts: tuple[Fact, ...], answer: MakeAnswer | None
    ) -> Unit:
        # The actor and the target may share a head, read at different moments: what the right rested on has moved.
        if moved := {
            head for head, version in origin.reads.items() if draft.reads.get(head, version) != version
        }:
            raise Conflict(moved)
        new = {key.id: key for key in draft.persons}
        sealers = await self._sealers(origin, draft.events, new)
        starts = {fact.stream: 0 for fact in facts}
        return Unit(
            org=origin.org,
            facts=facts,
            rows=_rows(origin, facts, sealers),
            reads={**starts, **origin.reads, **draft.reads},
            touches=draft.touches,
            claims=draft.claims,
            releases=draft.releases,
            keys=tuple((key.id, key.master, key.wrapped, origin.now) for key in new.values()),
            writes=(*taken_by(draft.events, origin.now), *draft.writes),
            answer=answer(draft, facts) if answer else None,
        )

    async def _sealers(
        self, origin: Origin, events: Sequence[Event], new: Mapping[str, NewKey]
    ) -> dict[str, Sealer]:
        wanted = {person for event in events if (person := event.person())} | {_actor_key(origin)}
        found = await self.keys.fetch(self.pool, wanted - new.keys())
        sealers = {owner: sealer for owner, sealer in found.items() if sealer is not None}
        return sealers | {owner: key.sealer for owner, key in new.items()}

    def _is_awaited(self, head: str) -> bool:
        lock = self._queues.get(head)
        return lock is not None and lock.locked()

    @asynccontextmanager
    async def _queued(self, heads: Iterable[str], deadline: float) -> AsyncIterator[None]:
        """Hold this process's place on heads that turned out hot, so that its tries do not fight each other."""
        held: list[asyncio.Lock] = []
        try:
            for head in sorted(heads):
                lock = self._queues.setdefault(head, asyncio.Lock())
                try:
                    async with asyncio.timeout_at(deadline):
                        await lock.acquire()
                except TimeoutError:
                    raise Busy(retry_after=1) from None
                held.append(lock)
            yield
        finally:
            for lock in held:
                lock.release()


def _actor_key(origin: Origin) -> str:
    """Whose key seals name and address of the actor: the person's; the organization's for what is no person."""
    return origin.actor.id if origin.actor.type == "user" and origin.actor.id else origin.org


def _facts(origin: Origin, draft: Draft) -> Iterable[Fact]:
    versions = dict(draft.reads)
    action_ms = int(origin.now.timestamp() * 1000)
    for n, event in enumerate(draft.events):
        stream = event.stream() or (draft.streams[n] if n < len(draft.streams) else None)
        if stream is None:
            raise ValueError(f"{event.type} needs a stream")
        versions[stream] = versions.get(stream, 0) + 1
        yield Fact(
            new_id("evt", action_ms), stream, versions[stream], event, origin.now, origin.ip, origin.user_agent
        )  # fmt: skip


def _rows(
    origin: Origin, facts: tuple[Fact, ...], sealers: Mapping[str, Sealer]
) -> tuple[tuple[Any, ...], ...]:
    action = new_id("act")
    return tuple(_row(origin, fact, action, sealers) for fact in facts)


def _row(origin: Origin, fact: Fact, action: str, sealers: Mapping[str, Sealer]) -> tuple[Any, ...]:
    """The columns of `append` in its order; personal data is sealed under the keys of those it is about."""
    event, person = fact.event, fact.event.person()
    stamp = Stamp(
        actor=origin.actor, ip=origin.ip, user_agent=origin.user_agent, reason=origin.reason,
        session_id=origin.session_id,
    )  # fmt: skip
    # Who is not signed in and acts on a person's account (sign-in, reset) is taken for that person.
    self_act = person in sealers and origin.actor.id in (person, None)
    parts = split(event, stamp, self_act=self_act)
    actor_key = _actor_key(origin)
    if person and parts.target and person not in sealers and not isinstance(event, AttemptRefused):
        raise LookupError(f"no key of the person that {event.type} is about")
    # Refusals that were summed up may be written when the key of who caused them is gone; a command's cannot.
    of_actor = sealers.get(actor_key) if isinstance(event, AttemptRefused) else sealers[actor_key]
    sealed = seal(fact.id, parts, sealers.get(person or ""), of_actor)
    return (
        fact.id, origin.org, fact.stream, fact.version, event.type, event.version, action,
        fact.occurred_at, origin.recorded_at, origin.request_id, origin.traceparent, origin.causation_id,
        origin.session_id, origin.actor.type, origin.actor.id, person, dumps(sealed.open),
        person if parts.target else None, sealed.target, actor_key if parts.actor else None, sealed.actor,
        origin.key,
    )  # fmt: skip
