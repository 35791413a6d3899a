"""Sixteen callers who administer people as fast as they are let, by a seed, and note what they were told.

Each caller belongs to an organization and acts as one of its administrators; what it does, on whom and whether
with an idempotency key is drawn from its own random numbers. When an answer stays away it repeats the command
with the same key at the other process, as a client should.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from asyncpg import InterfaceError, PostgresError
from muster_contracts.events import Change
from muster_contracts.users import UserEmailChanged

from services.identity.fields import login_claim
from services.identity.run import Draft, Origin
from services.identity.store import Claim
from services.kit.errors import MusterError
from services.kit.ids import new_id
from services.kit.postgres import Database
from tests.faults.ground import Ground
from tests.faults.history import Attempt, Command, History, OwnAct, Read
from tests.faults.watch import watching
from tests.support.identity import PASSWORD, Org, Person, Place
from tests.support.signing_in import link_of

CALLERS = 16
REPEATS = 40
REPEAT_SECONDS = 0.25
NO_CONTENT = 204
TIMEOUT = aiohttp.ClientTimeout(total=8)
AGAIN = 0.1
"""Share of keyed commands that are asked once more although they were answered."""
AWAY = (AssertionError, OSError, MusterError, PostgresError, InterfaceError)
"""What comes of reaching around HTTP while a server is down, or somebody has no open link."""
Body = dict[str, Any] | None


@dataclass
class World:
    """Organizations with people; the first Owner of a `calm` one is never acted upon."""

    calm: list[Org] = field(default_factory=list)
    duels: list[Org] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    """Sessions that are believed to live, by user."""
    everybody: dict[str, Person] = field(default_factory=dict)


async def make_world(ground: Ground, *, calm: int = 3, duels: int = 2) -> World:
    world = World()
    for _ in range(calm):
        people = ("owner2", "admin", "admin2", "member", "member2", "member3", "member4")
        world.calm.append(await ground.place.organization(None, *people))
    for _ in range(duels):
        world.duels.append(await ground.place.organization(None, "owner2"))
    for org in (*world.calm, *world.duels):
        for person in (org.owner, *org.people.values()):
            world.everybody[person.id] = person
            world.tokens[person.id] = person.token
    return world


@asynccontextmanager
async def load(ground: Ground, world: World, seed: int, rate: float = 160.0) -> AsyncIterator[History]:
    """Callers at work until the end of the block, at most `rate` commands a second together."""
    history, stop = ground.history(seed), asyncio.Event()
    callers = [
        Caller(ground, world, history, stop, random.Random(f"{seed}:{n}"), n, CALLERS / rate)
        for n in range(CALLERS)
    ]
    async with watching(ground, ground.mail.outages):
        tasks = [asyncio.create_task(caller.run()) for caller in callers]
        try:
            yield history
        finally:
            stop.set()
            await asyncio.gather(*tasks)


class Asker:
    """Requests to one of several ways in, drawn by chance, noted in a history."""

    def __init__(
        self, ground: Ground, history: History, chance: random.Random, ways: str = "identity"
    ) -> None:
        """Take what it needs; `ways`: `identity`, asked as a gateway asks it, or `gateway`."""
        self.ground, self.history, self.chance, self.ways = ground, history, chance, ways
        self.names = [name for name in ground.names if name.startswith(ways)]

    async def once(
        self, org: Org, by: Person, act: str, method: str, path: str, json: Body, key: str | None = None
    ) -> Attempt:
        """One attempt at a command of its own."""
        command = Command(org.id, by.id, act, None, key, method, path, json)
        self.history.commands.append(command)
        return await self.attempt(command, by.token)

    async def attempt(self, command: Command, token: str | None) -> Attempt:
        return await self.send(command.method, command.path, token, command.json, command)

    async def sign_in(self, org: Org, person: Person) -> Attempt:
        body = {"organization": org.slug, "login": person.email, "password": PASSWORD}
        return await self.to_oneself(person, "session.started", "/v1/sign-in", None, body)

    async def to_oneself(
        self, person: Person, type_: str, path: str, token: str | None, json: Body
    ) -> Attempt:
        """What leads to an event of this type about the one who does it."""
        attempt = await self.send("POST", path, token, json)
        self.history.own.append(OwnAct(person.id, type_, attempt))
        return attempt

    async def send(
        self, method: str, path: str, token: str | None, json: Body, command: Command | None = None
    ) -> Attempt:
        via = self.chance.choice(self.names)
        attempt = Attempt(new_id("req"), via, time.monotonic())
        if command is not None:
            command.attempts.append(attempt)
        headers = self._as_gateway(attempt) if self.ways == "identity" else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if command is not None and command.key:
            headers["Idempotency-Key"] = command.key
        try:
            async with self.ground.http.request(
                method, f"{self.ground.address(via)}{path}", json=json, headers=headers, timeout=TIMEOUT
            ) as answer:
                attempt.body = await answer.json(content_type=None) if answer.status != NO_CONTENT else None
                attempt.status = answer.status
                attempt.replayed = "Idempotency-Replayed" in answer.headers
                attempt.request_id = answer.headers.get("Muster-Request-Id", attempt.request_id)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            pass  # no answer, or half of one
        attempt.ended = time.monotonic()
        if command is None:
            self.history.others.add(attempt.request_id)  # a refused read is an event as well
        return attempt

    def _as_gateway(self, attempt: Attempt) -> dict[str, str]:
        """Every request comes from an address of its own: no refusal is summed up with others."""
        net = f"{self.chance.randrange(65536):x}:{self.chance.randrange(65536):x}"
        return {
            "Muster-Service-Key": self.ground.settings.service_keys.gateway_identity.get_secret_value(),
            "Muster-Request-Id": attempt.request_id,
            "Muster-Client-Address": f"2001:db8:{net}::1",
        }


async def change_address(place: Place, org: Org, person: Person) -> None:
    """A new address by the Owner's hand, around HTTP, which has no route for it."""
    new = f"{new_id('adr')}@{org.slug}.example"

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        row = await connection.fetchrow("SELECT email, version FROM users WHERE id = $1", person.id)
        assert row is not None
        event = UserEmailChanged(user=person.id, email=Change(old=row["email"], new=new))
        claim, old = Claim(login_claim(org.id, new), person.id), login_claim(org.id, row["email"])
        draft = Draft([event], reads={person.id: row["version"]}, claims=(claim,), releases=(old,))
        return await place.origin(connection, org, org.owner), draft

    await place.identity.runner.run(decide)
    person.email = new


class Caller:
    def __init__(
        self,
        ground: Ground,
        world: World,
        history: History,
        stop: asyncio.Event,
        chance: random.Random,
        number: int,
        pause: float,
    ) -> None:
        self.ground, self.world, self.history, self.stop = ground, world, history, stop
        self.chance, self.number, self.pause = chance, number, pause
        self.ask = Asker(ground, history, chance)
        is_duellist = number >= CALLERS - 2 * len(world.duels)
        self.org = world.duels[number % 2] if is_duellist else world.calm[number % len(world.calm)]
        self.act = self.duel if is_duellist else self.administer
        self.invited: list[str] = []
        self.numbers = itertools.count(1)

    async def run(self) -> None:
        due = time.monotonic()
        while not self.stop.is_set():
            await self.act()
            due = max(due + self.pause, time.monotonic() - 1)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    # ---------------------------------------------------------------------------------- an organization's days
    async def administer(self) -> None:
        actor = self._actor()
        acts: list[tuple[int, Callable[[Person], Any]]] = [
            (34, self._edit), (10, self._names), (10, self._switch), (6, self._role), (5, self._invite),
            (3, self._resend), (3, self._reset), (3, self._delete), (4, self._end_sessions), (4, self._keys),
            (6, self._read), (2, self._settings), (2, self._sign_in), (2, self._reset_mfa),
            (2, self._new_password), (2, self._complete_reset), (2, self._new_address),
        ]  # fmt: skip
        [chosen] = self.chance.choices([act for _, act in acts], [weight for weight, _ in acts])
        await chosen(actor)

    async def _edit(self, actor: Person) -> None:
        number = next(self.numbers)
        fields: dict[str, Any] = {
            "name": f"Robin {self.number} {number}",
            "timezone": self.chance.choice(["Europe/Berlin", "Asia/Tokyo", "UTC"]),
            "labels": [f"l{self.chance.randrange(5)}"],
            "phone": f"+4930{self.chance.randrange(1_000_000, 9_999_999)}",
        }
        chosen = self.chance.sample(list(fields), self.chance.choice([1, 1, 2, 3]))
        await self._patch(actor, self._target(), "edit", {name: fields[name] for name in chosen})

    async def _names(self, actor: Person) -> None:
        """A small set of usernames: two callers want the same one now and then."""
        await self._patch(actor, self._target(), "edit", {"username": f"u{self.chance.randrange(6)}"})

    async def _switch(self, actor: Person) -> None:
        target, verb = self._target(), self.chance.choice(["deactivate", "reactivate", "reactivate"])
        await self.command(actor, verb, target.id, "POST", f"/v1/users/{target.id}/{verb}", {})

    async def _role(self, actor: Person) -> None:
        await self._patch(
            actor, self._target(), "role", {"role": self.chance.choice(["member", "admin", "admin", "owner"])}
        )

    async def _invite(self, actor: Person) -> None:
        email = f"c{self.number}-{next(self.numbers)}@{self.org.slug}.example"
        answer = await self.command(
            actor, "invite", None, "POST", "/v1/users", {"email": email, "name": "New Person"}
        )
        if answer is not None and answer.done:
            self.invited.append(answer.body["user"]["id"])

    async def _resend(self, actor: Person) -> None:
        if self.invited:
            user = self.chance.choice(self.invited)
            await self.command(actor, "resend", user, "POST", f"/v1/users/{user}/resend-invitation", {})

    async def _reset(self, actor: Person) -> None:
        target = self._target()
        body = {"revoke_now": False}
        await self.command(actor, "reset", target.id, "POST", f"/v1/users/{target.id}/reset-password", body)

    async def _reset_mfa(self, actor: Person) -> None:
        target = self._target()
        await self.command(actor, "reset_mfa", target.id, "POST", f"/v1/users/{target.id}/reset-mfa", {})

    async def _delete(self, actor: Person) -> None:
        if len(self.invited) > 3:
            user = self.invited.pop(0)
            email = next(
                c.json["email"] for c in self.history.commands if c.act == "invite" and self._made(c, user)
            )
            await self.command(actor, "delete", user, "DELETE", f"/v1/users/{user}", {"confirm": email})

    @staticmethod
    def _made(command: Command, user: str) -> bool:
        return any(a.done and a.body["user"]["id"] == user for a in command.answered)

    async def _end_sessions(self, actor: Person) -> None:
        target = self._target()
        await self.command(actor, "end", target.id, "DELETE", f"/v1/users/{target.id}/sessions", None)

    async def _keys(self, actor: Person) -> None:
        body = {"name": f"key {next(self.numbers)}", "permissions": ["users.read"]}
        made = await self.command(actor, "make_key", None, "POST", "/v1/api-keys", body)
        if made is not None and made.done and self.chance.random() < 0.5:
            key = made.body["api_key"]["id"]
            await self.command(actor, "revoke_key", key, "DELETE", f"/v1/api-keys/{key}", None)

    async def _settings(self, actor: Person) -> None:
        body = {"support_contact": f"help{next(self.numbers)}@{self.org.slug}.example"}
        await self.command(actor, "settings", self.org.id, "PATCH", "/v1/organization", body)

    async def _read(self, actor: Person) -> None:
        """What one process has acknowledged, the other one shows."""
        changed = await self._patch(
            actor, self._target(), "edit", {"name": f"Kim {self.number} {next(self.numbers)}"}
        )
        if changed is None or not changed.done or changed.body["user"] is None:
            return
        user = changed.body["user"]
        shown = await self.ask.send("GET", f"/v1/users/{user['id']}", self.world.tokens.get(actor.id), None)
        if shown.done:
            self.history.reads.append(Read(user["id"], user["version"], shown.body["version"]))

    async def _sign_in(self, _actor: Person) -> None:
        await self.enter(self._target())

    async def _new_password(self, actor: Person) -> None:
        """The same one again: whether it was kept or not, the person can sign in."""
        body = {"current_password": PASSWORD, "password": PASSWORD}
        token = self.world.tokens.get(actor.id)
        await self.ask.to_oneself(actor, "password.changed", "/v1/me/password", token, body)

    async def _complete_reset(self, actor: Person) -> None:
        target = self._target()
        await self.command(
            actor, "reset", target.id, "POST", f"/v1/users/{target.id}/reset-password", {"revoke_now": False}
        )
        with suppress(*AWAY):
            body = {"token": await link_of(self.ground.place, target), "password": PASSWORD}
            path = "/v1/password-resets/complete"
            await self.ask.to_oneself(target, "password.reset_completed", path, None, body)

    async def _new_address(self, _actor: Person) -> None:
        with suppress(*AWAY):
            await change_address(self.ground.place, self.org, self._target())

    def _actor(self) -> Person:
        admins = [self.org.owner, self.org.owner2, self.org.admin, self.org.admin2]
        able = [person for person in admins[1:] if person.id in self.world.tokens]
        return self.chance.choice([*able, self.org.owner])

    def _target(self) -> Person:
        return self.chance.choice(list(self.org.people.values()))

    async def _patch(self, actor: Person, target: Person, act: str, body: Body) -> Attempt | None:
        return await self.command(actor, act, target.id, "PATCH", f"/v1/users/{target.id}", body)

    # --------------------------------------------------------------------------------------------- two Owners
    async def duel(self) -> None:
        """One Owner takes the other one's way in; whoever is left lets the other one in again."""
        pair = [self.org.owner, self.org.owner2]
        me, other = pair if self.number // 2 % 2 else pair[::-1]
        if me.id not in self.world.tokens and not await self.enter(me):
            return
        body: Body = self.chance.choice([{"role": "member"}, {"active": False}, None])
        path = f"/v1/users/{other.id}"
        if body is None:
            answer = await self.command(me, "duel", other.id, "POST", f"{path}/deactivate", {})
        else:
            answer = await self.command(me, "duel", other.id, "PATCH", path, body)
        if answer is not None and answer.done:
            await self._patch(me, other, "revive", {"active": True, "role": "owner"})
            self.world.tokens.pop(other.id, None)

    # -------------------------------------------------------------------------------------------------- asking
    async def command(
        self, actor: Person, act: str, target: str | None, method: str, path: str, json: Body
    ) -> Attempt | None:
        """Ask, and with a key ask again until it is known; None where it stayed unknown."""
        key = new_id("idk") if self.chance.random() < 0.6 else None
        command = Command(self.org.id, actor.id, act, target, key, method, path, json)
        self.history.commands.append(command)
        token = self.world.tokens.get(actor.id)
        attempt = await self.ask.attempt(command, token)
        for _ in range(REPEATS if key else 0):
            if not attempt.unknown:
                break
            await asyncio.sleep(REPEAT_SECONDS)
            attempt = await self.ask.attempt(command, token)
        if key and not attempt.unknown and self.chance.random() < AGAIN:
            await self.ask.attempt(command, token)
        if attempt.status == 401 and self.world.tokens.get(actor.id) == token:
            self.world.tokens.pop(actor.id, None)
            if actor is self.org.owner:
                await self.enter(actor)
        return None if attempt.unknown else attempt

    async def enter(self, person: Person) -> bool:
        attempt = await self.ask.sign_in(self.org, person)
        if attempt.done and attempt.body["next"] == "done":
            self.world.tokens[person.id] = attempt.body["token"]
            return True
        return False
