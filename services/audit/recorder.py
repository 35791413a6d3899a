"""Writes records: a batch is a handful of statements, whatever its size, in the caller's transaction.

One writer at a time per org (the row of `orgs` is locked first), so `seq` is dense and a repeat is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.audit import keys, leaves, lookup, names
from services.audit.entries import Entry, entry_of
from services.audit.keys import Keys
from services.audit.leaves import Readable
from services.audit.names import Names
from services.kit.parked import Decoded
from services.kit.postgres import Connection
from services.kit.times import rfc3339

Row = tuple[str, int, str, int | None, int | None, bytes]
IDENTITY_DAYS = 90


@dataclass(slots=True)
class _Org:
    seq: int
    identity_days: int


@dataclass(slots=True)
class _Batch:
    """What one call of `record` works on."""

    recorded_at: str
    orgs: dict[str, _Org]
    names: Names
    sealers: leaves.Sealers
    leaves: list[Row] = field(default_factory=list[Row])
    readable: list[Readable] = field(default_factory=list[Readable])
    deleted: dict[str, datetime] = field(default_factory=dict[str, datetime])


class Recorder:
    def __init__(self, keys_: Keys) -> None:
        self._keys = keys_

    async def apply(self, connection: Connection, records: Sequence[Decoded]) -> None:
        """Record events; those that are recorded already change nothing.

        A batch is of several topics: what happened first is recorded first, as far as positions tell.
        """
        entries = [entry_of(each.envelope, each.raw.topic) for each in records]
        entries.sort(key=lambda entry: (entry.position is None, entry.position or 0))
        await self.record(connection, entries)

    async def record(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Record entries in their order, in the transaction of that connection.

        Sink: tables `records`, `lookup`, `names`, `orgs`; `person_keys` for who was deleted.
        """
        now, orgs = await _lock(connection, sorted({entry.org for entry in entries}))
        fresh = await _fresh(connection, entries)
        if not fresh:
            return
        known = await names.fetch(connection, {(entry.org, entry.target_id) for entry in fresh})
        before = dict(known)
        wanted = {key: e.org for e in fresh for key in (e.target_key, e.actor_key)}
        batch = _Batch(rfc3339(now), orgs, known, await self._keys.sealers(wanted))
        for entry in fresh:
            _write(batch, entry)
        await _store(connection, batch)
        if learned := {place: name for place, name in known.items() if before.get(place) != name}:
            await names.store(connection, learned)


def _write(batch: _Batch, entry: Entry) -> None:
    org = batch.orgs[entry.org]
    name = None
    if (
        entry.person is None or batch.sealers[entry.target_key] is not None
    ):  # the name of who is forgotten stays so
        name = names.learn(entry, batch.names)
    record = leaves.readable(entry, org.seq, batch.recorded_at, name)
    leaf = leaves.write(entry, record, batch.sealers)
    batch.leaves.append((entry.org, org.seq, entry.id, entry.position, entry.epoch, leaf))
    batch.readable.append(record)
    org.seq += 1
    _heed(batch, entry, org)


def _heed(batch: _Batch, entry: Entry, org: _Org) -> None:
    """What a record changes in how audit itself works."""
    if entry.type == "user.deleted" and entry.person:
        batch.deleted[entry.person] = entry.occurred_at + timedelta(days=org.identity_days)
    if entry.type == "organization.settings_changed" and (days := entry.data.get("audit_identity_days")):
        org.identity_days = days["new"] or IDENTITY_DAYS


async def _lock(connection: Connection, orgs: list[str]) -> tuple[datetime, dict[str, _Org]]:
    rows = await connection.fetch(_LOCK, orgs)
    if len(rows) < len(orgs):
        await connection.execute(
            "INSERT INTO orgs (org) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", orgs
        )
        rows = await connection.fetch(_LOCK, orgs)
    found = {row["org"]: _Org(row["next_seq"], row["audit_identity_days"]) for row in rows}
    return rows[0]["now"], found


async def _fresh(connection: Connection, entries: Sequence[Entry]) -> list[Entry]:
    rows = await connection.fetch(
        "SELECT id FROM records WHERE id = ANY($1)", [entry.id for entry in entries]
    )
    seen: set[str] = {row["id"] for row in rows}
    fresh: list[Entry] = []
    for entry in entries:
        if entry.id not in seen:
            seen.add(entry.id)
            fresh.append(entry)
    return fresh


async def _store(connection: Connection, batch: _Batch) -> None:
    await connection.copy_records_to_table(
        "records", records=batch.leaves, columns=("org", "seq", "id", "position", "epoch", "leaf")
    )
    await lookup.add(connection, [lookup.row(record) for record in batch.readable])
    await connection.execute(
        "UPDATE orgs o SET next_seq = n.seq, audit_identity_days = n.days"
        " FROM unnest($1::text[], $2::bigint[], $3::int[]) AS n (org, seq, days) WHERE o.org = n.org",
        list(batch.orgs),
        [org.seq for org in batch.orgs.values()],
        [org.identity_days for org in batch.orgs.values()],
    )
    if batch.deleted:
        await keys.forget_later(connection, batch.deleted)


# clock_timestamp: after the lock is held, so that times grow with seq
_LOCK = (
    "WITH locked AS MATERIALIZED (SELECT * FROM orgs WHERE org = ANY($1) ORDER BY org FOR UPDATE)"
    " SELECT *, clock_timestamp() AS now FROM locked"
)
