"""Fifty callers who want the same thing at once; each second one comes through the other gateway."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from tests.faults.driver import Asker
from tests.faults.ground import Ground
from tests.faults.history import Attempt
from tests.faults.racing import BUSY, NO_ENTRY, Telling, each_way, settle, told
from tests.faults.report import SEED, Report
from tests.support.identity import PASSWORD, Org, Person
from tests.support.signing_in import App

PARALLEL = 50
MOST_BUSY = 9
"""So many may not have come to their turn; all others but one hear why they are refused."""


class Crowd:
    """`ask` is for what comes before and behind; its history is compared with what there is in `settle`."""

    def __init__(self, ground: Ground, report: Report) -> None:
        self.ground, self.report = ground, report
        self.history, self._chance = ground.history(SEED), random.Random(SEED)
        self.ask = Asker(ground, self.history, self._chance, "gateway")
        self.through = each_way(ground, self.history, self._chance, "gateway")

    async def settle(self, name: str) -> None:
        await settle(self.ground, self.history, self.report, name)

    # ---------------------------------------------------------------------------------------------- fifty at once
    async def at_once(self, use: Callable[[Asker, int], Awaitable[Attempt]]) -> list[Attempt]:
        """Ask fifty times; `use` takes the way in and the number of the caller."""
        return await asyncio.gather(*(use(self.through[n % len(self.through)], n) for n in range(PARALLEL)))

    async def only_one(
        self, name: str, attempts: Sequence[Attempt], refusals: Collection[Telling], types: list[str]
    ) -> Attempt:
        """The one that was done.

        Args:
            name: of what there is one of, for the report.
            attempts: all fifty.
            refusals: what the others are told.
            types: the events of the one, in order; the others have none.
        """
        counts = self._count(name, attempts)
        [one] = [attempt for attempt in attempts if attempt.done]
        others = {each: n for each, n in counts.items() if each not in (told(one), BUSY)}
        assert others.keys() <= set(refusals), counts
        assert sum(others.values()) >= PARALLEL - 1 - MOST_BUSY, counts
        events = await self.events_of(attempts)
        assert events == [(one.request_id, type_) for type_ in types], events
        return one

    def _count(self, name: str, attempts: Sequence[Attempt]) -> Counter[Telling]:
        counts = Counter(told(attempt) for attempt in attempts)
        texts = [f"{n} of {status} {code}".strip() for (status, code), n in counts.most_common()]
        self.report.say(f"{PARALLEL} uses of one {name}", ", ".join(texts))
        return counts

    async def events_of(self, attempts: Sequence[Attempt]) -> list[tuple[str, str]]:
        """What the log has of these requests: whose, and what; without the records of refusals."""
        rows = await self.ground.place.identity.pool.fetch(
            "SELECT request_id, type FROM events WHERE request_id = ANY($1) AND type <> 'attempt.refused' "
            "ORDER BY position",
            [attempt.request_id for attempt in attempts],
        )
        return [tuple(row) for row in rows]

    async def value(self, query: str, *values: Any) -> Any:
        """One figure out of identity's database."""
        return await self.ground.place.identity.pool.fetchval(query, *values)

    # ----------------------------------------------------------------------------------------------------- people
    async def enter(self, ask: Asker, org: Org, person: Person, password: str = PASSWORD) -> Attempt:
        body = {"organization": org.slug, "login": person.email, "password": password}
        return await ask.send("POST", "/v1/sign-in", None, body)

    async def check_password(self, org: Org, person: Person, password: str, others: Sequence[str]) -> None:
        """This one opens, through each gateway; none of the others does."""
        for ask in self.through:
            assert (await self.enter(ask, org, person, password)).done
        tries = [self.enter(self.ask, org, person, other) for other in others]
        assert {told(attempt) for attempt in await asyncio.gather(*tries)} == {NO_ENTRY}

    async def check_token(self, token: str, person: Person) -> None:
        """It opens that person's account, through each gateway."""
        for ask in self.through:
            shown = await ask.send("GET", "/v1/me", token, None)
            assert (shown.status, shown.body["id"]) == (200, person.id)

    async def enroll(self, person: Person) -> tuple[App, list[str]]:
        """Set up an authenticator app; its recovery codes."""
        begun = await self.ask.send("POST", "/v1/me/factors", person.token, {"type": "totp"})
        assert begun.done, begun
        app = App(begun.body["id"], begun.body["secret"])
        path = f"/v1/me/factors/{app.factor}/activate"
        activated = await self.ask.send("POST", path, person.token, {"code": app.code()})
        assert activated.done, activated
        return app, activated.body["recovery_codes"]

    async def half_sessions(self, org: Org, person: Person, count: int) -> list[str]:
        """Tokens of sign-ins whose code is still missing."""
        begun = [await self.enter(self.ask, org, person) for _ in range(count)]
        assert {attempt.body.get("next") for attempt in begun} == {"otp"}
        return [attempt.body["token"] for attempt in begun]
