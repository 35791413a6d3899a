"""Signing in with a password against argon2id alone on all cores: `python -m tests.bench.sign_in`.

Through the gateway, eight callers over fifty people. Beside it run gateway, identity and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle

from argon2 import PasswordHasher

from tests.bench.figures import Figure, pairs
from tests.bench.load import load, request
from tests.bench.place import Muster, muster, run_alone
from tests.support.identity import PASSWORD, Org, hash_of

PEOPLE, CALLERS, SECONDS = 50, 8, 3.0


async def figures() -> AsyncIterator[Figure]:
    async with muster("identity", "gateway") as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    async with running.identity() as place:
        org = await place.organization("signing-in", *(f"member{n}" for n in range(PEOPLE)))
    ours, bare = await pairs(partial(sign_ins, running, org), verifications)
    yield Figure(
        f"sign-in, {CALLERS} callers",
        "/s",
        ours,
        bare,
        "argon2id on all cores",
        "gateway, identity, PostgreSQL",
    )


async def sign_ins(running: Muster, org: Org) -> float:
    bodies = cycle(
        request(
            "POST", "/v1/sign-in", body={"organization": org.slug, "login": p.email, "password": PASSWORD}
        )
        for p in org.people.values()
    )
    found = await load(running.plan.settings.port_base, [lambda: next(bodies)] * CALLERS, SECONDS)
    assert not found.refused, f"{found.refused} were refused"
    return found.rate


async def verifications() -> float:
    cores = os.cpu_count() or 1
    hasher, kept = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1), hash_of(PASSWORD)
    until = time.perf_counter() + SECONDS

    def verify() -> int:
        done = 0
        while time.perf_counter() < until:
            done += hasher.verify(kept, PASSWORD)
        return done

    with ThreadPoolExecutor(cores) as threads:
        loop = asyncio.get_running_loop()
        counts = await asyncio.gather(*(loop.run_in_executor(threads, verify) for _ in range(cores)))
    return sum(counts) / SECONDS


if __name__ == "__main__":
    run_alone(figures)
