"""How long each process takes from its start to ready, and what it holds then: `python -m tests.bench.start`.

Memory is the proportional set size: what several processes share counts once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from statistics import median

import psutil

from tests.bench.figures import Figure
from tests.bench.place import SERVED, Muster, muster, run_alone

ROUNDS = 5
EVERY = (*SERVED, "console")


async def figures() -> AsyncIterator[Figure]:
    async with muster(*EVERY) as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    for name in EVERY:
        seconds, megabytes = list[float](), list[float]()
        for _ in range(ROUNDS):
            megabytes.append(memory(running.supervisor.pids[name]))
            seconds.append(await restart(running, name))
        note = f"{median(megabytes):.0f} MB when idle"
        yield Figure(f"{name}: start to ready", "s", seconds, note=note)
    for name in ("postgres", "kafka"):
        yield Figure(f"{name}: memory", "MB", [memory(running.supervisor.pids[name])])


async def restart(running: Muster, name: str) -> float:
    """Stop the process as an update would, and start it again under the same supervisor."""
    supervisor = running.supervisor
    child = next(c for c in supervisor._children() if c.spec.name == name)
    stage = next(stage for stage in supervisor._stages if child in stage)
    await supervisor._end(child)
    stage.remove(child)
    began = time.perf_counter()
    await running.start(name)
    return time.perf_counter() - began


def memory(pid: int) -> float:
    process = psutil.Process(pid)
    whole = [process, *process.children(recursive=True)]
    return sum(each.memory_full_info().pss for each in whole) / 1_000_000


if __name__ == "__main__":
    run_alone(figures)
