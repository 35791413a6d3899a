"""T61: how long an answer takes tells nothing about who exists."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from tests.support.identity import PASSWORD, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import sign_in

SAMPLES, TRIES = 16, 3
NEAR = 20.0
"""Milliseconds. Answers leave on a grid of 100 ms, so what could be told apart would be a whole step apart."""
MANY = {
    "THROTTLES__ADDRESS_FAILURES": "100000",
    "THROTTLES__ORGANIZATION_FAILURES": "100000",
    "THROTTLES__RESET_MAILS_PER_HOUR": "100000",
}
WRONG = "this is not the password"
Call = Callable[[], Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server, **MANY) as place:
        yield place


async def usual(calls: dict[str, Call]) -> dict[str, float]:
    """The median in milliseconds, of calls that take turns, so that a slow moment hits all of them."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(SAMPLES):
        for name, call in calls.items():
            begun = time.perf_counter()
            await call()
            took[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.median(times) for name, times in took.items()}


async def check_alike(calls: dict[str, Call]) -> None:
    """None takes longer than the others each time; a busy machine pushes one over a step now and then."""
    slowest: set[str] = set(calls)
    for _ in range(TRIES):
        found = await usual(calls)
        slowest &= {name for name, took in found.items() if took - min(found.values()) >= NEAR}
        if not slowest:
            return
    raise AssertionError(f"slower in each of {TRIES} tries: {slowest}")


async def test_t61_refused_sign_ins_take_the_same_time(place: Place) -> None:
    org = await place.organization()
    invited = await place.person(org, "invited", active=False)
    gone = await place.person(org, "gone")
    await place.call("POST", f"/v1/users/{gone.id}/deactivate", org.admin)
    for _ in range(6):
        await sign_in(place, org.slug, org.admin.email, WRONG)
    await check_alike(
        {
            "wrong": lambda: sign_in(place, org.slug, org.member.email, WRONG),
            "unknown": lambda: sign_in(place, org.slug, "nobody@acme.example", WRONG),
            "no organization": lambda: sign_in(place, "nowhere", org.member.email, WRONG),
            "invited": lambda: sign_in(place, org.slug, invited.email, WRONG),
            "inactive": lambda: sign_in(place, org.slug, gone.email, PASSWORD),
            "delayed": lambda: sign_in(place, org.slug, org.admin.email, PASSWORD),
        }
    )


async def test_t61_asking_for_a_reset_takes_the_same_time_whoever_is_meant(place: Place) -> None:
    org = await place.organization()

    def asking(slug: str, email: str) -> Call:
        body = {"organization": slug, "email": email}
        return lambda: place.call("POST", "/v1/password-resets", json=body)

    await check_alike(
        {
            "known": asking(org.slug, org.member.email),
            "unknown": asking(org.slug, "nobody@acme.example"),
            "no organization": asking("nowhere", org.member.email),
        }
    )
