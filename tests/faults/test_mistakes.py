"""The checker is checked: each known mistake is put in, and has to be found; and only then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from tests.faults.checks import check
from tests.faults.driver import load, make_world
from tests.faults.evidence import gather
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.history import History
from tests.faults.inject.mistakes import MISTAKES
from tests.faults.races import POSTING, Races
from tests.faults.report import LONG, SEED, Report

NAMES = ("identity-1", "identity-2", "relay-1", "audit-1", "notifier-1")
ROUNDS = 12
DEATHS = 4
REST_SECONDS = 8.0
"""A mistake often keeps things from coming to rest; that alone is not what it has to be found by."""
SHORT = ("guard_not_read", "told_before_commit")
FOUND_BY = {
    "cursor_before_ack": "kafka holds every event in order",
    "position_from_sequence": "positions are dense",
    "no_inbox": "one mail goes out for each cause",
    "guard_not_read": "an owner can always sign in",
    "right_not_read": "nobody acts after the right is gone",
    "sign_in_not_guarded": "nobody acts after the right is gone",
    "offset_before_effect": "each event is in the audit once",
    "by_the_clock": "kafka holds every event in order",
    "told_before_commit": "what was acknowledged is durable",
    "answer_not_kept": "the same key has the same answer",
    "table_after_commit": "the users table is what the log says",
    "no_lease": "one mail goes out for each cause",
}


async def _work(ground: Ground) -> History:
    world = await make_world(ground, calm=2, duels=0)
    async with load(ground, world, SEED) as history:
        async with asyncio.timeout(30):
            while history.acknowledged < 150:
                await asyncio.sleep(0.1)
    return history


def _dying(point: str) -> Callable[[Ground], Awaitable[History]]:
    async def work(ground: Ground) -> History:
        world = await make_world(ground, calm=2, duels=0)
        async with load(ground, world, SEED) as history:
            for _ in range(DEATHS):
                ground.arm(point)
                await ground.until_hit(point, 15)
                await asyncio.sleep(0.5)
        return history

    return work


def _race(round_: Callable[[Races], Awaitable[None]]) -> Callable[[Ground], Awaitable[History]]:
    async def work(ground: Ground) -> History:
        races = Races(ground, ground.history(SEED), random.Random(SEED))
        for _ in range(ROUNDS):
            try:
                await round_(races)
            except AssertionError:
                continue  # the answers told it already; here the checker has to see it
        return races.history

    return work


async def _both_ways_out(races: Races) -> None:
    await races.both_ways_out(await races.people("owner2"))


async def _demoted(races: Races) -> None:
    await races.demoted_while_posting(await races.people(*POSTING))


async def _deactivated(races: Races) -> None:
    await races.deactivated_while_signing_in(await races.people("member"), 0, 4)


WORK: dict[str, Callable[[Ground], Awaitable[History]]] = {
    "cursor_before_ack": _dying("relay.mistake"),
    "guard_not_read": _race(_both_ways_out),
    "right_not_read": _race(_demoted),
    "sign_in_not_guarded": _race(_deactivated),
    "offset_before_effect": _dying("audit.before_effect"),
    "told_before_commit": _dying("identity.mistake"),
    "table_after_commit": _dying("identity.mistake"),
}
DELIVERY = {"no_inbox": "twice"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mistake", MISTAKES if LONG else SHORT)
async def test_a_known_mistake_is_found(servers: Servers, report: Report, mistake: str) -> None:
    delivery = DELIVERY.get(mistake, "")
    async with open_ground(servers, names=NAMES, mistake=mistake, delivery=delivery) as ground:
        history = await WORK.get(mistake, _work)(ground)
        evidence = await gather(ground, REST_SECONDS)
    found = check(history, evidence)
    report.say(f"mistake {mistake}", "; ".join(found)[:300] or "NOT FOUND")
    assert any(sentence.startswith(FOUND_BY[mistake]) for sentence in found), found
