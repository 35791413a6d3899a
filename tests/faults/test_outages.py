"""Servers and processes are away, frozen or wiped for a while: what was told stays true, and the rest catches up."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import aiohttp
import pytest
from muster_contracts.topics import ALL, USERS

from services.identity.store import TRANSACTION_SECONDS
from services.kit import topics
from services.kit.postgres import connect
from tests.faults.checks import check
from tests.faults.driver import load, make_world
from tests.faults.evidence import Evidence, gather
from tests.faults.ground import Ground
from tests.faults.history import History
from tests.faults.mail_server import MOODS
from tests.faults.report import LONG, SEED, Pace, Report, either, pace
from tests.faults.steady import steady

FROZEN_SECONDS = either(20, 10)
TAKEN_OVER_SECONDS = 60
"""At the latest so long after that the second one of each is seen at work."""
TAKEN_OVER_PARTITIONS = 3
KAFKA_AWAY_SECONDS = either(60, 4)
KAFKA_KILLS = int(either(5, 2))
STOPS = int(either(5, 2))
CALM_SECONDS = either(5, 1.5)
HITS = int(either(8, 2))
BACK_SECONDS, BACK_COMMANDS = 30, 10
"""So long after a start of PostgreSQL, at the latest, so many commands were accepted that began since."""
RATE, SILENCE_SECONDS = 10.0, 4.0
"""What callers get at least, and for how long nothing at most, while what they do not need is away."""
STEADY_RATE, FROZEN_SILENCE_SECONDS = 2.0, TRANSACTION_SECONDS + 4.0
"""The same for one caller of one process, while the other one may hold what it froze with until it is taken away."""

pytestmark = pytest.mark.timeout(900)
long = pytest.mark.skipif(not LONG, reason="in the long form only: make faults")
Faults = Callable[[History], Awaitable[object]]


async def under(ground: Ground, report: Report, name: str, faults: Faults) -> tuple[History, Evidence]:
    """Load, faults, load again; then everything is compared. What the faults return is told in the report."""
    world, healed = await make_world(ground), ground.said("audit", "healing a ")
    began = time.monotonic()
    async with load(ground, world, SEED) as history:
        await asyncio.sleep(CALM_SECONDS)
        calm = pace(history, began)
        told = await faults(history)
        await asyncio.sleep(CALM_SECONDS)
    evidence = await gather(ground, either(240, 90))
    healings = f"{ground.said('audit', 'healing a ') - healed} healings by audit"
    more = [f"meanwhile: {told}"] if told else []
    report.note(name, history, evidence, healings, f"calm: {calm.rate:.0f}/s", *more)
    assert check(history, evidence) == []
    return history, evidence


def went_on(history: History, since: float) -> Pace:
    """That work went on since then for everybody, although something was away that answers do not need."""
    found = pace(history, since)
    assert found.rate >= RATE, found
    assert found.silence <= SILENCE_SECONDS, found
    return found


def went_on_beside_the_frozen(history: History, since: float) -> Pace:
    """That work went on through the other process, when what the frozen one held was taken from it."""
    found = pace(history, since)
    assert found.silence <= FROZEN_SILENCE_SECONDS, found
    assert found.accepted >= STEADY_RATE * (found.seconds - found.silence), found
    return found


async def test_of_two_a_second_one_takes_over_from_a_frozen_one(ground: Ground, report: Report) -> None:
    org = await ground.place.organization(None, "member")

    async def freeze(history: History) -> Pace:
        names = ["identity-2", await _leading(ground), "audit-1", "notifier-1"]  # the others ask identity-1
        readers = {service: await _share_of_users(ground, service) for service in ("audit", "notifier")}
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(steady(ground, history, ["identity-1"], org))
            for name in names:
                await stack.enter_async_context(ground.frozen_for_a_while(name))
            began = time.monotonic()
            await asyncio.sleep(FROZEN_SECONDS)
            before = await _progress(ground, readers)  # a commit that was under way is in it
            deadline = time.monotonic() + TAKEN_OVER_SECONDS
            while not before.is_behind(now := await _progress(ground, readers)):
                assert time.monotonic() < deadline, f"{before} → {now}, open: {await _open(ground)}"
                await asyncio.sleep(0.2)
            return went_on_beside_the_frozen(history, began)

    await under(ground, report, f"frozen for {FROZEN_SECONDS:.0f} s", freeze)


class InHand(NamedTuple):
    """Where a process freezes with work in its hands, and how its loss is known."""

    point: str
    taken_over: Callable[[Ground, str], Awaitable[Sequence[int]]]
    """What grows as soon as another process has taken over from this one."""
    refused: Callable[[Ground, str], int]
    """How often this process was told so."""


async def _of_the_relay(ground: Ground, _: str) -> Sequence[int]:
    return await _ask(ground, "identity", "SELECT epoch, position FROM relay_cursor")


async def _of_the_reader(ground: Ground, name: str) -> Sequence[int]:
    return [sum((await _offsets(ground, name.partition("-")[0], ground.partitions(name))).values())]


async def _of_the_courier(ground: Ground, _: str) -> Sequence[int]:
    return await _ask(
        ground, "notifier", "SELECT count(*) FROM messages WHERE state = 'sent' AND attempts > 1"
    )


def _lost_the_lead(ground: Ground, name: str) -> int:
    """The mark that it leaves is heeded by the other one, which says so."""
    other = f"relay-{3 - int(name[-1])}"
    return min(ground.said(name, "LeadershipLost"), ground.said(other, "an earlier leader ended late"))


def _lost_the_lease(ground: Ground, name: str) -> int:
    return ground.said(name, "a message was finished after its lease")


IN_HAND = [
    InHand("relay.before_produce", _of_the_relay, _lost_the_lead),
    InHand("relay.after_produce", _of_the_relay, _lost_the_lead),
    InHand("audit.before_effect_commits", _of_the_reader, Ground.refused),
    InHand("notifier.before_effect_commits", _of_the_reader, Ground.refused),
    InHand("notifier.mail_answered", _of_the_courier, _lost_the_lease),
]


@pytest.mark.parametrize("work", IN_HAND if LONG else IN_HAND[:1], ids=lambda work: work.point)
async def test_what_a_frozen_one_has_in_hand_is_refused_to_it(
    ground: Ground, report: Report, work: InHand
) -> None:
    async def freeze(_history: History) -> str:
        ground.arm(work.point, number=signal.SIGSTOP)
        assert await ground.until_hit(work.point)
        name = ground.last_hit(work.point)
        ground.kills[f"{name.partition('-')[0]} frozen"] += 1
        before, refused = await work.taken_over(ground, name), work.refused(ground, name)
        try:
            deadline = time.monotonic() + TAKEN_OVER_SECONDS
            while not _is_behind(before, await work.taken_over(ground, name)):
                assert time.monotonic() < deadline, f"{name} holds: {await _open(ground)}"
                await asyncio.sleep(0.1)
        finally:
            os.kill(ground.pids[name], signal.SIGCONT)
        async with asyncio.timeout(TAKEN_OVER_SECONDS):
            while work.refused(ground, name) == refused:
                await asyncio.sleep(0.1)
        return f"{name} was overtaken and refused"

    await under(ground, report, f"frozen at {work.point}", freeze)


@long
async def test_nobody_waits_for_a_writer_that_froze_in_the_middle_of_a_commit(
    ground: Ground, report: Report
) -> None:
    org = await ground.place.organization(None, "member")

    async def freeze(history: History) -> Pace:
        ground.arm("identity.before_commit", number=signal.SIGSTOP)
        assert await ground.until_hit("identity.before_commit")
        began, name = time.monotonic(), ground.last_hit("identity.before_commit")
        try:
            async with steady(ground, history, [f"identity-{3 - int(name[-1])}"], org):
                await asyncio.sleep(FROZEN_SECONDS + 4)
                return went_on_beside_the_frozen(history, began)
        finally:
            os.kill(ground.pids[name], signal.SIGCONT)

    await under(ground, report, "writer frozen amid a commit", freeze)


async def test_kafka_may_be_away(ground: Ground, report: Report) -> None:
    async def stop(history: History) -> Pace:
        await asyncio.to_thread(ground.servers.kafka.stop)
        began = time.monotonic()
        await asyncio.sleep(KAFKA_AWAY_SECONDS)
        found = went_on(history, began)
        await asyncio.to_thread(ground.servers.kafka.start)
        return found

    await under(ground, report, f"Kafka away for {KAFKA_AWAY_SECONDS:.0f} s", stop)


@long
async def test_kafka_may_be_killed(ground: Ground, report: Report) -> None:
    async def kill(history: History) -> Pace:
        began = time.monotonic()
        for _ in range(KAFKA_KILLS):
            await asyncio.to_thread(ground.servers.kafka.kill)
            await asyncio.to_thread(ground.servers.kafka.start)
            await asyncio.sleep(CALM_SECONDS)
        return went_on(history, began)

    await under(ground, report, f"Kafka killed {KAFKA_KILLS} times", kill)


async def test_postgres_may_be_stopped_at_once(ground: Ground, report: Report) -> None:
    async def stop(history: History) -> None:
        for _ in range(STOPS):
            await ground.servers.stop_postgres_at_once()
            ground.kills["postgres"] += 1
            await asyncio.to_thread(ground.servers.postgres.start)
            started = time.monotonic()
            async with asyncio.timeout(BACK_SECONDS):
                while pace(history, started).accepted < BACK_COMMANDS:
                    await asyncio.sleep(0.1)
            await asyncio.sleep(CALM_SECONDS)

    await under(ground, report, f"PostgreSQL stopped at once {STOPS} times", stop)


async def test_the_mail_server_may_have_any_mood(ground: Ground, report: Report) -> None:
    chance = random.Random(SEED)

    async def bad_days(history: History) -> Pace:
        began = time.monotonic()
        ground.mail.kill_client = lambda: ground.kill("notifier-1", "notifier-2")
        for mood in MOODS:
            ground.mail.mood, ground.mail.share = mood, chance.uniform(0.4, 0.9)
            hits = ground.mail.hits[f"mail.{mood}"]
            async with asyncio.timeout(90):
                while ground.mail.hits[f"mail.{mood}"] < hits + HITS:
                    await asyncio.sleep(0.05)
            ground.mail.mood = ""
        return went_on(history, began)

    await under(ground, report, "moods of the mail server", bad_days)
    report.hit(ground.hits())


async def test_kafka_may_lose_everything(ground: Ground, report: Report) -> None:
    """The data of Kafka is wiped under the load: what is of this week is published again, in order."""

    async def wipe(history: History) -> Pace:
        began = time.monotonic()
        await asyncio.to_thread(ground.servers.wipe_kafka)
        await asyncio.to_thread(ground.servers.kafka.start)
        await topics.create(ground.servers.bootstrap, ALL)
        await asyncio.sleep(CALM_SECONDS)
        return went_on(history, began)

    await under(ground, report, "Kafka wiped", wipe)


async def _leading(ground: Ground) -> str:
    """The relay that leads now."""
    for name in ("relay-1", "relay-2"):
        async with ground.http.get(f"{ground.address(name)}/ready") as answer:
            if (await answer.json())["role"] == "leading":
                return name
    raise aiohttp.ClientError("no relay leads")


def _is_behind(before: Sequence[int], after: Sequence[int]) -> bool:
    return all(earlier < later for earlier, later in zip(before, after, strict=True))


Places = set[tuple[str, int]]


async def _share_of_users(ground: Ground, service: str) -> Places:
    """Which partitions of people the first one of two readers has, once both of them have some."""
    async with asyncio.timeout(TAKEN_OVER_SECONDS):
        while True:
            one, two = ground.partitions(f"{service}-1"), ground.partitions(f"{service}-2")
            theirs = {place for place in one if place[0] == USERS.name}
            if two and not one & two and len(theirs) >= TAKEN_OVER_PARTITIONS:
                return theirs
            await asyncio.sleep(0.2)


class Progress(NamedTuple):
    logs: Sequence[int]
    """The relay's cursor, and the end of the notifier's own log."""
    read: dict[str, dict[tuple[str, int], int]]
    """By service: the next offset of partitions that a frozen reader had. No healer moves these."""

    def is_behind(self, other: Progress) -> bool:
        moved = [sum(other.read[s][place] > n for place, n in read.items()) for s, read in self.read.items()]
        return _is_behind(self.logs, other.logs) and min(moved) >= TAKEN_OVER_PARTITIONS


async def _progress(ground: Ground, readers: dict[str, Places]) -> Progress:
    logs = [
        *await _ask(ground, "identity", "SELECT position FROM relay_cursor"),
        *await _ask(ground, "notifier", "SELECT position FROM log_head"),
    ]
    return Progress(logs, {s: await _offsets(ground, s, places) for s, places in readers.items()})


async def _open(ground: Ground) -> list[str]:
    """Transactions that somebody began and does not go on with: what a frozen one holds, others wait for."""
    connection = await connect(ground.url("identity", admin=True))
    rows = await connection.fetch(
        "SELECT format('%s for %s after %s', usename, now() - xact_start, left(query, 60)) FROM pg_stat_activity"
        " WHERE state = 'idle in transaction'"
    )
    await connection.close()
    return [row[0] for row in rows]


async def _offsets(ground: Ground, service: str, places: Places) -> dict[tuple[str, int], int]:
    connection = await connect(ground.url(service, admin=True))
    rows = await connection.fetch("SELECT topic, partition, next_offset FROM offsets")
    await connection.close()
    found = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return {place: found.get(place, 0) for place in places}


async def _ask(ground: Ground, service: str, query: str) -> list[int]:
    """The one row that a service's database answers."""
    connection = await connect(ground.url(service, admin=True))
    [row] = await connection.fetch(query)
    await connection.close()
    return list(row)
