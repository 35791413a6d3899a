"""A relay that repeats itself and swaps neighbors, and poison on every topic: nobody loses, doubles or stops."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.faults.checks import FROM_IDENTITY, FROM_NOTIFIER, check
from tests.faults.driver import load, make_world
from tests.faults.evidence import Evidence, gather
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.poison import Place, Poison, spread
from tests.faults.report import SEED, Report, either
from tests.support.plain_kafka import Read

SECONDS = either(60, 5)
SWAPPED = int(either(20, 5))
"""Of so many people, at least, something came in the wrong order: else that proves nothing."""
POISONED = (*FROM_IDENTITY, *FROM_NOTIFIER, "muster.session-receipts")
READ = {"audit": POISONED, "notifier": ("muster.users", "muster.session-receipts")}
"""What each service reads of it."""
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
    swapped = _out_of_order(evidence.kafka["muster.users"])
    report.note(
        "every record twice, neighbors swapped", history, evidence, f"{len(swapped)} streams out of order"
    )
    assert check(history, evidence) == []
    seen = Counter(record.headers["ce_id"] for record in evidence.kafka["muster.users"])
    assert min(seen.values()) >= 2
    assert sum(subject.startswith("usr_") for subject in swapped) >= SWAPPED, swapped


def _out_of_order(records: list[Read]) -> set[str]:
    """Subjects of which something came for the first time after something later."""
    last, found, known = dict[str, int](), set[str](), set[str]()
    for record in sorted(records, key=lambda record: (record.partition, record.offset)):
        subject, sequence = record.headers["ce_subject"], int(record.headers["ce_sequence"])
        if record.headers["ce_id"] not in known and sequence < last.get(subject, 0):
            found.add(subject)
        known.add(record.headers["ce_id"])
        last[subject] = max(sequence, last.get(subject, 0))
    return found


async def test_poison_is_put_aside_and_the_rest_goes_on(ground: Ground, report: Report) -> None:
    world = await make_world(ground)
    async with load(ground, world, SEED) as history:
        await asyncio.sleep(SECONDS / 2)
        places = await spread(ground.servers.bootstrap, POISONED)
        await asyncio.sleep(SECONDS / 2)
    taken = {p.claimed: p.kind for place, p in places.items() if p.claimed and not p.error_on(place.topic)}
    evidence = await _gathered(ground, len(taken))
    evidence.disordered = True
    evidence.foreign = {poison.claimed for poison in places.values() if poison.claimed}
    report.note("poison", history, evidence, f"{len(evidence.parked)} parked, {len(taken)} taken")
    assert check(history, evidence) == []
    for service, read in READ.items():
        _assert_parked(service, {p: poison for p, poison in places.items() if p.topic in read}, evidence)
    recorded = {row["id"].replace("aud_", "evt_") for row in evidence.audit}
    assert recorded & evidence.foreign == taken.keys(), taken


async def _gathered(ground: Ground, taken: int) -> Evidence:
    """What there is, once audit has all that has no position: what is not ours looks like the notifier's events."""
    while True:
        evidence = await gather(ground)
        if sum(row["position"] is None for row in evidence.audit) >= len(evidence.told) + taken:
            return evidence


def _assert_parked(service: str, places: dict[Place, Poison], evidence: Evidence) -> None:
    """Of what this one reads, all that is poison is parked there once, each kind for its own reason, and no more."""
    rows = [row for row in evidence.parked if row["service"] == service]
    parked = Counter(Place(row["topic"], row["partition"], row["offset"]) for row in rows)
    bad = {place: error for place, poison in places.items() if (error := poison.error_on(place.topic))}
    assert parked == Counter(bad.keys()), [(p, places[p].kind) for p in parked.keys() ^ bad.keys()]
    for row in rows:
        place = Place(row["topic"], row["partition"], row["offset"])
        assert bad[place] in row["error"], (service, place, places[place].kind, row["error"])
