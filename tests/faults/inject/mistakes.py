"""Known mistakes, each one that somebody might make in good faith: the checker has to find every one of them.

They are put into the child of a nursery from outside; what ships holds no switch for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from muster_contracts.envelope import to_record
from muster_contracts.topics import NOTIFICATIONS, SESSION_KILLS

from services.identity import log, store
from services.identity.relay import IdentityLog
from services.identity.run import Runner
from services.identity.store import Store, _Batch, _settle
from services.kit import consumer
from services.kit.consumer import Consumer
from services.kit.parked import Raw
from services.kit.postgres import Connection
from services.kit.relay import Publish, Relay
from services.notifier import intake, outbox, streams
from tests.faults.inject.points import Place

PREPARED = {
    "position_from_sequence": (
        "identity",
        "CREATE SEQUENCE log_positions; GRANT ALL ON SEQUENCE log_positions TO identity",
    ),
    "no_inbox": ("notifier", "ALTER TABLE messages DROP CONSTRAINT messages_event_id_kind_key"),
}
"""What a mistake would have changed in the migrations: service and statements."""


def cursor_before_ack(place: Place) -> None:
    """The relay notes how far it is before Kafka has acknowledged it."""

    async def publish_all(
        self: Relay, connection: Connection, publish: Publish, cursor: Any, cluster: str
    ) -> None:
        await self._source.on_lead(connection, cursor.position, publish)
        while not self._stop.is_set():
            self._wake.clear()
            if page := await self._source.read(connection, cursor.position, 1000):
                await cursor.move(connection, page[-1][0])
                place.act()
                beside = await self._source.beside(connection, page)
                await publish([*(record for _, record in page), *beside])
            else:
                await asyncio.sleep(0.05)

    Relay._publish_all = publish_all


def position_from_sequence(_: Place) -> None:
    """Positions are drawn from a sequence when a batch begins, and come out of step with the commits."""
    write, append = _Batch.write, store.SQL["append"]

    async def draw_and_write(self: Any, project: Any) -> Any:
        count = sum(len(unit.rows) for unit in self._units)
        await self._db.execute("SELECT pg_advisory_lock(17)")
        base = await self._db.fetchval(
            "SELECT setval('log_positions', nextval('log_positions') + $1 - 1) - $1 + 1", max(count, 1)
        )
        await self._db.execute("SELECT pg_advisory_unlock(17)")
        await asyncio.sleep(0.005)
        drawn = append.replace(
            "position = position + $1::int RETURNING position - $1::int AS base",
            f"position = greatest(position, {base} + $1::int) RETURNING {base}::bigint AS base",
        )
        store.SQL["append"] = drawn
        return await write(self, project)

    _Batch.write = draw_and_write


def no_inbox(_: Place) -> None:
    """The notifier takes every record for a new one."""

    async def all_of_them(_connection: Connection, records: Sequence[Any], *_cluster: str) -> list[Any]:
        return list(records)

    async def all_new(self: Any, connection: Connection, reactions: Sequence[Any]) -> list[Any]:
        return list(reactions)

    consumer._fresh = all_of_them
    streams.in_order = all_of_them
    intake.Intake._never_seen = all_new


def guard_not_read(_: Place) -> None:
    """Whether an Owner remains is read from the table, and nothing says that it moved since."""
    _change_units(lambda _origin, draft: replace(
        draft,
        reads={head: v for head, v in draft.reads.items() if not head.startswith("owners:")},
        touches=frozenset(head for head in draft.touches if not head.startswith("owners:")),
    ))  # fmt: skip


def right_not_read(_: Place) -> None:
    """What an actor may do is asked once, at the start of the request."""
    unit = Runner._unit

    async def without_right(self: Runner, origin: Any, draft: Any, facts: Any, answer: Any) -> Any:
        await asyncio.sleep(0.1)
        return await unit(self, replace(origin, reads={}), draft, facts, answer)

    Runner._unit = without_right


def sign_in_not_guarded(_: Place) -> None:
    """A sign-in does not look whether the account was closed while the password was checked."""

    def change(_origin: Any, draft: Any) -> Any:
        if not any(event.type == "session.started" for event in draft.events):
            return draft
        kept = {head: version for head, version in draft.reads.items() if not head.startswith("access:")}
        return replace(draft, reads=kept, touches=frozenset())

    _change_units(change)


def _change_units(change: Callable[[Any, Any], Any]) -> None:
    unit = Runner._unit

    async def changed(self: Runner, origin: Any, draft: Any, facts: Any, answer: Any) -> Any:
        await asyncio.sleep(0.02)
        return await unit(self, origin, change(origin, draft), facts, answer)

    Runner._unit = changed


def offset_before_effect(place: Place) -> None:
    """A consumer notes that a record is done before it does it; audit fetches only identity's events once more."""
    fresh, advance = consumer._fresh, consumer._advance
    process = Consumer.process

    async def as_given(_: Connection, records: Sequence[Raw], __: str) -> list[Raw]:
        return list(records)

    async def nothing(*_: Any) -> None:
        return

    async def offset_first(self: Consumer, records: Sequence[Raw]) -> None:
        async with self._pool.acquire() as connection, connection.transaction():
            new = await fresh(connection, records, self._cluster)
            await advance(connection, new, self._cluster)
        if any(raw.topic in (NOTIFICATIONS.name, SESSION_KILLS.name) for raw in new):
            place.act()
        if new:
            await process(self, new)

    consumer._fresh, consumer._advance = as_given, nothing
    Consumer.process = offset_first


def by_the_clock(_: Place) -> None:
    """The relay reads on by time instead of by position."""

    async def read(self: Any, connection: Connection, after: int, limit: int) -> Any:
        since = getattr(self, "since", None) or await connection.fetchval(
            "SELECT coalesce((SELECT occurred_at FROM events WHERE position = $1), '-infinity')", after
        )
        rows = await connection.fetch(
            "SELECT * FROM events WHERE occurred_at > $1 ORDER BY occurred_at, position LIMIT $2",
            since,
            limit,
        )
        if rows:
            self.since = rows[-1]["occurred_at"]
        envelopes = await log.envelopes(connection, self._keys, rows)
        return [(envelope.position, to_record(envelope)) for envelope in envelopes]

    IdentityLog.read = read


def told_before_commit(place: Place) -> None:
    """Callers are answered when everything is written, and the commit follows."""
    commit = Store.commit
    waiting: dict[int, asyncio.Future[int]] = {}

    async def remember(self: Store, unit: Any) -> int:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        waiting[id(unit)] = done
        task = asyncio.ensure_future(commit(self, unit))
        task.add_done_callback(lambda t: t.cancelled() or t.exception())
        await asyncio.wait({task, done}, return_when=asyncio.FIRST_COMPLETED)
        waiting.pop(id(unit), None)
        return done.result() if done.done() else task.result()

    async def told_first(self: Store, units: list[Any]) -> Any:
        connection = await self._connected()
        async with connection.transaction():
            outcomes = await _Batch(connection, units).write(self._project)
            for unit, outcome in zip(units, outcomes, strict=True):
                if id(unit) in waiting:
                    _settle(waiting[id(unit)], outcome)
            await asyncio.sleep(0.03)
            place.act()
        return outcomes

    Store.commit, Store._transact = remember, told_first


def answer_not_kept(_: Place) -> None:
    """The answer to an idempotency key is not part of the unit."""
    unit = Runner._unit

    async def without_answer(self: Runner, origin: Any, draft: Any, facts: Any, answer: Any) -> Any:
        made = await unit(self, origin, draft, facts, None)
        return replace(made, claims=tuple(c for c in made.claims if not c.id.startswith("once:")))

    Runner._unit = without_answer


def table_after_commit(place: Place) -> None:
    """The users table is filled in a transaction of its own, after the log's."""

    async def apart(self: Store, units: list[Any]) -> Any:
        later: list[Any] = []

        async def remember(_: Connection, facts: Any) -> None:
            later.extend(facts)

        connection = await self._connected()
        async with connection.transaction():
            outcomes = await _Batch(connection, units).write(remember)
        place.act()
        async with connection.transaction():
            await self._project(connection, later)
        return outcomes

    Store._transact = apart


def no_lease(_: Place) -> None:
    """A mail that is being sent is not out of the others' reach."""
    outbox.SQL["claim"] = outbox.SQL["claim"].replace(
        "due_at = now() + $3", "due_at = now() + $3::interval * 0"
    )


MISTAKES: dict[str, tuple[tuple[str, ...], Callable[[Place], None]]] = {
    "cursor_before_ack": (("relay",), cursor_before_ack),
    "position_from_sequence": (("identity",), position_from_sequence),
    "no_inbox": (("notifier",), no_inbox),
    "guard_not_read": (("identity",), guard_not_read),
    "right_not_read": (("identity",), right_not_read),
    "sign_in_not_guarded": (("identity",), sign_in_not_guarded),
    "offset_before_effect": (("audit",), offset_before_effect),
    "by_the_clock": (("relay",), by_the_clock),
    "told_before_commit": (("identity",), told_before_commit),
    "answer_not_kept": (("identity",), answer_not_kept),
    "table_after_commit": (("identity",), table_after_commit),
    "no_lease": (("notifier",), no_lease),
}


def apply(mistake: str, process: str, folder: str) -> None:
    """Make this mistake in this process, if it is one that makes it."""
    service = process.partition("-")[0]
    services, make = MISTAKES[mistake]
    if service in services:
        make(Place(process, f"{service}.mistake", Path(folder)))
