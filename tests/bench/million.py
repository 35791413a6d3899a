"""The same with a log of a million events as with one of 100,000: `python -m tests.bench.million`.

Ours at a million, bare at 100,000 of the same run: appending in units of 100, a page of 200 from anywhere in the log
as relay and routes read it, and a page of 50 of the audit. The audit's rows are copies of recorded ones; indexes
that this page does not use are left out there, which would take longer to build than all else here.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import asyncpg

from services.audit.keys import Keys
from services.audit.recorder import Recorder
from services.audit.search import ListQuery, find
from services.identity import log
from services.kit.consumer import Consumer
from services.kit.positions import Opaque
from services.kit.postgres import Pool, open_pool
from services.kit.sealing import MasterKeys
from tests.bench.audit import published
from tests.bench.figures import ROUNDS, Figure
from tests.bench.filled import fill
from tests.bench.place import Muster, muster, populate, rename, run_alone
from tests.support.identity import Org, Place

PEOPLE, SMALL, LARGE = 1_000, 100_000, 1_000_000
UNITS, UNIT, PAGES, PAGE = 10, 100, 40, 200
RECORDED = 2_000
UNUSED = "SELECT indexname FROM pg_indexes WHERE tablename = 'lookup' AND indexname NOT LIKE '%pkey'"

Measure = Callable[[], Awaitable[float]]


async def figures() -> AsyncIterator[Figure]:
    async with muster() as running:
        async for figure in of_audit(running):
            yield figure
        async for figure in of_log(running):
            yield figure


async def of_log(running: Muster) -> AsyncIterator[Figure]:
    async with running.identity() as place:
        org = await place.organization("long")
        people = await populate(place, org, PEOPLE)
        measures: dict[str, Measure] = {
            f"append, units of {UNIT}": partial(append, place, org, people),
            f"page of {PAGE} of the log": partial(read_pages, place),
        }
        found: list[dict[str, list[float]]] = []
        for size in (SMALL, LARGE):
            await fill(running, place, org, people, size)
            await running.checkpoint()
            found.append({what: await rounds(measure) for what, measure in measures.items()})
    for what, (small, large) in _paired(found):
        yield Figure(what, "events/s at a million", large, small, "at 100,000")


async def of_audit(running: Muster) -> AsyncIterator[Figure]:
    records = await published(running, PEOPLE, RECORDED)
    settings = running.settings_of("audit")
    url = settings.databases.audit.get_secret_value()
    owner = await asyncpg.connect(running.settings.databases.audit_owner.get_secret_value())
    for index in await owner.fetch(UNUSED):
        await owner.execute(f"DROP INDEX {index['indexname']}")
    found: list[dict[str, list[float]]] = []
    async with open_pool(url) as pool, open_pool(url, size=2) as key_pool:
        keys = Keys(key_pool, MasterKeys.parse(settings.keys.master.get_secret_value()))
        await Consumer("", (), "audit", pool, Recorder(keys).apply).process(records)
        org = await owner.fetchval("SELECT org FROM orgs ORDER BY next_seq DESC LIMIT 1")
        measures: dict[str, Measure] = {"page of 50 of the audit": partial(search, pool, keys, org)}
        for size in (SMALL, LARGE):
            await _multiply(owner, org, size)
            await running.checkpoint()
            found.append({what: await rounds(measure) for what, measure in measures.items()})
    await owner.close()
    for what, (small, large) in _paired(found):
        yield Figure(what, "pages/s at a million", large, small, "at 100,000")


async def rounds(measure: Measure) -> list[float]:
    await measure()
    return [await measure() for _ in range(ROUNDS)]


async def append(place: Place, org: Org, people: list[str]) -> float:
    began = time.perf_counter()
    for number in range(UNITS):
        await rename(
            place, org, people[number * UNIT : (number + 1) * UNIT], f"Someone {time.monotonic_ns()}"
        )
    return UNITS * UNIT / (time.perf_counter() - began)


async def read_pages(place: Place) -> float:
    async with place.identity.pool.acquire() as connection:
        head = (await log.head(connection)).position
        began = time.perf_counter()
        for _ in range(PAGES):
            page = await log.read(connection, place.identity.keys, random.randrange(head - PAGE), PAGE)
            assert len(page) == PAGE
        return PAGES * PAGE / (time.perf_counter() - began)


async def search(pool: Pool, keys: Keys, org: str) -> float:
    opaque, began = Opaque(bytes(32)), time.perf_counter()
    for _ in range(PAGES):
        assert len((await find(pool, keys, opaque, org, ListQuery()))["data"]) == ListQuery().limit
    return PAGES / (time.perf_counter() - began)


async def _multiply(owner: asyncpg.Connection[asyncpg.Record], org: str, size: int) -> None:
    """Copy the recorded rows behind the last one until there are so many."""
    last = await owner.fetchval("SELECT max(seq) FROM lookup WHERE org = $1", org)
    recorded = await owner.fetchval("SELECT next_seq FROM orgs WHERE org = $1", org)
    await owner.execute(
        "INSERT INTO records SELECT org, n, id || n, position + n, epoch, leaf"
        " FROM generate_series($2::bigint, $3) n JOIN records ON org = $1 AND seq = n % $4",
        org, last + 1, size - 1, recorded,
    )  # fmt: skip
    await owner.execute(
        "INSERT INTO lookup SELECT org, n, type, outcome, occurred_at, actor, target, person, ip, text, ids"
        " FROM generate_series($2::bigint, $3) n JOIN lookup ON org = $1 AND seq = n % $4",
        org, last + 1, size - 1, recorded,
    )  # fmt: skip
    await owner.execute("VACUUM ANALYZE records, lookup")


def _paired(found: list[dict[str, list[float]]]) -> list[tuple[str, tuple[list[float], list[float]]]]:
    small, large = found
    return [(what, (small[what], large[what])) for what in small]


if __name__ == "__main__":
    run_alone(figures)
