"""Table `users` once more from the log: beside the live one, compared with it, and put in its place.

The rows come from the same `project` that fills them inside a commit. Replay and comparison are one snapshot, so
that people may go on working; only the last few events and the switch hold the writers up.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from muster_contracts.envelope import Envelope

from services.identity import log
from services.identity.readmodel import Table
from services.identity.store import Fact
from services.identity.users.projection import USERS, project
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection, Record
from services.kit.sql import named

SQL = named(__file__)
REBUILT = Table("users_rebuilt", USERS.columns)
PAGE = 2_000
LOCK = 0x7562_6C64
"""Advisory lock: one rebuild at a time."""
PATIENCE = "5s"
"""How long the switch waits for whoever reads the table; meanwhile others wait behind it."""
EXAMPLES = 20


class AlreadyRunning(Exception):
    """Another rebuild of this table is under way."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not what the log says: ids and names of columns, never what is in them."""

    id: str
    where: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay of `events` events up to `position` found; `examples` are the first of the differences."""

    position: int
    events: int
    rows: int
    differences: int
    examples: tuple[Difference, ...]
    switched: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"table": USERS.name} | asdict(self)


async def verify(connection: Connection, keys: PersonKeys) -> Report:
    """Compare the live table with what the log says, and leave nothing behind; the service's own role may.

    Raises:
        UnreadableEvent: the log holds what this code cannot read.
    """
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        await connection.execute(
            "CREATE TEMPORARY TABLE users_rebuilt (LIKE users INCLUDING ALL EXCLUDING INDEXES)"
        )
        return await _fill(connection, keys)
    finally:
        await transaction.rollback()


async def rebuild(connection: Connection, keys: PersonKeys) -> Report:
    """Build the table anew and put it in the place of the live one.

    Args:
        connection: of the role that owns the tables.
        keys: of the persons.

    Raises:
        AlreadyRunning: see there.
        asyncpg.LockNotAvailableError: somebody reads the live table for longer than the switch waits.
        UnreadableEvent: the log holds what this code cannot read.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
        raise AlreadyRunning
    try:
        async with connection.transaction(isolation="repeatable_read"):
            await connection.execute("DROP TABLE IF EXISTS users_rebuilt")
            await connection.execute(
                "CREATE TABLE users_rebuilt (LIKE users INCLUDING ALL EXCLUDING INDEXES)"
            )
            report = await _fill(connection, keys)
            indexes = await _dress(connection)
        await connection.execute("ANALYZE users_rebuilt")
        async with connection.transaction():
            await _switch(connection, keys, report.position, indexes)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
    return replace(report, switched=True)


async def _fill(connection: Connection, keys: PersonKeys) -> Report:
    await connection.execute("ALTER TABLE users_rebuilt ADD CONSTRAINT users_rebuilt_pkey PRIMARY KEY (id)")
    head = await log.head(connection)
    events = await _replay(connection, keys, 0, head.position)
    found = await connection.fetch(SQL["differences"])
    rows = await connection.fetchval("SELECT count(*) FROM users_rebuilt")
    examples = tuple(_difference(row) for row in found[:EXAMPLES])
    return Report(head.position, events, rows, len(found), examples)


def _difference(row: Record) -> Difference:
    where = (
        "only in the rebuilt" if row["only_rebuilt"] else "only in the live" if row["only_live"] else "both"
    )
    return Difference(row["id"], where, tuple(row["columns"]) if where == "both" else ())


async def _replay(connection: Connection, keys: PersonKeys, after: int, until: int) -> int:
    """Fold the events of (after, until] into the table, a page at a time; returns how many there were."""
    events = 0
    while rows := await connection.fetch(SQL["page"], after, until, PAGE):
        found = await log.envelopes(connection, keys, rows)
        await project(connection, [(envelope.org, _fact(envelope)) for envelope in found], REBUILT)
        after = rows[-1]["position"]
        events += len(rows)
    return events


def _fact(envelope: Envelope) -> Fact:
    return Fact(envelope.id, envelope.subject, envelope.sequence, envelope.event(), envelope.time)


async def _dress(connection: Connection) -> dict[str, str]:
    """Give the table what the live one has besides rows; returns its indexes: name now → name afterwards."""
    for statement in (SQL["storage"], SQL["privileges"]):
        for row in await connection.fetch(statement):
            await connection.execute(row["statement"])
    names = {"users_rebuilt_pkey": "users_pkey"}
    for row in await connection.fetch(SQL["indexes"]):
        name = f"{row['name']}_rebuilt"
        names[name] = row["name"]
        start = rf"\1 {name} ON users_rebuilt "
        await connection.execute(re.sub(r"^(CREATE (?:UNIQUE )?INDEX) \S+ ON \S+ ", start, row["definition"]))
    return names


async def _switch(connection: Connection, keys: PersonKeys, position: int, indexes: dict[str, str]) -> None:
    """Replay what came meanwhile, and take the live table's name.

    A writer first changes the table and then takes the log's head: the same order here, or both would wait for
    each other.
    """
    await connection.execute(f"SET LOCAL lock_timeout = '{PATIENCE}'")
    await connection.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    head = await connection.fetchval("SELECT position FROM log_head FOR UPDATE")
    await _replay(connection, keys, position, head)
    await connection.execute("DROP TABLE users")
    await connection.execute("ALTER TABLE users_rebuilt RENAME TO users")
    for now, afterwards in indexes.items():
        await connection.execute(f"ALTER INDEX {now} RENAME TO {afterwards}")
