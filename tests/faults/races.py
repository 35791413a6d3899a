"""Races between people, round after round through two processes, noted in a history like everything else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.driver import Asker
from tests.faults.ground import Ground
from tests.faults.history import Attempt, History
from tests.support.identity import Org, Person

POSTING = ("admin", "member", "member2", "member3", "member4")
"""People of an organization in which an Admin is demoted while posting."""
ACTS = ("demote", "deactivate", "patch", "delete")
POSTS = 12
"""Requests under way at the same time in one race."""


@dataclass
class Races:
    """Each method is one round on fresh people, and returns what is wrong as far as the answers tell."""

    ground: Ground
    history: History
    chance: random.Random
    ways: str = "identity"

    def __post_init__(self) -> None:
        self.ask = Asker(self.ground, self.history, self.chance, self.ways)

    async def people(self, *names: str) -> Org:
        return await self.ground.place.organization(None, *names)

    async def two_owners(self, org: Org, first: str, second: str) -> Person:
        """Two Owners act on each other; returns the one who is left."""
        one, two = org.owner, org.owner2
        answers = await asyncio.gather(self._act(org, one, first, two), self._act(org, two, second, one))
        statuses = [answer.status for answer in answers]
        assert set(statuses) <= {200, 401, 403, 404, 409, 503}, (first, second, statuses)
        assert statuses.count(200) <= 1, (first, second, statuses)
        return two if statuses[1] == 200 else one

    async def _act(self, org: Org, by: Person, act: str, target: Person) -> Attempt:
        path = f"/v1/users/{target.id}"
        match act:
            case "demote":
                return await self.ask.once(org, by, act, "PATCH", path, {"role": "member"})
            case "deactivate":
                return await self.ask.once(org, by, act, "POST", f"{path}/deactivate", {})
            case "patch":
                return await self.ask.once(org, by, act, "PATCH", path, {"active": False})
            case _:
                return await self.ask.once(org, by, act, "DELETE", path, {"confirm": target.email})

    async def both_ways_out(self, org: Org) -> None:
        """One Owner gives up the own password and takes the other one's role, at the same time."""
        me, other = org.owner, org.owner2
        revoke = {"revoke_now": True}
        await asyncio.gather(
            self.ask.once(org, me, "revoke", "POST", f"/v1/users/{me.id}/reset-password", revoke),
            self.ask.once(org, me, "demote", "PATCH", f"/v1/users/{other.id}", {"role": "member"}),
        )

    async def demoted_while_posting(self, org: Org) -> None:
        """An Admin makes keys, grants roles and edits at full speed and is demoted meanwhile: nothing follows."""
        admin, target = org.admin, org.member
        path = f"/v1/users/{target.id}"

        async def post(number: int) -> Attempt:
            match number % 3:
                case 0:
                    body = {"name": f"key {number}", "permissions": ["users.read"]}
                    return await self.ask.once(org, admin, "make_key", "POST", "/v1/api-keys", body)
                case 1:
                    role = {"role": "admin" if number % 2 else "member"}
                    return await self.ask.once(org, admin, "role", "PATCH", path, role)
                case _:  # nothing but the right of the one who does it keeps this one from being done
                    other = org.people[f"member{2 + number // 3 % 3}"]
                    name = {"name": f"Robin {number}"}
                    return await self.ask.once(org, admin, "edit", "PATCH", f"/v1/users/{other.id}", name)

        await self._meanwhile(
            [lambda n=n: post(n) for n in range(POSTS)],
            lambda: self.ask.once(
                org, org.owner, "role", "PATCH", f"/v1/users/{admin.id}", {"role": "member"}
            ),
        )
        assert (await post(0)).status == 403

    async def deactivated_while_signing_in(self, org: Org, hammering: int = 4, signing_in: int = 3) -> None:
        """Someone works and signs in on and on and is deactivated: from the answer on, no request is accepted."""
        person, answered = org.member, asyncio.Event()
        tokens: list[str] = []

        async def hammer() -> None:
            while True:
                late = answered.is_set()
                attempt = await self.ask.send("GET", "/v1/me", person.token, None)
                assert not (late and attempt.done), "a request was accepted after the deactivation"
                if late:
                    return

        async def enter() -> None:
            while True:
                late = answered.is_set()
                attempt = await self.ask.sign_in(org, person)
                if attempt.done:
                    tokens.append(attempt.body["token"])
                assert not (late and attempt.done), "someone signed in after the deactivation"
                if late:
                    return

        async def deactivate() -> None:
            await asyncio.sleep(self.chance.uniform(0.0, 0.1))
            path = f"/v1/users/{person.id}/deactivate"
            assert (await self.ask.once(org, org.owner, "deactivate", "POST", path, {})).done
            answered.set()

        work = [*(hammer() for _ in range(hammering)), *(enter() for _ in range(signing_in))]
        await asyncio.gather(*work, deactivate())
        for token in tokens:
            assert (await self.ask.send("GET", "/v1/me", token, None)).status == 401
        path = f"/v1/users/{person.id}/reactivate"
        assert (await self.ask.once(org, org.owner, "reactivate", "POST", path, {})).done
        for token in [person.token, *tokens]:
            assert (await self.ask.send("GET", "/v1/me", token, None)).status == 401

    async def _meanwhile(
        self, posts: list[Callable[[], Awaitable[Attempt]]], act: Callable[[], Awaitable[Attempt]]
    ) -> None:
        async def later() -> Attempt:
            await asyncio.sleep(self.chance.uniform(0.0, 0.05))
            return await act()

        await asyncio.gather(*(post() for post in posts), later())
