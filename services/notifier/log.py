"""The notifier's own log: what became of messages, which kills were ordered; published by the relay.

An event is written in the transaction of what it tells, as its last statement: the position is drawn from a
one-row table that stays locked until the commit, so positions are dense and in commit order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from muster_contracts.envelope import Envelope, Record, to_record
from muster_contracts.events import Actor, Data, Event, Stamp
from muster_contracts.personal import Parts, join, split
from muster_contracts.topics import WEEK_MS

from services.kit.ids import new_id
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection, Pool
from services.kit.postgres import Record as Row
from services.kit.relay import Publish, Source
from services.kit.sealing import Sealer
from services.kit.sql import named
from services.notifier.reactions import Cause

SQL = named(__file__)
SOURCE = "/muster/notifier"
RELAY = "notifier"
"""Name of the relay and of its cursor."""
LONGEST_ERASURE = timedelta(days=7)
STAMP = Stamp(actor=Actor(type="system"))
Sealers = dict[str, Sealer | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be written: `version` is its place in its stream, `cause` the event that led to it."""

    event: Event
    version: int
    cause: Cause


class Persons:
    """Keys of the persons that the notifier writes to."""

    def __init__(self, pool: Pool, keys: PersonKeys) -> None:
        """Take a pool that nobody else uses: keys are fetched amid transactions of other connections."""
        self._pool = pool
        self._keys = keys

    async def fetch(self, users: set[str]) -> Sealers:
        """The sealers of these users; None where the key is destroyed.

        A missing key is made in a transaction of its own: no rollback can take away what something was sealed
        under, and a key that nothing is sealed under harms nobody.
        """
        if not users:
            return {}
        async with self._pool.acquire() as connection:
            found = await self._keys.fetch(connection, users)
            new = [self._keys.new(user) for user in sorted(users) if found[user] is None]
            if not new:
                return found
            await connection.execute(
                SQL["new_keys"], [k.id for k in new], [k.master for k in new], [k.wrapped for k in new]
            )
            return await self._keys.fetch(connection, users)

    async def erase(self, connection: Connection, user: str) -> None:
        """Mark the key of a deleted user: it is destroyed once the relay has passed this moment of the log.

        Where there is none yet, a destroyed one takes its place, so that nothing can be sealed later either.
        """
        await connection.execute(SQL["erase"], user)

    async def destroy_erased(self) -> list[str]:
        """Destroy the keys of deleted users that the relay has passed, or after a week in any case."""
        rows = await self._pool.fetch(SQL["destroy_erased"], RELAY, LONGEST_ERASURE)
        for row in rows:
            self._keys.forget(row["id"])
        return [row["id"] for row in rows]


class Log(Source):
    """Writes the log, and reads it for the relay."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    async def append(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Write events; the last statement of a transaction, which others wait for from here on."""
        if not entries:
            return
        parts = [split(entry.event, STAMP, self_act=False) for entry in entries]
        persons = {entry.cause.user for entry, part in zip(entries, parts, strict=True) if part.target}
        sealers = await self._persons.fetch(persons)
        rows = [_row(entry, part, sealers) for entry, part in zip(entries, parts, strict=True)]
        await connection.execute(SQL["append"], *map(list, zip(*rows, strict=True)))

    async def refill(self, connection: Connection, publish: Publish) -> int:  # noqa: ARG002 (it is all in the log)
        """All that Kafka would still keep is in the pages of the last week."""
        return await connection.fetchval(SQL["position_before"], timedelta(milliseconds=WEEK_MS)) or 0

    async def read(self, connection: Connection, after: int, limit: int) -> list[tuple[int, Record]]:
        rows = await connection.fetch(SQL["read"], after, limit)
        if not rows:
            return []
        sealers = await self._persons.fetch({row["user"] for row in rows if row["sealed"]})
        return [(row["position"], to_record(envelope(row, sealers))) for row in rows]


def _row(entry: Entry, parts: Parts, sealers: Sealers) -> tuple[object, ...]:
    event, cause, id_ = entry.event, entry.cause, new_id("evt")
    sealer = sealers.get(cause.user)
    target = sealer.seal_json(parts.target, f"{id_}:target") if sealer and parts.target else None
    return (
        id_, cause.org, event.stream(), entry.version, event.type, event.version, cause.user, cause.action,
        cause.correlation_id, cause.event_id, cause.traceparent, parts.open, target, bool(parts.target),
    )  # fmt: skip


def envelope(row: Row, sealers: Sealers) -> Envelope:
    """The event in a row of `log`; what was sealed under a destroyed key shows as erased."""
    at: datetime = row["at"]
    return Envelope(
        id=row["id"],
        source=SOURCE,
        type=row["type"],
        version=row["schema_version"],
        subject=row["stream"],
        partition_key=row["user"],
        sequence=row["version"],
        time=at,
        recorded_time=at,
        correlation_id=row["correlation_id"],
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
        auth_type="system",
        data_classification="personal" if row["sealed"] else "internal",
        org=row["org"],
        action=row["action"],
        data=join(row["type"], row["schema_version"], row["open"], _target(row, sealers), {}),
    )


def _target(row: Row, sealers: Sealers) -> Data | None:
    if not row["sealed"]:
        return {}
    sealer = sealers[row["user"]]
    if sealer is None or row["target"] is None:
        return None
    return sealer.open_json(row["target"], f"{row['id']}:target")
