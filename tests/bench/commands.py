"""A whole command without HTTP, against a bare insert and commit: `python -m tests.bench.commands`.

A rename by an administrator: credential looked up, person read with all versions, decided, committed with the
users row, by 1, 8 and 32 callers in one process. Beside them runs PostgreSQL only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from services.identity.access import Principals
from services.identity.attempts import Attempts
from services.identity.idempotency import Answers, once
from services.identity.routes import Call, Services, origin_of
from services.identity.run import Draft, Origin
from services.identity.store import Answer
from services.identity.throttles import Throttles
from services.identity.users import read
from services.identity.users.api import EditBody, edit
from services.kit.http import RequestContext
from services.kit.ids import new_id
from services.kit.positions import Opaque
from services.kit.postgres import Database
from services.kit.together import Together
from tests.bench import pgbench
from tests.bench.figures import Figure, pairs
from tests.bench.place import Muster, muster, populate, run_alone
from tests.support.identity import ADDRESS, Place

CALLERS = (1, 8, 32)
PEOPLE, ADMINISTRATORS = 512, 8
SECONDS = 3.0


async def figures() -> AsyncIterator[Figure]:
    async with muster() as place:
        async for figure in of(place):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    server = running.plan.postgres()
    await pgbench.prepare(server)
    async with running.identity() as place:
        caller = await Renames.prepare(place)
        await caller.rate(8, 1.0)
        for key, callers in ((False, 1), (False, 8), (False, 32), (True, 32)):
            caller.with_key = key
            ours, bare = await pairs(
                partial(caller.rate, callers, SECONDS), partial(pgbench.commits, server, callers, SECONDS)
            )
            what = "command in process" + (" with Idempotency-Key" if key else "")
            yield Figure(
                f"{what}, {callers} callers", "/s", ours, bare, "pgbench insert+commit",
            )  # fmt: skip


class Renames:
    """Callers that rename people, each its own ones, as eight administrators."""

    def __init__(self, services: Services, tokens: list[str], people: list[str]) -> None:
        self._services, self._tokens, self._people = services, tokens, people
        self._renamed = 0
        self.with_key = False

    @classmethod
    async def prepare(cls, place: Place) -> Renames:
        names = [f"admin{n}" for n in range(ADMINISTRATORS)]
        org = await place.organization("renames", *names)
        people = await populate(place, org, PEOPLE)
        opaque = Opaque(bytes(32))
        services = Services(
            place.identity.pool, place.identity.runner, Attempts(place.identity.runner), Answers([bytes(32)]),
            opaque, None, Throttles(place.identity.pool, place.settings.throttles, bytes(32)), bytes(32),  # type: ignore[arg-type]
            Principals(place.identity.pool, place.identity.lookups),
            Together(place.identity.lookups, read.situations),
        )  # fmt: skip
        return cls(services, [org.people[name].token for name in names], people)

    async def rate(self, callers: int, seconds: float) -> float:
        """Commands a second by so many callers."""
        before, began = self._renamed, time.perf_counter()
        until = began + seconds
        await asyncio.gather(*(self._call(n, callers, until) for n in range(callers)))
        return (self._renamed - before) / (time.perf_counter() - began)

    async def _call(self, number: int, callers: int, until: float) -> None:
        own = self._people[number::callers]
        token = self._tokens[number % len(self._tokens)]
        while time.perf_counter() < until:
            await self._rename(token, own[self._renamed % len(own)])
            self._renamed += 1

    async def _rename(self, token: str, user: str) -> None:
        context = RequestContext(new_id("req"), ADDRESS, "bench", None, None)
        body = EditBody(name=f"Someone {self._renamed}")
        services, path = self._services, {"user": user}
        first = await services.principals.admit(token)
        used = once(new_id("req"), first, "PATCH", "/v1/users/{user}", user, b"") if self.with_key else None
        if used:
            await services.answers.find(services.pool, used)

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            call = Call(services, first, context, path, body)
            draft = await edit(connection, call)
            if used:
                draft = replace(draft, claims=(used.reserve(first.credential, first.now),))
            return origin_of(first, context), draft

        def keep(draft: Draft, _: object) -> Answer | None:
            return services.answers.make(used, 200, draft.body or {}, first.now) if used else None

        await services.runner.run(decide, answer=keep)


if __name__ == "__main__":
    run_alone(figures)
