"""The consumer on a real broker and a real database: nothing lost, nothing twice, poison put aside."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from muster_contracts.topics import Topic

from services.kit import topics
from services.kit.consumer import Consumer
from services.kit.parked import Decoded, Raw
from services.kit.postgres import Connection, Pool, open_pool
from tests.support.servers import KafkaServer

TABLES = (
    Path("services/kit/consumer.sql").read_text("utf-8")
    + Path("services/kit/consumer_cluster.sql").read_text("utf-8")
    + """
CREATE TABLE effect (id text NOT NULL, amount integer NOT NULL CHECK (amount < 1000));
"""
)
PARTITIONS = 3


@dataclass(frozen=True, slots=True)
class Place:
    bootstrap: str
    topic: str
    pool: Pool

    def consumer(
        self, apply: Callable[[Connection, Sequence[Decoded]], Awaitable[None]] | None = None
    ) -> Consumer:
        return Consumer(
            self.bootstrap, [self.topic], f"group-{self.topic}", self.pool, apply or record_effect
        )


@pytest.fixture
async def place(kafka_server: KafkaServer, database: str) -> AsyncIterator[Place]:
    topic = f"test.{secrets.token_hex(4)}"
    await topics.create(kafka_server.bootstrap, [Topic(topic, "user", PARTITIONS, "a test's records")])
    async with open_pool(database) as pool:
        await pool.execute(TABLES)
        yield Place(kafka_server.bootstrap, topic, pool)


async def record_effect(connection: Connection, records: Sequence[Decoded]) -> None:
    await connection.copy_records_to_table(
        "effect", records=[(r.envelope.id, r.envelope.data["amount"]) for r in records]
    )


def headers(id_: str, key: str = "usr_1") -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", id_.encode()),
        ("ce_source", b"/muster/identity"),
        ("ce_type", b"muster.test.happened"),
        ("ce_dataschema", b"urn:muster:schema:test.happened:1"),
        ("ce_subject", key.encode()),
        ("ce_partitionkey", key.encode()),
        ("ce_sequence", b"1"),
        ("ce_time", b"2026-11-24T07:00:00.000000Z"),
        ("ce_org", b"org_1"),
        ("content-type", b"application/json"),
    ]


def value(amount: int | str) -> bytes:
    text = amount if isinstance(amount, int) else f'"{amount}"'
    return b'{"actor":{"type":"system","id":null,"name":null},"amount":%s}' % str(text).encode()


@asynccontextmanager
async def producing(place: Place) -> AsyncIterator[Callable[..., Awaitable[object]]]:
    producer = AIOKafkaProducer(bootstrap_servers=place.bootstrap)
    await producer.start()

    async def send(id_: str, amount: int | str = 1, key: str = "usr_1", **replaced: object) -> None:
        record = {"key": key.encode(), "value": value(amount), "headers": headers(id_, key), **replaced}
        await producer.send_and_wait(place.topic, **record)

    try:
        yield send
    finally:
        await producer.stop()


@asynccontextmanager
async def running(consumer: Consumer) -> AsyncIterator[Consumer]:
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


def has(place: Place, query: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await place.pool.fetchval(f"SELECT count(*) FROM {query}") >= count

    return check


async def test_every_record_is_applied_once_and_progress_is_told(place: Place) -> None:
    async with producing(place) as send, running(place.consumer()) as consumer:
        for number in range(30):
            await send(f"evt_{number}", key=f"usr_{number}")
        await until(has(place, "effect", 30))
        assert await consumer.behind() == 0
    assert await place.pool.fetchval("SELECT count(DISTINCT id) FROM effect") == 30
    assert await place.pool.fetchval("SELECT sum(next_offset) FROM offsets") == 30


async def test_kafka_is_told_how_far_reading_is(place: Place) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=place.bootstrap)
    await admin.start()

    async def told() -> bool:
        offsets = await admin.list_consumer_group_offsets(f"group-{place.topic}")
        return sum(each.offset for each in offsets.values() if each.offset > 0) == 30

    try:
        async with producing(place) as send, running(place.consumer()):
            for number in range(30):
                await send(f"evt_{number}", key=f"usr_{number}")
            await until(told)
    finally:
        await admin.close()


async def test_poison_is_parked_and_what_stands_around_it_is_applied(place: Place) -> None:
    async with producing(place) as send:
        await send("evt_1")
        await send("evt_2", value=b"no json")
        await send("evt_3", headers=[("ce_id", b"\xff\xfe"), ("x", b"\xff")])
        await send("evt_4", value=None)
        await send("evt_5", amount=1000)  # the database refuses it
        await send("evt_6", amount="text")  # the driver refuses it
        await send("evt_7")
        async with running(place.consumer()):
            await until(has(place, "parked", 5))
            await until(has(place, "effect", 2))
    assert [r["id"] for r in await place.pool.fetch("SELECT id FROM effect ORDER BY id")] == [
        "evt_1",
        "evt_7",
    ]
    rows = await place.pool.fetch('SELECT * FROM parked ORDER BY "offset"')
    assert [row["offset"] for row in rows] == [1, 2, 3, 4, 5]
    assert rows[0]["value"] == b"no json"
    assert rows[1]["headers"][1] == ["x", "/w=="]  # original bytes
    assert "CheckViolation" in rows[3]["error"]
    assert "1000" not in rows[3]["error"]


async def test_a_null_header_and_bytes_in_headers_lose_no_record(place: Place) -> None:
    async with producing(place) as send, running(place.consumer()):
        await send("evt_1", headers=[*headers("evt_1"), ("extra", None), ("raw", b"\xff")])
        await send("evt_2")
        await until(has(place, "effect", 2))
    assert await place.pool.fetchval("SELECT count(*) FROM parked") == 0


async def test_a_parked_record_is_tried_again_when_asked(place: Place) -> None:
    async with producing(place) as send, running(place.consumer()):
        await send("evt_1", amount=1000)
        await until(has(place, "parked", 1))
        await place.pool.execute("UPDATE parked SET retry_at = now()")
        await until(has(place, "parked WHERE retry_at IS NULL AND resolved_at IS NULL", 1))
        await place.pool.execute("ALTER TABLE effect DROP CONSTRAINT effect_amount_check")
        await place.pool.execute("UPDATE parked SET retry_at = now()")
        await until(has(place, "parked WHERE resolved_at IS NOT NULL", 1))
    assert await place.pool.fetchval("SELECT id FROM effect") == "evt_1"
    assert await place.pool.fetchval("SELECT value FROM parked") is None


async def test_an_error_that_is_no_fault_of_the_data_is_waited_for(place: Place) -> None:
    failures = 0

    async def fail_twice(connection: Connection, records: Sequence[Decoded]) -> None:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        await record_effect(connection, records)

    async with producing(place) as send, running(place.consumer(fail_twice)):
        await send("evt_1")
        await until(has(place, "effect", 1))
    assert await place.pool.fetchval("SELECT count(*) FROM parked") == 0


async def test_a_record_seen_before_is_skipped(place: Place) -> None:
    consumer = place.consumer()
    batch = [
        Raw(place.topic, b"usr_1", value(1), tuple(headers(f"evt_{n}")), 0, n, 1_000 + n) for n in range(3)
    ]
    await consumer.process(batch)
    await consumer.process(batch[1:])
    assert await place.pool.fetchval("SELECT count(*) FROM effect") == 3


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(place: Place) -> None:
    consumer = place.consumer()
    old = [
        Raw(place.topic, b"usr_1", value(1), tuple(headers(f"old_{n}")), 0, n, 1_000 + n) for n in range(3)
    ]
    new = [
        Raw(place.topic, b"usr_1", value(1), tuple(headers(f"new_{n}")), 0, n, 2_000 + n) for n in range(2)
    ]
    await consumer.process(old)
    await consumer.process(new)
    assert await place.pool.fetchval("SELECT count(*) FROM effect") == 5


async def test_two_processes_that_get_the_same_records_apply_them_once(place: Place) -> None:
    batch = [
        Raw(place.topic, b"usr_1", value(1), tuple(headers(f"evt_{n}")), n % 3, n, 1_000 + n)
        for n in range(300)
    ]
    await place.consumer().process(batch[:100])  # nobody reads further on before what came earlier is durable
    await asyncio.gather(*(place.consumer().process(part) for part in (batch[100:], batch[::-1], batch)))
    assert await place.pool.fetchval("SELECT count(*) FROM effect") == 300


async def test_reading_goes_on_after_the_broker_was_away(place: Place, kafka_server: KafkaServer) -> None:
    async with running(place.consumer()):
        async with producing(place) as send:
            await send("evt_1")
            await until(has(place, "effect", 1))
        kafka_server.kill()
        kafka_server.start()
        async with producing(place) as send:
            await send("evt_2")
        await until(has(place, "effect", 2), 40)


async def test_it_starts_while_the_broker_is_away(place: Place, kafka_server: KafkaServer) -> None:
    async with producing(place) as send:
        await send("evt_1")
    kafka_server.stop()
    async with running(place.consumer()) as consumer:
        with pytest.raises(Exception, match="not connected"):
            await consumer.behind()
        kafka_server.start()
        await until(has(place, "effect", 1), 40)
