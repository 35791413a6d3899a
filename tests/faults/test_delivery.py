"""A relay that repeats itself and swaps neighbors, and poison on every topic: nobody loses, doubles or stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.faults.checks import FROM_IDENTITY, FROM_NOTIFIER, check
from tests.faults.driver import load, make_world
from tests.faults.evidence import gather
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.poison import one_of_each, spread
from tests.faults.report import SEED, Report, either

SECONDS = either(60, 5)
NAMES = ("identity-1", "identity-2", "relay-1", "audit-1", "audit-2", "notifier-1", "notifier-2")

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers, names=NAMES, delivery="twice,swap") as ground:
        yield ground


async def test_records_may_come_twice_and_in_the_wrong_order(ground: Ground, report: Report) -> None:
    world = await make_world(ground)
    async with load(ground, world, SEED) as history:
        await asyncio.sleep(SECONDS)
    evidence = await gather(ground)
    evidence.disordered = True
    report.note("every record twice, neighbors swapped", history, evidence)
    assert check(history, evidence) == []
    seen = Counter(record.headers["ce_id"] for record in evidence.kafka["muster.users"])
    assert min(seen.values()) >= 2


async def test_poison_is_put_aside_and_the_rest_goes_on(ground: Ground, report: Report) -> None:
    world = await make_world(ground)
    topics = [*FROM_IDENTITY, *FROM_NOTIFIER, "muster.session-receipts"]
    async with load(ground, world, SEED) as history:
        await asyncio.sleep(SECONDS / 2)
        claimed = await spread(ground.servers.bootstrap, topics)
        await asyncio.sleep(SECONDS / 2)
    evidence = await gather(ground)
    evidence.disordered, evidence.foreign = True, claimed
    parked = Counter((row["service"], row["topic"]) for row in evidence.parked)
    report.note("poison", history, evidence, f"{sum(parked.values())} parked")
    assert check(history, evidence) == []
    for topic in topics:
        # A type or a field that audit does not know is evidence all the same, so not every kind is parked.
        assert parked["audit", topic] >= len(one_of_each()) - 4, parked
