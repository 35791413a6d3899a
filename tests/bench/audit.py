"""Audit's recording against COPY of ready rows: `python -m tests.bench.audit`.

Ours: batches of 500 Kafka records decoded, checked, split, sealed, put into words and stored, each batch one
transaction with its offsets, as the consumer does it. Bare: the same rows copied into two tables of the same shape
with the same indexes, as long as ours are, in as many transactions. Beside them runs PostgreSQL only.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

import asyncpg
from muster_contracts.envelope import to_record

from services.audit.keys import Keys
from services.audit.recorder import Recorder
from services.identity import log
from services.kit.consumer import MAX_RECORDS, Consumer
from services.kit.parked import Raw
from services.kit.postgres import open_pool
from services.kit.sealing import MasterKeys
from tests.bench.figures import ROUNDS, Figure, pairs
from tests.bench.filled import fill
from tests.bench.place import Muster, muster, populate, run_alone

PEOPLE, EVENTS = 1_000, 4_000
TABLES = ("records", "lookup")


async def figures() -> AsyncIterator[Figure]:
    async with muster() as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    records = await published(running, PEOPLE, EVENTS * (ROUNDS + 2))
    settings = running.settings_of("audit")
    url = settings.databases.audit.get_secret_value()
    async with open_pool(url) as pool, open_pool(url, size=2) as key_pool:
        keys = Keys(key_pool, MasterKeys.parse(settings.keys.master.get_secret_value()))
        consumer = Consumer("", (), "audit", pool, Recorder(keys).apply)
        rounds = iter([records[start : start + EVENTS] for start in range(0, len(records), EVENTS)])
        for _ in range(2):  # rows for the other side's tables and its first round
            await ingest(consumer, rounds)
        owner = running.settings.databases.audit_owner.get_secret_value()
        bare = await Bare.prepare(owner)
        ours, copied = await pairs(partial(ingest, consumer, rounds), bare.copy)
    yield Figure("audit ingest", "events/s", ours, copied, "COPY of ready rows, batches of 500")


async def published(running: Muster, people: int, events: int) -> list[Raw]:
    """So many events of identity's log, as Kafka carries them."""
    async with running.identity() as place:
        org = await place.organization("audited")
        await fill(running, place, org, await populate(place, org, people), events)
        async with place.identity.pool.acquire() as connection:
            return await _read(connection, place.identity.keys, events)


async def _read(connection: Any, keys: Any, events: int) -> list[Raw]:
    found: list[Raw] = []
    while len(found) < events:
        for envelope in await log.read(connection, keys, len(found), min(2_000, events - len(found))):
            record = to_record(envelope)
            found.append(
                Raw(record.topic, record.key, record.value, tuple(record.headers), 0, len(found), len(found))
            )
    return found


async def ingest(consumer: Consumer, rounds: Any) -> float:
    records: Sequence[Raw] = next(rounds)
    began = time.perf_counter()
    for start in range(0, len(records), MAX_RECORDS):
        await consumer.process(records[start : start + MAX_RECORDS])
    return len(records) / (time.perf_counter() - began)


class Bare:
    """Copies what was recorded once more, each time the next rows, into tables that grow as ours did."""

    def __init__(self, connection: Any) -> None:
        self._connection, self._done = connection, 0

    @classmethod
    async def prepare(cls, url: str) -> Bare:
        connection = await asyncpg.connect(url)
        for table in TABLES:
            await connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
        bare = cls(connection)
        await bare.copy()
        return bare

    async def copy(self) -> float:
        rows = {table: await self._next(table) for table in TABLES}
        self._done += EVENTS
        began = time.perf_counter()
        for start in range(0, EVENTS, MAX_RECORDS):
            async with self._connection.transaction():
                for table in TABLES:
                    chunk = rows[table][start : start + MAX_RECORDS]
                    await self._connection.copy_records_to_table(f"bare_{table}", records=chunk)
        return EVENTS / (time.perf_counter() - began)

    async def _next(self, table: str) -> list[tuple[Any, ...]]:
        query = f"SELECT * FROM {table} ORDER BY seq OFFSET $1 LIMIT $2"
        return [tuple(row) for row in await self._connection.fetch(query, self._done, EVENTS)]


if __name__ == "__main__":
    run_alone(figures)
