"""Processes die, at random and at every named point, while people are administered: nothing told was untrue."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from tests.faults.checks import check
from tests.faults.driver import load, make_world
from tests.faults.evidence import gather
from tests.faults.ground import TWO_OF_EACH, Ground, Servers, open_ground
from tests.faults.inject import points
from tests.faults.report import SEED, Report, either, pace
from tests.faults.steady import steady

SECONDS = either(120, 8)
CALM_SECONDS = 2.0
RATE = 3.0
"""Accepted commands a second, at least, while one process or another is dying."""
SILENCE_SECONDS = 10.0
ROUNDS = int(either(5, 1))
GATEWAYS = ("gateway-1", "gateway-2")


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers, names=(*TWO_OF_EACH, *GATEWAYS)) as ground:
        yield ground


@pytest.mark.timeout(600)
async def test_random_kills_lose_double_and_misplace_nothing(ground: Ground, report: Report) -> None:
    world, chance = await make_world(ground), random.Random(SEED)
    orgs = [await ground.place.organization(None, "member") for _ in range(4)]
    calm = time.monotonic()
    async with (
        load(ground, world, SEED) as history,
        steady(ground, history, GATEWAYS, *orgs),
    ):
        await asyncio.sleep(CALM_SECONDS)
        began = time.monotonic()
        for n, name in enumerate(_in_turn(ground.names, chance)):
            if n >= len(ground.names) and time.monotonic() > began + SECONDS:
                break
            ground.kill(name)
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            await ground.until_ready(f"{name[:-1]}{3 - int(name[-1])}")  # the other one of the two
        found, undisturbed = pace(history, began), pace(history, calm, began)
        through_gateways = pace(history, began, via="gateway")
    evidence = await gather(ground)
    killed = f"{dict(ground.kills)} killed"
    report.note(
        "random kills",
        history,
        evidence,
        killed,
        f"calm: {undisturbed.rate:.0f}/s",
        f"meanwhile: {found}",
        f"through gateways: {through_gateways}",
    )
    assert check(history, evidence) == []
    assert found.rate >= RATE, found
    assert found.silence <= SILENCE_SECONDS, found
    assert through_gateways.accepted >= RATE * SECONDS / 3, through_gateways


def _in_turn(names: Sequence[str], chance: random.Random) -> Iterator[str]:
    """Each of them once, by chance, again and again."""
    while True:
        yield from chance.sample(names, len(names))


@pytest.mark.timeout(1200)
async def test_a_process_may_die_at_every_point(ground: Ground, report: Report) -> None:
    """An unhit point fails: a place that no load comes to proves nothing."""
    world, chance = await make_world(ground), random.Random(SEED)
    before = ground.hits()
    unhit: list[str] = []
    async with load(ground, world, SEED + 1) as history:
        for _ in range(ROUNDS):
            for name in chance.sample(points.names(), len(points.names())):
                ground.arm(name, chance.randrange(3))
                if await ground.until_hit(name):
                    await ground.until_ready(f"{name.partition('.')[0]}-1")
                else:
                    unhit.append(name)
    evidence = await gather(ground)
    report.hit(ground.hits() - before)
    report.note("named points", history, evidence)
    assert unhit == []
    assert check(history, evidence) == []
