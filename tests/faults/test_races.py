"""People against each other, through two ways in at once: whoever loses has lost, and a thing for one use has one."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator

import pytest

from tests.faults.checks import check
from tests.faults.evidence import gather
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.history import History
from tests.faults.races import ACTS, POSTING, Races
from tests.faults.report import SEED, Report, either

ROUNDS = int(either(1000, 16))
"""Of each kind."""
NAMES = ("identity-1", "identity-2", "gateway-1", "gateway-2", "relay-1", "audit-1", "notifier-1")

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers, names=NAMES) as ground:
        yield ground


def races(ground: Ground) -> Races:
    return Races(ground, ground.history(SEED), random.Random(SEED), "gateway")


async def settle(ground: Ground, history: History, report: Report, name: str) -> None:
    evidence = await gather(ground, either(600, 90))
    report.note(name, history, evidence, f"{ROUNDS} rounds")
    assert check(history, evidence) == []


async def test_of_two_owners_who_act_on_each_other_one_remains(ground: Ground, report: Report) -> None:
    each, pairs = races(ground), itertools.cycle(itertools.product(ACTS, ACTS))
    for _ in range(ROUNDS):
        org = await each.people("owner2")
        left = await each.two_owners(org, *next(pairs))
        me = await each.ask.send("GET", "/v1/me", left.token, None)
        assert (me.status, me.body["role"]["name"]) == (200, "Owner")
    await settle(ground, each.history, report, "two Owners")


async def test_an_owner_cannot_leave_by_two_ways_at_once(ground: Ground, report: Report) -> None:
    each = races(ground)
    for _ in range(ROUNDS):
        await each.both_ways_out(await each.people("owner2"))
    await settle(ground, each.history, report, "both ways out")


async def test_nothing_of_an_admin_follows_the_demotion(ground: Ground, report: Report) -> None:
    each = races(ground)
    for _ in range(ROUNDS):
        await each.demoted_while_posting(await each.people(*POSTING))
    await settle(ground, each.history, report, "demoted while posting")


async def test_no_request_and_no_sign_in_slips_past_a_deactivation(ground: Ground, report: Report) -> None:
    each = races(ground)
    for _ in range(ROUNDS):
        await each.deactivated_while_signing_in(await each.people("member"))
    await settle(ground, each.history, report, "deactivated while signing in")
