"""`muster events tail` as a process on a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local.kafka_training import free_ports
from tests.support.identity_place import Place, open_place
from tests.support.servers import KafkaServer, PostgresServer

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def place(postgres_server: PostgresServer, kafka_server: KafkaServer) -> AsyncIterator[Place]:
    async with open_place(postgres_server, kafka_server) as place, place.relay().running():
        yield place


@asynccontextmanager
async def tail(bootstrap: str, *arguments: str) -> AsyncIterator[Process]:
    settings = {
        "MUSTER_KAFKA__BOOTSTRAP": bootstrap,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "contracts")]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli.main", "events", "tail", *arguments,
        env=os.environ | settings, cwd=ROOT, stdout=PIPE, stderr=PIPE, preexec_fn=hear_ctrl_c,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def hear_ctrl_c() -> None:
    """A run in the background of a script ignores it, and what it starts would too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def next_line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), 20)).decode()


async def test_what_happens_is_shown_as_it_happens_and_ctrl_c_ends(place: Place):
    ada = await place.log.create_user()
    await place.published(1)
    async with tail(place.kafka.bootstrap, "--user", ada, "--type", "user") as process:
        assert "Ctrl-C ends" in await next_line(process.stderr)
        await place.log.create_user("Bob")
        await place.log.rename(ada, "Ada King")
        shown = await next_line(process.stdout)
        while "user.created" in shown:  # the relay may repeat what was published before
            shown = await next_line(process.stdout)
        assert f"user.renamed                 {ada} #2  by Grace Hopper" in shown
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_the_past_is_shown_on_demand_and_as_json(place: Place):
    ada = await place.log.create_user()
    await place.log.rename(ada, "Ada King")
    await place.published(2)
    async with tail(place.kafka.bootstrap, "--from-beginning", "--json", "--user", ada) as process:
        created, renamed = [json.loads(await next_line(process.stdout)) for _ in range(2)]
    assert (created["type"], created["data"]["email"]) == ("muster.user.created", f"{ada}@acme.example")
    assert (renamed["sequence"], renamed["data"]["name"]["new"]) == (2, "Ada King")


async def test_a_broker_that_does_not_answer_is_told_in_a_sentence():
    bootstrap = f"127.0.0.1:{free_ports(1)[0]}"
    async with tail(bootstrap) as process:
        assert await asyncio.wait_for(process.wait(), 30) == 3
        assert f"Kafka at {bootstrap} does not answer" in await next_line(process.stderr)
