"""Relays as processes that are killed and frozen at the worst moment."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.local.kafka_training import free_ports
from services.kit.postgres import connect
from tests.support.identity_place import USERS, Place, open_place, positions, renaming, sequences, until
from tests.support.servers import KafkaServer, PostgresServer

ROOT = Path(__file__).resolve().parents[2]
IDENTITYS = "FROM pg_stat_activity WHERE usename = 'identity' AND datname = current_database()"
CURSOR = "SELECT position, epoch FROM relay_cursor"
END_BACKENDS = f"SELECT pg_terminate_backend(pid, 5000) {IDENTITYS}"


@dataclass
class Process:
    process: subprocess.Popen[bytes]
    port: int

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    async def health(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.port}/ready", timeout=3)
            except httpx.TransportError:
                return {}
        return {**answer.json(), "status": answer.status_code}

    async def has_role(self, role: str) -> bool:
        return (await self.health()).get("role") == role


@pytest.fixture
async def place(postgres_server: PostgresServer, kafka_server: KafkaServer) -> AsyncIterator[Place]:
    async with open_place(postgres_server, kafka_server) as place:
        yield place


@contextmanager
def running(place: Place) -> Iterator[Process]:
    port = free_ports(1)[0]
    settings = {
        "MUSTER_DATABASES__IDENTITY": place.url,
        "MUSTER_KAFKA__BOOTSTRAP": place.kafka.bootstrap,
        "MUSTER_KEYS__MASTER": place.log.master,
        "MUSTER_LISTEN__RELAY": str(port),
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "contracts")]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.identity.relay"], env=os.environ | settings, cwd=ROOT
    )
    try:
        yield Process(process, port)
    finally:
        process.kill()
        process.wait(10)


async def test_a_relay_killed_between_acknowledgement_and_cursor_repeats_and_skips_nothing(
    place: Place,
):
    user = await place.log.create_user()
    with running(place) as first:
        await until(lambda: first.has_role("leading"))
        await place.published(1)
        holder = await connect(place.admin_url)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("SELECT * FROM relay_cursor FOR UPDATE")
        last = await place.log.append(*(renaming(user, f"Ada {n}") for n in range(50)))
        await place.read(USERS, lambda found: len(found) >= last)
        await until(lambda: _waits_for_the_cursor(place))
        first.kill()
        await place.log.connection.execute(END_BACKENDS)
        await transaction.rollback()
        await holder.close()
    with running(place):
        after = await place.log.append(*(renaming(user, f"Ada {n}") for n in range(50, 60)))
        await place.published(after)
    records = await place.read(USERS, lambda found: found and int(found[-1].headers["ce_position"]) >= after)
    assert positions(records) == list(range(1, after + 1))
    assert sequences(records)[user] == list(range(1, after + 1))
    assert len(records) == after + 50


async def test_a_frozen_leader_loses_the_lead_and_does_not_move_the_cursor_when_it_wakes(place: Place):
    users = [await place.log.create_user() for _ in range(5)]
    with running(place) as first:
        await until(lambda: first.has_role("leading"))
        with running(place) as second:
            await until(lambda: second.has_role("standing_by"))
            first.signal(signal.SIGSTOP)
            last = await place.log.append(*(renaming(user, "Ada King") for user in users * 20))
            await until(lambda: second.has_role("leading"))
            await place.published(last)
            row = await place.log.connection.fetchrow(CURSOR)
            first.signal(signal.SIGCONT)
            await until(lambda: first.has_role("standing_by"))
            assert await place.log.connection.fetchrow(CURSOR) == row
            last = await place.log.append(*(renaming(user, "Ada Byron") for user in users))
            await place.published(last)
            assert (await second.health())["position"] == last
    records = await place.read(USERS, lambda found: len(set(positions(found))) >= last)
    assert sorted(positions(records)) == list(range(1, last + 1))
    assert all(numbers == sorted(numbers) for numbers in sequences(records).values())


async def test_sigterm_lets_the_page_under_way_finish_so_nothing_comes_twice(place: Place):
    user = await place.log.create_user()
    with running(place) as relay:
        await until(lambda: relay.has_role("leading"))
        for n in range(20):
            await place.log.append(renaming(user, f"Ada {n}"))
        relay.signal(signal.SIGTERM)
        assert await asyncio.to_thread(relay.process.wait, 10) == 0
    with running(place):
        last = await place.log.rename(user, "Ada King")
        await place.published(last)
    records = await place.read(USERS, lambda found: len(found) >= last)
    assert [int(record.headers["ce_position"]) for record in records] == list(range(1, last + 1))


async def test_ready_tells_that_kafka_is_away_and_that_it_is_back(place: Place):
    with running(place) as relay:
        await until(lambda: relay.has_role("leading"))
        assert (await relay.health())["status"] == 200
        place.kafka.stop()
        try:
            last = await place.log.rename(await place.log.create_user(), "Ada King")
            health = await relay.health()
            assert (health["status"], health["kafka"]) == (503, False)
        finally:
            place.kafka.start()
        await place.published(last)
        await until(lambda: _is_ready(relay))


def test_a_relay_without_a_master_key_refuses_to_start_with_one_sentence():
    process = subprocess.run(
        [sys.executable, "-m", "services.identity.relay"],
        capture_output=True,
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert process.returncode == 2
    assert process.stderr.decode().splitlines() == ["no master key is set"]


async def _waits_for_the_cursor(place: Place) -> bool:
    return await place.log.connection.fetchval(
        f"SELECT count(*) > 0 {IDENTITYS} AND wait_event_type = 'Lock'"
    )


async def _is_ready(relay: Process) -> bool:
    return (await relay.health()).get("status") == 200
