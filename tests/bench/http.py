"""Whole requests through the gateway with every process running: `python -m tests.bench.http`.

Renames and introspections by 1, 8 and 32 callers with eight credentials, against an endpoint of the same server
behind the same gateway that checks the request and does nothing. Relay, audit and notifier work on what the renames
leave behind all the while, and the callers run on the same two cores. Only 2xx count; before the next round begins
audit has caught up, so that no round works off what another one left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import count
from statistics import median
from urllib.parse import urlencode

import psutil

from tests.bench.figures import ROUNDS, Figure
from tests.bench.load import Load, Next, load, request
from tests.bench.place import SERVED, Muster, muster, populate, run_alone
from tests.support.identity import Org

CALLERS = (1, 8, 32)
PEOPLE, ADMINISTRATORS = 512, 8
SECONDS, SETTLED_SECONDS = 3.0, 3.0
WARM_SECONDS = 15.0
"""Until Java has compiled what Kafka does all the time: a fresh broker takes twice the CPU of one that has run."""


async def figures() -> AsyncIterator[Figure]:
    async with muster(*SERVED) as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    empty, gateway = await running.start_empty(), running.plan.settings.port_base
    async with running.identity() as place:
        names = [f"admin{n}" for n in range(ADMINISTRATORS)]
        org = await place.organization("http", *names)
        people = await populate(place, org, PEOPLE)
    await load(gateway, renames(org, people)(32), WARM_SECONDS)
    yield await cost(running, renames(org, people)(32))
    for what, makers in (("rename over HTTP", renames(org, people)), ("introspection", introspections(org))):
        for callers in CALLERS:
            yield await compare(running, what, empty, makers(callers))


async def cost(running: Muster, makers: list[Next]) -> Figure:
    """CPU time of a rename in every process, until the last one has done its part: this does not depend on what
    else runs here."""
    pids = running.supervisor.pids
    before = {name: cpu_ms(pid) for name, pid in pids.items()}
    found = await load(running.plan.settings.port_base, makers, SECONDS)
    await asyncio.sleep(SETTLED_SECONDS)
    per_call = {name: (cpu_ms(pid) - before[name]) / len(found.times) for name, pid in pids.items()}
    parts = ", ".join(f"{name} {ms:.2f}" for name, ms in per_call.items() if ms >= 0.01)
    return Figure("CPU of a rename, all processes", "ms", [sum(per_call.values())], note=parts)


def cpu_ms(pid: int) -> float:
    whole = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(t.user + t.system for t in (each.cpu_times() for each in whole)) * 1000


async def compare(running: Muster, what: str, empty: int, makers: list[Next]) -> Figure:
    """Rounds of both in turn, each begun when nothing of the last one is left to do."""
    gateway = running.plan.settings.port_base
    ours: list[Load] = []
    bare: list[Load] = []
    behind: list[float] = []
    for number in range(ROUNDS):
        for port, found in ((gateway, ours), (empty, bare))[:: -1 if number % 2 else 1]:
            found.append(await load(port, makers, SECONDS))
            assert port == gateway or not found[-1].refused, "the empty endpoint refused"
            left = await running.settle()
            if port == gateway:
                behind.append(left)
    refused = sum(each.refused for each in ours)
    note = f"p50 {median(x.p50 for x in ours):.1f} ms, p99 {median(x.p99 for x in ours):.1f} ms"
    note += f"; empty p99 {median(x.p99 for x in bare):.1f} ms" + (f"; {refused} refused" if refused else "")
    note += f"; audit had all {median(behind):.1f} s later" if what.startswith("rename") else ""
    return Figure(
        f"{what}, {len(makers)} callers", "/s", [x.rate for x in ours], [x.rate for x in bare],
        "empty endpoint, same two servers", note,
    )  # fmt: skip


def renames(org: Org, people: list[str]) -> Callable[[int], list[Next]]:
    tokens = [person.token for person in org.people.values()]
    numbers = count()

    def maker(number: int, callers: int) -> Next:
        own, token = people[number::callers], tokens[number % len(tokens)]

        def make() -> bytes:
            n = next(numbers)
            return request(
                "PATCH", f"/v1/users/{own[n // callers % len(own)]}", token, {"name": f"Someone {n}"}
            )

        return make

    return lambda callers: [maker(number, callers) for number in range(callers)]


def introspections(org: Org) -> Callable[[int], list[Next]]:
    tokens = [person.token for person in org.people.values()]

    def maker(number: int) -> Next:
        form = urlencode({"token": tokens[(number + 1) % len(tokens)]})
        asked = request("POST", "/v1/introspect", tokens[number % len(tokens)], form=form)
        return lambda: asked

    return lambda callers: [maker(number) for number in range(callers)]


if __name__ == "__main__":
    run_alone(figures)
