"""Races between people, round after round through two processes, noted in a history like everything else."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults import posting
from tests.faults.driver import Asker, Body
from tests.faults.ground import Ground
from tests.faults.history import Attempt, History
from tests.faults.posting import Posting
from tests.faults.racing import BUSY, NO_ENTRY, NO_RIGHT, NO_SESSION, each_way, told
from tests.support.identity import Org, Person

POSTING = posting.PEOPLE
"""People of an organization in which an Admin is demoted while posting."""
ACTS = {
    "demote": "user.role_changed", "deactivate": "user.deactivated", "patch": "user.deactivated",
    "delete": "user.deleted",
}  # fmt: skip
"""What one Owner does to the other one, and what the log says of that."""
NOBODY_LEFT = {(409, "last_owner"), (409, "last_administrator")}
"""What the loser hears whose right was looked up before the winner's commit, and the target behind it."""
TRIES = 3
STAYS_OUT_SECONDS = 0.2


@dataclass
class Races:
    """Each method is one round on fresh people, and says what is wrong as far as answers and log tell."""

    ground: Ground
    history: History
    chance: random.Random
    ways: str = "identity"
    seen: Counter[str] = field(default_factory=Counter)
    """What came of the rounds: whether they were races at all."""

    def __post_init__(self) -> None:
        self.ask = Asker(self.ground, self.history, self.chance, self.ways)
        self.through = each_way(self.ground, self.history, self.chance, self.ways)
        self.rounds = itertools.count()

    def told(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.seen.items()))

    async def people(self, *names: str) -> Org:
        return await self.ground.place.organization(None, *names)

    def _two_ways(self) -> list[Asker]:
        """For two who race: each through processes of its own, in every third round as chance has it."""
        return [self.ask, self.ask] if next(self.rounds) % 3 == 2 else self.through

    # ----------------------------------------------------------------------------------------------- two Owners
    async def two_owners(self, org: Org, first: str, second: str) -> None:
        """Two Owners act on each other: one does it, and both are what the log says, wherever they ask."""
        one, two = org.owner, org.owner2
        sides, ways = [(one, first, two), (two, second, one)], self._two_ways()
        answers = await self._at_once(
            *(self._act(ask, org, *side) for ask, side in zip(ways, sides, strict=True))
        )
        won = self._only_winner(answers)
        winner, act, loser = sides[won]
        refusals = {NO_RIGHT if act == "demote" else NO_SESSION, *NOBODY_LEFT, BUSY}
        assert told(answers[1 - won]) in refusals, (first, second, told(answers[1 - won]))
        query = "SELECT stream, type FROM events WHERE stream = ANY($1) AND type = ANY($2)"
        rows = await self.ground.place.identity.pool.fetch(query, [one.id, two.id], list(ACTS.values()))
        assert [tuple(row) for row in rows] == [(loser.id, ACTS[act])]
        for ask in self.through:
            assert await self._roles(ask, org, winner, loser) == (
                "Owner",
                *(("Member", "Member") if act == "demote" else (NO_SESSION, NO_ENTRY)),
            )

    async def _at_once(self, *requests: Coroutine[Any, Any, Attempt]) -> list[Attempt]:
        """All of them, begun in an order of chance, so that nobody is always the first one."""
        begun = {
            request: asyncio.create_task(request) for request in self.chance.sample(requests, len(requests))
        }
        return await asyncio.gather(*(begun[request] for request in requests))

    def _only_winner(self, answers: Sequence[Attempt]) -> int:
        """Which of two was done: there is exactly one."""
        assert sorted(answer.done for answer in answers) == [False, True], [told(a) for a in answers]
        won = 0 if answers[0].done else 1
        status, code = told(answers[1 - won])
        self.seen[("won by the first", "won by the second")[won]] += 1
        self.seen["through two gateways"] += answers[0].via != answers[1].via
        self.seen[f"lost with {status} {code}"] += 1
        return won

    async def _roles(self, ask: Asker, org: Org, winner: Person, loser: Person) -> tuple[object, ...]:
        """What the winner is, and what the loser is in the session of before and in a new one."""

        async def enter() -> object:
            entered = await ask.sign_in(org, loser)
            return await role_of(entered.body["token"]) if entered.done else told(entered)

        async def role_of(token: str) -> object:
            shown = await ask.send("GET", "/v1/me", token, None)
            return shown.body["role"]["name"] if shown.done else told(shown)

        return tuple(await asyncio.gather(role_of(winner.token), role_of(loser.token), enter()))

    async def _act(self, ask: Asker, org: Org, by: Person, act: str, target: Person) -> Attempt:
        path = f"/v1/users/{target.id}"
        match act:
            case "demote":
                return await ask.once(org, by, act, "PATCH", path, {"role": "member"})
            case "deactivate":
                return await ask.once(org, by, act, "POST", f"{path}/deactivate", {})
            case "patch":
                return await ask.once(org, by, act, "PATCH", path, {"active": False})
            case _:
                return await ask.once(org, by, act, "DELETE", path, {"confirm": target.email})

    async def both_ways_out(self, org: Org) -> None:
        """One Owner gives up the own password and takes the other one's role, at the same time: one of both."""
        me, other = org.owner, org.owner2
        revoke, ways = {"revoke_now": True}, self._two_ways()
        answers = await self._at_once(
            ways[0].once(org, me, "revoke", "POST", f"/v1/users/{me.id}/reset-password", revoke),
            ways[1].once(org, me, "demote", "PATCH", f"/v1/users/{other.id}", {"role": "member"}),
        )
        won = self._only_winner(answers)
        refusals = {*NOBODY_LEFT, BUSY} if won else {*NOBODY_LEFT, BUSY, NO_SESSION}
        assert told(answers[1 - won]) in refusals, (won, told(answers[1 - won]))

    # ------------------------------------------------------------------------------------------------- demotion
    async def demoted_while_posting(self, org: Org) -> None:
        """An Admin makes keys, grants roles and edits at full speed and is demoted meanwhile: nothing follows."""
        posts, path = Posting(self.ground, org, self.through), f"/v1/users/{org.admin.id}"

        async def demote() -> Attempt:
            await asyncio.sleep(self.chance.uniform(0.02, 0.1))
            try:
                return await self._insist(org, "role", "PATCH", path, {"role": "member"})
            finally:
                posts.demoted.set()

        demotion, _ = await asyncio.gather(demote(), posts.work())
        assert demotion.done, told(demotion)
        posts.check_answers(demotion)
        self.seen["mixed"] += posts.is_mixed(demotion)
        self.seen["posts"] += len(posts.posts)
        self.seen["posts done"] += sum(post.done for _, post in posts.posts)
        await posts.check_log()
        await posts.check_keys()

    async def _insist(self, org: Org, act: str, method: str, path: str, body: Body) -> Attempt:
        """By the Owner, and again where what they act on moves all the time; each try goes on for two seconds."""
        for _ in range(TRIES - 1):
            attempt = await self.ask.once(org, org.owner, act, method, path, body)
            if told(attempt) != BUSY:
                return attempt
            self.seen["busy"] += 1
        return await self.ask.once(org, org.owner, act, method, path, body)

    # --------------------------------------------------------------------------------------------- deactivation
    async def deactivated_while_signing_in(self, org: Org, hammering: int = 2, signing_in: int = 3) -> None:
        """Someone works and signs in on and on and is deactivated: from the answer on, no request is accepted."""
        person, answered, entered = org.member, asyncio.Event(), asyncio.Event()
        requests: list[Attempt] = []
        entries: list[Attempt] = []

        async def hammer() -> None:
            while not answered.is_set():
                requests.append(await self.ask.send("GET", "/v1/me", person.token, None))

        async def enter() -> None:
            while not answered.is_set():
                entries.append(await self.ask.sign_in(org, person))
                entered.set()

        async def deactivate() -> Attempt:
            await entered.wait()
            await asyncio.sleep(self.chance.uniform(0.0, 0.1))
            try:
                return await self._insist(org, "deactivate", "POST", f"/v1/users/{person.id}/deactivate", {})
            finally:
                answered.set()

        work = [*(hammer() for _ in range(hammering)), *(enter() for _ in range(signing_in))]
        deactivation, _ = await asyncio.gather(deactivate(), asyncio.gather(*work))
        assert deactivation.done, told(deactivation)
        self._check_entries(requests, entries, deactivation)
        tokens = [person.token, *(entry.body["token"] for entry in entries if entry.done)]
        await asyncio.gather(*(self._stays_out(ask, org, person, tokens) for ask in self.through))
        path = f"/v1/users/{person.id}/reactivate"
        assert (await self.ask.once(org, org.owner, "reactivate", "POST", path, {})).done
        await asyncio.gather(*(self._open_nothing(ask, tokens) for ask in self.through))

    def _check_entries(
        self, requests: Sequence[Attempt], entries: Sequence[Attempt], deactivation: Attempt
    ) -> None:
        for attempts, refusal in ((requests, NO_SESSION), (entries, NO_ENTRY)):
            for each in attempts:
                assert each.done or told(each) == refusal, told(each)
                assert each.began < deactivation.ended if each.done else each.ended > deactivation.began
        together = [e for e in entries if e.began < deactivation.ended and e.ended > deactivation.began]
        self.seen["sign-ins"] += sum(entry.done for entry in entries)
        self.seen["entered"] += any(entry.done for entry in entries)
        self.seen["mixed"] += len({entry.done for entry in together}) > 1

    async def _stays_out(self, ask: Asker, org: Org, person: Person, tokens: Sequence[str]) -> None:
        """For a while after the answer, neither a token nor the password opens anything here."""
        until = time.monotonic() + STAYS_OUT_SECONDS

        async def enter() -> None:
            while time.monotonic() < until:
                assert told(await ask.sign_in(org, person)) == NO_ENTRY

        async def use() -> None:
            await self._open_nothing(ask, tokens)
            while time.monotonic() < until:
                await self._open_nothing(ask, tokens)

        await asyncio.gather(enter(), use())

    async def _open_nothing(self, ask: Asker, tokens: Sequence[str]) -> None:
        for token in tokens:
            assert told(await ask.send("GET", "/v1/me", token, None)) == NO_SESSION
            self.seen["tokens asked about afterwards"] += 1
