"""A nursery of processes that write to identity's log, for a test that kills them.

`python -m tests.support.store_worker` imports once and then forks a writer for each line on its standard input
(a JSON object, see `Job`), answering with its process id: a writer is at work in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from muster_contracts.events import Actor, Change
from muster_contracts.users import UserRenamed

from services.identity.projections import project
from services.identity.run import Draft, Origin, Runner
from services.identity.store import Claim, Store
from services.kit.errors import MusterError
from services.kit.ids import new_id
from services.kit.persons import PersonKeys
from services.kit.postgres import Database, Pool, open_pool
from services.kit.sealing import MasterKeys

CALLERS = 16
CLAIMS = 12


@dataclass(frozen=True)
class Job:
    """What one writer gets: people to rename, guards to touch, and the file for what was acknowledged."""

    url: str
    master: str
    org: str
    people: list[str]
    acks: str
    seed: int


class Writer:
    """Callers that do small random things, each under a name of its own, and write down what was confirmed."""

    def __init__(self, job: Job, runner: Runner, pool: Pool) -> None:
        self._job, self._runner, self._pool = job, runner, pool
        self._random = random.Random(job.seed)
        self._file = os.open(job.acks, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def call_on_and_on(self) -> None:
        acts: list[Callable[[str], Awaitable[int | None]]] = [self._rename, self._rename_two, self._claim]
        while True:
            name = new_id("req")
            try:
                position = await self._random.choice(acts)(name)
            except MusterError:
                continue  # busy, or the database is away: nobody was told that it is done
            if position is not None:
                os.write(self._file, f"{name} {position}\n".encode())

    async def _rename(self, name: str) -> int | None:
        return await self._rename_people(name, self._random.sample(self._job.people, 1))

    async def _rename_two(self, name: str) -> int | None:
        return await self._rename_people(name, self._random.sample(self._job.people, 2))

    async def _rename_people(self, name: str, people: list[str]) -> int | None:
        """One unit over the streams of these people, which moves the guard of the organization as well."""
        guard = f"owners:{self._job.org}" if self._random.random() < 0.1 else None

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            heads = [*people, *([guard] if guard else [])]
            rows = await connection.fetch("SELECT id, version FROM heads WHERE id = ANY($1)", heads)
            events = [UserRenamed(user=person, name=Change(old=None, new=name)) for person in people]
            reads = {row["id"]: row["version"] for row in rows}
            return await self._origin(connection, name), Draft(
                events, reads=reads, touches=frozenset([guard] if guard else [])
            )

        return (await self._runner.run(decide)).position

    async def _claim(self, name: str) -> int | None:
        """Take a name that is free, or give up a taken one: the event says which, the claim must agree."""
        claim = f"login:{self._job.org}:{self._random.randrange(CLAIMS)}"
        person = self._random.choice(self._job.people)

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            # Owner and version in one statement: a unit is as good as what its versions were read with.
            row = await connection.fetchrow(
                "SELECT c.owner IS NOT NULL AS held, h.id, h.version FROM heads h LEFT JOIN claims c ON c.id = $1"
                " WHERE h.id = coalesce(c.owner, $2)",
                claim,
                person,
            )
            assert row
            told = f"{name} {'releases' if row['held'] else 'claims'} {claim}"
            event = UserRenamed(user=row["id"], name=Change(old=None, new=told))
            draft = Draft([event], reads={row["id"]: row["version"]})
            change = {"releases": (claim,)} if row["held"] else {"claims": (Claim(claim, row["id"]),)}
            return await self._origin(connection, name), replace(draft, **change)

        return (await self._runner.run(decide)).position

    async def _origin(self, connection: Database, name: str) -> Origin:
        now = await connection.fetchval("SELECT now()")
        return Origin(self._job.org, Actor(type="operator", id="worker"), now, name)


async def work(job: Job) -> None:
    keys = PersonKeys(MasterKeys.parse(job.master))
    async with open_pool(job.url, size=6) as pool, Store(job.url, project) as store:
        writer = Writer(job, Runner(pool, store, keys), pool)
        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(writer.call_on_and_on())


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the killed
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(work(Job(**json.loads(line))))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
