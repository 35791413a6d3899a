"""People against each other, through two ways in at once: whoever loses has lost, and nothing follows."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator

import pytest

from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.races import ACTS, POSTING, Races
from tests.faults.racing import NAMES, settle
from tests.faults.report import SEED, Report, either

PAIRS = int(either(1000, 16))
"""Rounds of two against each other: at least each act against each."""
FLOODS = int(either(1000, 10))
"""Rounds in which someone asks on and on."""

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers, names=NAMES) as ground:
        yield ground


def races(ground: Ground) -> Races:
    return Races(ground, ground.history(SEED), random.Random(SEED), "gateway")


async def end(each: Races, report: Report, name: str) -> None:
    await settle(each.ground, each.history, report, name, each.told())


async def test_of_two_owners_who_act_on_each_other_one_remains(ground: Ground, report: Report) -> None:
    each, pairs = races(ground), itertools.cycle(itertools.product(ACTS, ACTS))
    for _ in range(PAIRS):
        await each.two_owners(await each.people("owner2"), *next(pairs))
    await end(each, report, "two Owners")
    _was_a_race_of_two(each)


async def test_an_owner_cannot_leave_by_two_ways_at_once(ground: Ground, report: Report) -> None:
    each = races(ground)
    for _ in range(PAIRS):
        await each.both_ways_out(await each.people("owner2"))
    await end(each, report, "both ways out")
    _was_a_race_of_two(each)


async def test_nothing_of_an_admin_follows_the_demotion(ground: Ground, report: Report) -> None:
    each = races(ground)
    for _ in range(FLOODS):
        await each.demoted_while_posting(await each.people(*POSTING))
    await end(each, report, "demoted while posting")
    assert each.seen["mixed"] >= FLOODS / 2, each.told()


async def test_no_request_and_no_sign_in_slips_past_a_deactivation(ground: Ground, report: Report) -> None:
    each = races(ground)
    for _ in range(FLOODS):
        await each.deactivated_while_signing_in(await each.people("member"))
    await end(each, report, "deactivated while signing in")
    assert each.seen["entered"] == FLOODS, each.told()
    assert each.seen["mixed"] >= FLOODS / 4, each.told()


def _was_a_race_of_two(each: Races) -> None:
    """Most rounds crossed processes, each side won some, and hardly anyone lost for want of time."""
    seen = each.seen
    assert seen["through two gateways"] >= PAIRS / 2, each.told()
    assert min(seen["won by the first"], seen["won by the second"]) >= PAIRS / 10, each.told()
    assert seen["lost with 503 busy"] <= PAIRS / 10, each.told()
