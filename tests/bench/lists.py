"""Pages of the users table and searches in it, by size of the organization: `python -m tests.bench.lists`.

Through the gateway, one caller, fifty rows a page. Beside it run gateway, identity and PostgreSQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import cycle

import asyncpg

from tests.bench.figures import ROUNDS, Figure
from tests.bench.load import Next, load, request
from tests.bench.place import LAST, Muster, muster, populate, run_alone

SIZES = (10_000, 100_000)
SECONDS = 2.0


async def figures() -> AsyncIterator[Figure]:
    async with muster("identity", "gateway") as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    for size in SIZES:
        async with running.identity() as place:
            org = await place.organization(f"people-{size}")
            await populate(place, org, size)
        await analyze(running)
        for what, paths in asked().items():
            yield await measure(f"{what}, {size:,} users", running, org.owner.token, paths)


def asked() -> dict[str, list[str]]:
    sorts = ("-created_at", "name", "email", "role", "-last_sign_in_at")
    return {
        "page of users by any order": [f"/v1/users?sort={sort}" for sort in sorts],
        "search for a name": [f"/v1/users?q={name.lower()}" for name in LAST],
        "search for two words": [f"/v1/users?q=ada+{name.lower()}&sort=name" for name in LAST],
    }


async def measure(what: str, running: Muster, token: str, paths: list[str]) -> Figure:
    requests = cycle([request("GET", path, token) for path in paths])
    make: Next = lambda: next(requests)  # noqa: E731
    rounds = [await load(running.plan.settings.port_base, [make], SECONDS) for _ in range(ROUNDS)]
    assert not any(each.refused for each in rounds), what
    return Figure(f"{what}: p99", "ms", [each.p99 for each in rounds], note=f"p50 {rounds[0].p50:.1f} ms")


async def analyze(running: Muster) -> None:
    """What autovacuum does within a minute of so many inserts."""
    connection = await asyncpg.connect(running.settings.databases.identity_owner.get_secret_value())
    await connection.execute("ANALYZE")
    await connection.close()
    await asyncio.sleep(0)


if __name__ == "__main__":
    run_alone(figures)
