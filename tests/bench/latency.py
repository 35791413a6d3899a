"""From a command to what others see of it, every process running: `python -m tests.bench.latency`.

Deactivation: from sending it to the first refused answer of a client that asks without pause. Audit: from the answer
to a rename to the moment when the audit answers for that position, at 20, 200 and 500 renames a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp

from tests.bench.figures import Figure, percentile
from tests.bench.place import SERVED, Muster, muster, populate, run_alone
from tests.support.identity import Org, Person

ROUNDS, DEACTIVATED = 5, 20
RATES = (20, 200, 500)
SECONDS, PROBES_PER_SECOND = 5.0, 10
MOST_UNDER_WAY = 64


async def figures() -> AsyncIterator[Figure]:
    async with muster(*SERVED) as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    async with running.identity() as place:
        org = await place.organization("late", "admin", *(f"member{n}" for n in range(ROUNDS * DEACTIVATED)))
        people = await populate(place, org, 512)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{running.plan.settings.port_base}") as http:
        yield await deactivations(http, org)
        for rate in RATES:
            yield await visibility(http, org, people, rate)


async def deactivations(http: aiohttp.ClientSession, org: Org) -> Figure:
    members = [person for name, person in org.people.items() if name.startswith("member")]
    times = [await until_refused(http, org.admin, member) for member in members]
    rounds = [times[start : start + DEACTIVATED] for start in range(0, len(times), DEACTIVATED)]
    return Figure(
        "deactivate to refused: p50", "ms", [percentile(each, 0.5) for each in rounds],
        note=f"p95 {percentile(times, 0.95):.1f} ms, the slowest of {len(times)} {max(times):.1f} ms; "
        "no request that was sent after the answer got through",
    )  # fmt: skip


async def until_refused(http: aiohttp.ClientSession, admin: Person, member: Person) -> float:
    answered = 0.0

    async def hammer() -> float:
        while True:
            began = time.perf_counter()
            async with http.get("/v1/me", headers=member.auth) as answer:
                await answer.read()
            if answer.status == 401:
                return time.perf_counter()
            assert not answered or began < answered, "a deactivated person got through"

    hammering = asyncio.create_task(hammer())
    await asyncio.sleep(0.05)
    began = time.perf_counter()
    async with http.post(f"/v1/users/{member.id}/deactivate", headers=admin.auth, json={}) as answer:
        assert answer.status == 200, await answer.text()
    answered = time.perf_counter()
    return (await hammering - began) * 1000


async def visibility(http: aiohttp.ClientSession, org: Org, people: list[str], rate: int) -> Figure:
    rounds = [await one_round(http, org, people, rate) for _ in range(ROUNDS)]
    done = min(len(asked) / SECONDS for asked, _ in rounds)
    every = [t for _, times in rounds for t in times]
    note = f"p99 {percentile(every, 0.99):.0f} ms"
    note += "" if done >= rate * 0.95 else f"; {done:.0f}/s was what the machine gave"
    return Figure(
        f"answer to a rename to audit visible, {rate}/s asked: p50", "ms",
        [percentile(times, 0.5) for _, times in rounds], note=note,
    )  # fmt: skip


async def one_round(
    http: aiohttp.ClientSession, org: Org, people: list[str], rate: int
) -> tuple[list[None], list[float]]:
    """Renames at this rate for a few seconds; the answered ones, and the times of those that were followed."""
    asked: list[None] = []
    times: list[float] = []
    every = max(1, rate // PROBES_PER_SECOND)
    turns = asyncio.Semaphore(MOST_UNDER_WAY)

    async def rename(number: int) -> None:
        async with turns:
            body = {"name": f"Someone {time.monotonic_ns()}"}
            path = f"/v1/users/{people[number % len(people)]}"
            async with http.patch(path, json=body, headers=org.admin.auth) as answer:
                change = await answer.json()
            assert answer.status == 200, change
        if time.perf_counter() < until:
            asked.append(None)
        if number % every == 0:
            answered = time.perf_counter()
            query = {"min_position": change["position"], "limit": "1", "target": people[number % len(people)]}
            async with http.get("/v1/audit", params=query, headers=org.owner.auth) as answer:
                assert answer.status == 200, await answer.text()
            times.append((time.perf_counter() - answered) * 1000)

    began = time.perf_counter()
    until = began + SECONDS
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * SECONDS)):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            if time.perf_counter() > until:
                break
            while turns.locked():
                await asyncio.sleep(0.001)
            group.create_task(rename(number))
    return asked, times


if __name__ == "__main__":
    run_alone(figures)
