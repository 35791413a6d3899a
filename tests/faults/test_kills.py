"""Processes die, at random and at every named point, while people are administered: nothing told was untrue."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from tests.faults.checks import check
from tests.faults.driver import load, make_world
from tests.faults.evidence import gather
from tests.faults.ground import Ground
from tests.faults.inject import points
from tests.faults.report import SEED, Report, either

SECONDS = either(120, 8)
ROUNDS = int(either(5, 1))


@pytest.mark.timeout(600)
async def test_random_kills_lose_double_and_misplace_nothing(ground: Ground, report: Report) -> None:
    world, chance = await make_world(ground), random.Random(SEED)
    async with load(ground, world, SEED) as history:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            name = chance.choice(ground.names)
            ground.kill(name)
            await asyncio.sleep(chance.uniform(0.1, 1.0))
            await ground.until_ready(f"{name[:-1]}{3 - int(name[-1])}")  # the other one of the two
    evidence = await gather(ground)
    report.note("random kills", history, evidence, f"{dict(ground.kills)} killed")
    assert check(history, evidence) == []
    assert history.acknowledged > 50


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
