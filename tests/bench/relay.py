"""Catching up with a log that nobody has published yet, against bare aiokafka: `python -m tests.bench.relay`.

Ours: rows read, opened with the keys of their persons, made into records, published page by page with the state of
every user who changed, the cursor moved after each acknowledgement. Bare: an idempotent producer with `acks=all` that
is given the same records, already made, in pages and batches as large as ours. Beside them run PostgreSQL and Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from services.identity.directory import Directory
from services.identity.relay import IdentityLog
from services.kit.broker import BATCH_BYTES
from services.kit.parked import Raw
from services.kit.persons import PersonKeys
from services.kit.postgres import connect
from services.kit.relay import PAGE, Relay
from services.kit.sealing import MasterKeys
from tests.bench.audit import published
from tests.bench.figures import Figure, pairs
from tests.bench.place import Muster, muster, run_alone

PEOPLE, EVENTS, ROUNDS = 1_000, 100_000, 5
LONGEST_SECONDS = 120.0


async def figures() -> AsyncIterator[Figure]:
    async with muster() as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    records = await published(running, PEOPLE, EVENTS)
    ours, bare = await pairs(partial(catch_up, running), partial(send, running, records), ROUNDS)
    yield Figure(
        f"relay, {EVENTS:,} events to catch up", "events/s", ours, bare, "aiokafka with ready records",
        "ours writes the directory too: one more record per changed user and page",
    )  # fmt: skip


async def catch_up(running: Muster) -> float:
    settings = running.settings_of("relay")
    url = settings.databases.identity.get_secret_value()
    connection = await connect(url)
    head = await connection.fetchval("SELECT position FROM log_head")
    await connection.execute("UPDATE relay_cursor SET position = 0")
    await connection.close()
    keys = PersonKeys(MasterKeys.parse(settings.keys.master.get_secret_value()))
    relay = Relay(url, settings.kafka.bootstrap, IdentityLog(keys, Directory()), name="identity")
    began = time.perf_counter()
    async with asyncio.timeout(LONGEST_SECONDS), relay.running():
        while relay._cursor is None or relay._cursor.position < head:
            await asyncio.sleep(0.01)
        return head / (time.perf_counter() - began)


async def send(running: Muster, records: list[Raw]) -> float:
    producer = AIOKafkaProducer(
        bootstrap_servers=running.settings.kafka.bootstrap, acks="all", enable_idempotence=True,
        max_batch_size=BATCH_BYTES,
    )  # fmt: skip
    await producer.start()
    partitions = {topic: sorted(await producer.partitions_for(topic)) for topic in {r.topic for r in records}}
    began = time.perf_counter()
    for start in range(0, len(records), PAGE):
        batches: dict[tuple[str, int], BatchBuilder] = {}
        for raw in records[start : start + PAGE]:
            known = partitions[raw.topic]
            place = raw.topic, known[hash(raw.key) % len(known)]
            batch = batches.get(place) or batches.setdefault(place, producer.create_batch())
            if batch.append(key=raw.key, value=raw.value, headers=list(raw.headers), timestamp=None) is None:
                raise ValueError("a page of one partition is larger than a batch")
        sent = [await producer.send_batch(batch, topic, partition=n) for (topic, n), batch in batches.items()]
        await asyncio.gather(*sent)
    rate = len(records) / (time.perf_counter() - began)
    await producer.stop()
    return rate


if __name__ == "__main__":
    run_alone(figures)
