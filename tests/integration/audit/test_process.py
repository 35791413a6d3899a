"""The whole process, on real Kafka: it starts in any order, heals, and goes on after what was away."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from muster_contracts.envelope import Record
from muster_contracts.topics import ALL

from deploy.local.kafka_training import free_ports
from services.audit.app import build
from services.kit import topics
from services.kit.ids import new_id
from services.kit.settings import load
from tests.integration.audit.world import GATEWAY_KEY, FakeIdentity, Log, new_master
from tests.support.servers import KafkaServer, PostgresServer


@dataclass
class Process:
    settings: dict[str, str]
    log: Log
    fake: FakeIdentity
    client: httpx.AsyncClient | None = None

    async def publish(self, *records: Record) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self.settings["MUSTER_KAFKA__BOOTSTRAP"])
        await producer.start()
        try:
            for record in records:
                await producer.send_and_wait(
                    record.topic, record.value, record.key, headers=[(n, v) for n, v in record.headers]
                )
        finally:
            await producer.stop()

    async def found(self) -> list[dict[str, Any]]:
        assert self.client is not None
        answer = await self.client.get("/v1/audit", params={"sort": "seq"})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def ready(self) -> dict[str, Any]:
        assert self.client is not None
        return (await self.client.get("/ready")).json()


@asynccontextmanager
async def running(process: Process) -> AsyncIterator[Process]:
    app = build(load(process.settings))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://audit",
            headers={"muster-service-key": GATEWAY_KEY, "authorization": "Bearer mus_x"},
        ) as client,
    ):  # fmt: skip
        process.client = client
        yield process


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def empty_topics(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([topic.name for topic in ALL])
    finally:
        await admin.close()

    async def made() -> bool:
        try:
            await topics.create(bootstrap, ALL)
        except (KafkaError, topics.TopicsError):
            return False
        return await topics.differences(bootstrap, ALL) == []

    await until(made)


@pytest.fixture
async def process(
    kafka_server: KafkaServer, postgres_server: PostgresServer, audit_database: str
) -> AsyncIterator[Process]:
    await empty_topics(kafka_server.bootstrap)
    log = Log()
    fake = FakeIdentity(log)
    async with fake.serving() as address:
        settings = {
            "MUSTER_DATABASES__AUDIT": postgres_server.url(audit_database, "audit"),
            "MUSTER_KAFKA__BOOTSTRAP": kafka_server.bootstrap,
            "MUSTER_URLS__IDENTITY": address,
            "MUSTER_KEYS__MASTER": new_master(),
            "MUSTER_KEYS__POSITIONS": base64.b64encode(os.urandom(32)).decode(),
            "MUSTER_SERVICE_KEYS__GATEWAY_AUDIT": GATEWAY_KEY,
            "MUSTER_SERVICE_KEYS__AUDIT_IDENTITY": "audit-key",
        }
        yield Process(settings, log, fake)


async def test_what_is_on_kafka_is_found_and_identity_is_told(process: Process) -> None:
    log = process.log
    async with running(process):
        await process.publish(
            log.create(log.ben, "Ben Miller"),
            log.deactivate(log.ben),
            log.refuse("user.delete", "last_owner"),
        )

        async def recorded() -> bool:
            return len(await process.found()) == 3

        async def told() -> bool:
            return process.fake.reported[-1:] == [3]

        await until(recorded)
        await until(told)

        async def all_well() -> bool:
            return await process.ready() == {
                "ready": True, "database": "ok", "keys": "ok", "kafka": "ok", "position": 3
            }  # fmt: skip

        await until(all_well)


async def test_what_kafka_lost_is_fetched_from_identity(process: Process) -> None:
    log = process.log
    async with running(process):
        await process.publish(log.create(log.ben, "Ben Miller"))

        async def first() -> bool:
            return len(await process.found()) == 1

        await until(first)
        log.deactivate(log.ben)  # never reaches Kafka
        await process.publish(log.create(new_id("usr"), "Cy Young"))

        async def healed() -> bool:
            return (await process.ready())["position"] == 3

        await until(healed)
        types = [r["type"] for r in await process.found()]
        assert types == ["user.created", "user.created", "user.deactivated"]


async def test_it_answers_while_kafka_is_away_and_catches_up(
    process: Process, kafka_server: KafkaServer
) -> None:
    log = process.log
    async with running(process):
        await process.publish(log.create(log.ben, "Ben Miller"))

        async def count_is(number: int) -> bool:
            return len(await process.found()) == number

        await until(lambda: count_is(1))
        kafka_server.kill()
        try:
            assert await count_is(1)
            state = await process.ready()
            assert (state["ready"], state["kafka"]) == (True, "away")
        finally:
            kafka_server.start()
        await process.publish(log.deactivate(log.ben))
        await until(lambda: count_is(2), 60)


async def test_it_records_while_identity_is_away(process: Process) -> None:
    process.settings["MUSTER_URLS__IDENTITY"] = "http://127.0.0.1:9"
    await process.publish(process.log.create(process.log.ben, "Ben Miller"))
    async with running(process):

        async def recorded() -> bool:
            return (await process.ready())["position"] == 1

        await until(recorded)
        assert process.client is not None
        answer = await process.client.get("/v1/audit")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_with_another_master_key_it_is_never_ready_and_records_nothing(process: Process) -> None:
    async with running(process):

        async def is_ready() -> bool:
            return (await process.ready())["ready"]

        await until(is_ready)
    process.settings["MUSTER_KEYS__MASTER"] = new_master()
    await process.publish(process.log.create(process.log.ben, "Ben Miller"))
    async with running(process):

        async def refused() -> bool:
            return (await process.ready())["keys"] == "the master key is wrong"

        await until(refused)
        state = await process.ready()
        assert (state["ready"], state["position"]) == (False, 0)


async def test_it_runs_as_a_program_and_ends_on_sigterm(process: Process) -> None:
    port = free_ports(1)[0]
    environment = (
        os.environ | process.settings | {"MUSTER_LISTEN__AUDIT": str(port), "PYTHONPATH": ".:contracts"}
    )
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.audit.app", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

            async def ready() -> bool:
                try:
                    return (await client.get("/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await process.publish(process.log.create(process.log.ben, "Ben Miller"))
            await until(ready)

            async def recorded() -> bool:
                return (await client.get("/ready")).json()["position"] == 1

            await until(recorded)
            assert (await client.get("/v1/audit")).status_code == 401
        program.terminate()
        _, logged = await asyncio.wait_for(program.communicate(), 25)
        assert program.returncode == 0
    finally:
        with suppress(ProcessLookupError):
            program.kill()  # where something above failed
    for personal in (b"Miller", b"acme.example", b"203.0.113.7", b"Traceback"):
        assert personal not in logged


def test_a_malformed_key_is_told_in_one_sentence_with_exit_code_2() -> None:
    environment = {**os.environ, "MUSTER_KEYS__MASTER": "nonsense", "PYTHONPATH": ".:contracts"}
    ended = subprocess.run(
        [sys.executable, "-m", "services.audit.app"], env=environment, capture_output=True, text=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
