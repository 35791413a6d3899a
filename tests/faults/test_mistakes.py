"""The checker is checked: each known mistake is put in, and has to be found; and only then.

Only then: the same work without the mistake, with the same time to come to rest, is found to be right.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable

import pytest

from services.kit.postgres import connect
from tests.faults.checks import check
from tests.faults.driver import load, make_world
from tests.faults.evidence import Evidence, gather
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.history import History
from tests.faults.inject.mistakes import MISTAKES
from tests.faults.races import POSTING, Races
from tests.faults.report import LONG, SEED, Report

NAMES = ("identity-1", "identity-2", "relay-1", "audit-1", "notifier-1")
ROUNDS = 12
DEATHS = 4
REST_SECONDS = 20.0
"""A mistake often keeps things from coming to rest; that alone is not what it has to be found by."""
SHORT = ("guard_not_read", "told_before_commit")
ON_KAFKA = "kafka holds every event in order"
MAILS = "one mail goes out for each cause"
RIGHTS = "nobody acts after the right is gone"
FOUND_BY = {
    "cursor_before_ack": rf"{ON_KAFKA}: \d+ of \d+ events are not on Kafka",
    "position_from_sequence": r"positions are dense: \d+ events up to \d+, out of step",
    "no_inbox": rf"{MAILS}: \S+ at \d+ has ([2-9]|\d\d+) mails",
    "guard_not_read": r"an owner can always sign in: org_\w+ has none from \d+ on, after",
    "right_not_read": rf"{RIGHTS}: \S+ at \d+ by someone active as member",
    "sign_in_not_guarded": rf"{RIGHTS}: session\.started at \d+ by someone inactive",
    "offset_before_effect": r"each event is in the audit once: \d+ of \d+ are not there",
    "by_the_clock": rf"{ON_KAFKA}: \d+ of \d+ events are not on Kafka",
    "told_before_commit": r"what was acknowledged is durable: \w+ was answered \[\(.*, the log has \[\]",
    "answer_not_kept": r"the same key has the same answer: \w+: \[",
    "table_after_commit": r"the users table is what the log says: usr_\w+(: .* instead of| is at)",
    "no_lease": rf"{MAILS}: \d+ came twice although at most",
}
"""The sentence that a mistake has to be found by: what is merely late would be told in other ones."""

Work = Callable[[Ground], Awaitable[History]]


async def _work(ground: Ground) -> History:
    world = await make_world(ground, calm=2, duels=0)
    async with load(ground, world, SEED) as history:
        async with asyncio.timeout(30):
            while history.acknowledged < 150:
                await asyncio.sleep(0.1)
    return history


def _dying(point: str, sound: str) -> Work:
    """Processes die at a point that only the mistake has, and without it at one much like it."""

    async def work(ground: Ground) -> History:
        world, name = await make_world(ground, calm=2, duels=0), point if ground.mistake else sound
        async with load(ground, world, SEED) as history:
            for _ in range(DEATHS):
                ground.arm(name)
                assert await ground.until_hit(name), f"nobody came to {name}"
                await ground.until_ready(f"{name.partition('.')[0]}-1")
                await asyncio.sleep(0.5)
        return history

    return work


def _race(round_: Callable[[Races], Awaitable[None]]) -> Work:
    async def work(ground: Ground) -> History:
        races = Races(ground, ground.history(SEED), random.Random(SEED))
        for _ in range(ROUNDS):
            try:
                await round_(races)
            except AssertionError:
                if not ground.mistake:
                    raise
                continue  # the answers told it already; here the checker has to see it
        return races.history

    return work


async def _both_ways_out(races: Races) -> None:
    await races.both_ways_out(await races.people("owner2"))


async def _demoted(races: Races) -> None:
    await races.demoted_while_posting(await races.people(*POSTING))


async def _deactivated(races: Races) -> None:
    await races.deactivated_while_signing_in(await races.people("member"), 0, 4)


WORK: dict[str, Work] = {
    "cursor_before_ack": _dying("relay.mistake", "relay.after_cursor"),
    "guard_not_read": _race(_both_ways_out),
    "right_not_read": _race(_demoted),
    "sign_in_not_guarded": _race(_deactivated),
    "offset_before_effect": _dying("audit.mistake", "audit.before_effect"),
    "told_before_commit": _dying("identity.mistake", "identity.before_commit"),
    "table_after_commit": _dying("identity.mistake", "identity.after_commit"),
}
DELIVERY = {"no_inbox": "twice"}
CONTROLS = {"": (*WORK, "no_lease"), "twice": ("no_inbox",)} if LONG else {"": SHORT}
"""By how the relay delivers: mistakes whose work is done without them as well, each way of working once."""


async def _lost_on_the_way_to_kafka(ground: Ground, evidence: Evidence) -> list[int]:
    """Positions that the relay's cursor has passed, and that are not on Kafka: nobody will ever bring them."""
    connection = await connect(ground.url("identity", admin=True))
    cursor = await connection.fetchval("SELECT position FROM relay_cursor")
    await connection.close()
    there = {record.headers.get("ce_id") for records in evidence.kafka.values() for record in records}
    return [e.position for e in evidence.log if e.position and e.position <= cursor and e.id not in there]


async def _lost_on_the_way_to_audit(ground: Ground, evidence: Evidence) -> list[int]:
    """Offsets that audit's own have passed, and whose events are not recorded."""
    connection = await connect(ground.url("audit", admin=True))
    rows = await connection.fetch("SELECT topic, partition, next_offset FROM offsets")
    await connection.close()
    done = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    recorded = {row["id"].removeprefix("aud_") for row in evidence.audit}
    return [
        record.offset
        for topic in {topic for topic, _ in done}
        for record in evidence.kafka[topic]
        if record.offset < done.get((topic, record.partition), 0)
        and record.headers["ce_id"].removeprefix("evt_") not in recorded
    ]


LOST = {
    "cursor_before_ack": _lost_on_the_way_to_kafka,
    "by_the_clock": _lost_on_the_way_to_kafka,
    "offset_before_effect": _lost_on_the_way_to_audit,
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mistake", MISTAKES if LONG else SHORT)
async def test_a_known_mistake_is_found(servers: Servers, report: Report, mistake: str) -> None:
    delivery = DELIVERY.get(mistake, "")
    async with open_ground(servers, names=NAMES, mistake=mistake, delivery=delivery) as ground:
        history = await WORK.get(mistake, _work)(ground)
        evidence = await gather(ground, REST_SECONDS)
        lost = await LOST[mistake](ground, evidence) if mistake in LOST else None
    found = check(history, evidence)
    report.say(f"mistake {mistake}", "; ".join(found)[:300] or "NOT FOUND")
    assert any(re.match(FOUND_BY[mistake], sentence, re.DOTALL) for sentence in found), found
    assert lost is None or lost, "what is missing is still under way"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("delivery", CONTROLS)
async def test_without_a_mistake_nothing_is_found(servers: Servers, report: Report, delivery: str) -> None:
    async with open_ground(servers, names=NAMES, delivery=delivery) as ground:
        for mistake in CONTROLS[delivery]:
            history = await WORK.get(mistake, _work)(ground)
            evidence = await gather(ground, REST_SECONDS)
            report.note(f"as for {mistake}, without it", history, evidence)
            assert check(history, evidence) == [], mistake
