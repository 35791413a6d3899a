"""Servers and processes are away, frozen or wiped for a while: what was told stays true, and the rest catches up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest
from muster_contracts.topics import ALL

from services.kit import topics
from services.kit.postgres import connect
from tests.faults.checks import check
from tests.faults.driver import load, make_world
from tests.faults.evidence import Evidence, gather
from tests.faults.ground import Ground
from tests.faults.history import History
from tests.faults.mail_server import MOODS
from tests.faults.report import LONG, SEED, Report, either

FROZEN_SECONDS = either(20, 10)
TAKEN_OVER_SECONDS = 60
"""At the latest so long after that the second one of each is seen at work."""
KAFKA_AWAY_SECONDS = either(60, 4)
KAFKA_KILLS = int(either(5, 2))
STOPS = int(either(5, 2))
CALM_SECONDS = either(5, 1.5)
HITS = int(either(8, 2))

pytestmark = pytest.mark.timeout(900)
long = pytest.mark.skipif(not LONG, reason="in the long form only: make faults")


async def under(
    ground: Ground, report: Report, name: str, faults: Callable[[History], Awaitable[None]]
) -> tuple[History, Evidence]:
    """Load, faults, load again; then everything is compared."""
    world = await make_world(ground)
    async with load(ground, world, SEED) as history:
        await asyncio.sleep(CALM_SECONDS)
        await faults(history)
        await asyncio.sleep(CALM_SECONDS)
    evidence = await gather(ground, either(240, 90))
    report.note(name, history, evidence)
    assert check(history, evidence) == []
    return history, evidence


async def test_of_two_a_second_one_takes_over_from_a_frozen_one(ground: Ground, report: Report) -> None:
    async def freeze(history: History) -> None:
        names = ["identity-2", await _leading(ground), "audit-1", "notifier-1"]  # the others ask identity-1
        async with AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(ground.frozen_for_a_while(name))
            before, acknowledged = await _progress(ground), history.acknowledged
            await asyncio.sleep(FROZEN_SECONDS)
            async with asyncio.timeout(TAKEN_OVER_SECONDS):
                while not _is_behind(before, await _progress(ground)):
                    await asyncio.sleep(0.2)
            assert history.acknowledged > acknowledged

    await under(ground, report, f"frozen for {FROZEN_SECONDS:.0f} s", freeze)


@long
async def test_nobody_waits_for_a_writer_that_froze_in_the_middle_of_a_commit(
    ground: Ground, report: Report
) -> None:
    async def freeze(history: History) -> None:
        ground.arm("identity.before_commit", number=signal.SIGSTOP)
        assert await ground.until_hit("identity.before_commit")
        acknowledged = history.acknowledged
        await asyncio.sleep(FROZEN_SECONDS + 4)
        assert history.acknowledged > acknowledged
        for name in ("identity-1", "identity-2"):
            os.kill(ground.pids[name], signal.SIGCONT)

    await under(ground, report, "writer frozen amid a commit", freeze)


async def test_kafka_may_be_away(ground: Ground, report: Report) -> None:
    async def stop(history: History) -> None:
        await asyncio.to_thread(ground.servers.kafka.stop)
        acknowledged = history.acknowledged
        await asyncio.sleep(KAFKA_AWAY_SECONDS)
        assert history.acknowledged > acknowledged
        await asyncio.to_thread(ground.servers.kafka.start)

    await under(ground, report, f"Kafka away for {KAFKA_AWAY_SECONDS:.0f} s", stop)


@long
async def test_kafka_may_be_killed(ground: Ground, report: Report) -> None:
    async def kill(_history: History) -> None:
        for _ in range(KAFKA_KILLS):
            await asyncio.to_thread(ground.servers.kafka.kill)
            await asyncio.to_thread(ground.servers.kafka.start)
            await asyncio.sleep(CALM_SECONDS)

    await under(ground, report, f"Kafka killed {KAFKA_KILLS} times", kill)


async def test_postgres_may_be_stopped_at_once(ground: Ground, report: Report) -> None:
    async def stop(_history: History) -> None:
        for _ in range(STOPS):
            await ground.servers.stop_postgres_at_once()
            ground.kills["postgres"] += 1
            await asyncio.to_thread(ground.servers.postgres.start)
            await asyncio.sleep(CALM_SECONDS)

    await under(ground, report, f"PostgreSQL stopped at once {STOPS} times", stop)


async def test_the_mail_server_may_have_any_mood(ground: Ground, report: Report) -> None:
    chance = random.Random(SEED)

    async def bad_days(_history: History) -> None:
        ground.mail.kill_client = lambda: ground.kill("notifier-1", "notifier-2")
        for mood in MOODS:
            ground.mail.mood, ground.mail.share = mood, chance.uniform(0.4, 0.9)
            hits = ground.mail.hits[f"mail.{mood}"]
            async with asyncio.timeout(90):
                while ground.mail.hits[f"mail.{mood}"] < hits + HITS:
                    await asyncio.sleep(0.05)
            ground.mail.mood = ""

    await under(ground, report, "moods of the mail server", bad_days)
    report.hit(ground.hits())


async def test_kafka_may_lose_everything(ground: Ground, report: Report) -> None:
    """The data of Kafka is wiped under the load: what is of this week is published again, in order."""

    async def wipe(_history: History) -> None:
        await asyncio.to_thread(ground.servers.wipe_kafka)
        await asyncio.to_thread(ground.servers.kafka.start)
        await topics.create(ground.servers.bootstrap, ALL)
        await asyncio.sleep(CALM_SECONDS)

    await under(ground, report, "Kafka wiped", wipe)


async def _leading(ground: Ground) -> str:
    """The relay that leads now."""
    for name in ("relay-1", "relay-2"):
        async with ground.http.get(f"{ground.address(name)}/ready") as answer:
            if (await answer.json())["role"] == "leading":
                return name
    raise aiohttp.ClientError("no relay leads")


def _is_behind(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    return all(earlier < later for earlier, later in zip(before, after, strict=True))


async def _progress(ground: Ground) -> tuple[int, int, int]:
    """How far the relay, audit and the notifier's own log are."""
    found: list[int] = []
    for service, query in (
        ("identity", "SELECT position FROM relay_cursor"),
        ("audit", "SELECT position FROM progress"),
        ("notifier", "SELECT position FROM log_head"),
    ):
        connection = await connect(ground.url(service, admin=True))
        found.append(await connection.fetchval(query))
        await connection.close()
    return found[0], found[1], found[2]
