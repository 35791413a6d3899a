"""`muster rebuild users` against COPY into the same table: `python -m tests.bench.rebuild`.

Ours in events a second, the whole run: replayed, compared with the live table, indexed and switched. Bare in rows a
second: ready rows copied into a table with the same indexes. Beside them runs PostgreSQL only.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial

import asyncpg

from services.identity.rebuild import rebuild
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection, connect
from services.kit.sealing import MasterKeys
from tests.bench.audit import published
from tests.bench.figures import Figure, pairs
from tests.bench.place import Muster, muster, run_alone

PEOPLE, EVENTS = 10_000, 20_000


async def figures() -> AsyncIterator[Figure]:
    async with muster() as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    await published(running, PEOPLE, EVENTS)
    url = running.settings.databases.identity_owner.get_secret_value()
    connection = await connect(url, command_seconds=120)
    master = MasterKeys.parse(running.settings_of("identity").keys.master.get_secret_value())
    ours, bare = await pairs(partial(replay, connection, master), partial(copy, url))
    await connection.close()
    yield Figure(
        f"rebuild of users, {EVENTS:,} events of {PEOPLE:,} people", "events/s", ours, bare,
        "rows/s COPY into the same table", "two events a row",
    )  # fmt: skip


async def replay(connection: Connection, master: MasterKeys) -> float:
    began = time.perf_counter()
    report = await rebuild(connection, PersonKeys(master))
    rate = report.events / (time.perf_counter() - began)
    assert report.differences == 0, report.examples
    return rate


async def copy(url: str) -> float:
    connection = await asyncpg.connect(url)
    rows = [tuple(row) for row in await connection.fetch("SELECT * FROM users")]
    await connection.execute("DROP TABLE IF EXISTS bare_users")
    await connection.execute("CREATE TABLE bare_users (LIKE users INCLUDING ALL)")
    began = time.perf_counter()
    await connection.copy_records_to_table("bare_users", records=rows)
    rate = len(rows) / (time.perf_counter() - began)
    await connection.execute("DROP TABLE bare_users")
    await connection.close()
    return rate


if __name__ == "__main__":
    run_alone(figures)
