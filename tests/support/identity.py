"""Identity as it runs, in this process: on a port of its own, with a fresh database, and people to sign in as."""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Any

import httpx
from argon2 import PasswordHasher
from muster_contracts.credentials import MfaEnrolled, PasswordChanged
from muster_contracts.events import Actor, Change, Event
from muster_contracts.sessions import IpRuleGranted, SessionStarted
from muster_contracts.users import InvitationAccepted

from deploy.local.kafka_training import free_ports
from services.identity.access import access_guard, owners_guard
from services.identity.app import create as create_app
from services.identity.bootstrap import Identity, open_identity, prepare
from services.identity.fields import login_claim
from services.identity.links import INVITATION, VoidLinks, new_link
from services.identity.organizations.creation import NewOrganization, create, operator
from services.identity.permissions import ALL
from services.identity.rules import By
from services.identity.run import Draft, Origin
from services.identity.store import Claim, Write
from services.identity.users import decider, read
from services.identity.users.decider import NewLink
from services.identity.vault import ConfirmSession, SetPassword, StoreSessionToken
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.server import make_server
from services.kit.settings import Settings, load
from services.kit.tokens import make_token, token_hash
from tests.support.identity_log import new_master
from tests.support.servers import PostgresServer

PASSWORD = "correct horse battery staple"
CALLERS = ("GATEWAY", "AUDIT", "NOTIFIER")
SERVICE_KEYS = {f"MUSTER_SERVICE_KEYS__{name}_IDENTITY": secrets.token_urlsafe() for name in CALLERS}
ADDRESS = "203.0.113.7"


def settings_for(url: str, **more: str) -> Settings:
    """Settings of an identity on this database; `more` are further ones by name, without `MUSTER_`."""
    made = {
        "MUSTER_DATABASES__IDENTITY": url,
        "MUSTER_KEYS__MASTER": new_master(),
        "MUSTER_KEYS__POSITIONS": base64.b64encode(os.urandom(32)).decode(),
        "MUSTER_KEYS__LOOKUP": base64.b64encode(os.urandom(32)).decode(),
        "MUSTER_EMBEDDED": "true",
        "MUSTER_LISTEN__IDENTITY": str(free_ports(1)[0]),
    }
    return load(made | SERVICE_KEYS | {f"MUSTER_{name}": value for name, value in more.items()})


@cache
def hash_of(password: str) -> str:
    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(password)


@dataclass
class Person:
    """Someone who may sign in with `PASSWORD`; `token` is of a session that was confirmed when it began."""

    id: str
    email: str
    name: str
    token: str = ""

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Org:
    id: str
    slug: str
    owner: Person
    people: dict[str, Person] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Person:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Place:
    """A running identity: `http` calls it as the gateway does, `identity` reaches around HTTP."""

    settings: Settings
    identity: Identity
    http: httpx.AsyncClient
    by_hand: set[str] = field(default_factory=set)
    """Request ids of what was made here around HTTP."""

    async def call(
        self, method: str, path: str, person: Person | str | None = None, json: Any = None, **more: Any
    ) -> httpx.Response:
        """One request, as that person or with that token."""
        token = person.token if isinstance(person, Person) else person
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Muster-Request-Id": new_id("req"), "Muster-Client-Address": ADDRESS}
        return await self.http.request(
            method, path, json=json, headers=headers | more.pop("headers", {}), **more
        )

    async def organization(self, slug: str | None = None, *people: str) -> Org:
        """An organization with its Owner and `people` (`admin`, `member`, `owner2`, `admin2` …), all signed in."""
        slug = slug or f"acme-{secrets.token_hex(4)}"
        asked = NewOrganization(
            slug=slug, name=slug.title(), owner_email=f"owner@{slug}.example", owner_name="Olga Owner"
        )
        made = await create(self.identity.runner, asked, operator("root"))
        org = Org(made.organization, slug, Person(made.owner, asked.owner_email, asked.owner_name))
        await self.accept(org, org.owner)
        org.owner.token = await self.session(org, org.owner)
        for name in people or ("admin", "member"):
            org.people[name] = await self.person(org, name, role=name.rstrip("0123456789"))
        return org

    async def person(self, org: Org, name: str, *, role: str = "member", active: bool = True) -> Person:
        """Somebody new: invited by the Owner, and (where `active`) with a password and a session."""
        person = Person(new_id("usr"), f"{name}@{org.slug}.example", name.title())
        by = By(org.owner.id, ALL, is_owner=True, confirmed=True)

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            given = await read.role(connection, org.id, role)
            origin = await self.origin(connection, org, org.owner)
            key = self.identity.keys.new(person.id)
            link = new_link(org.id, person.id, INVITATION, key.sealer, origin.now)
            events = decider.invite(
                decider.Invite(
                    by, person.id, person.email, person.name, None, None, None, (), given,
                    NewLink(link.id, link.expires_at),
                )
            )  # fmt: skip
            claim = Claim(login_claim(org.id, person.email), person.id)
            return origin, Draft(events=events, claims=(claim,), persons=(key,), writes=(link,))

        await self.identity.runner.run(decide)
        if active:
            await self.accept(org, person)
            person.token = await self.session(org, person)
        return person

    async def accept(self, org: Org, person: Person) -> None:
        """They follow their invitation and choose `PASSWORD`."""
        events = [
            InvitationAccepted(user=person.id, link="lnk_0", status=Change(old="invited", new="active")),
            PasswordChanged(user=person.id, kill=None),
        ]
        guards = (access_guard(person.id), owners_guard(org.id))
        await self.write(
            org, person, events, [VoidLinks(person.id), SetPassword(person.id, hash_of(PASSWORD))], guards
        )

    async def enroll(self, org: Org, person: Person) -> None:
        """They have a factor in force (whose seed nobody knows)."""
        event = MfaEnrolled(user=person.id, factor=new_id("fac"), factor_type="totp")
        await self.write(org, person, [event], [], (access_guard(person.id),))

    async def session(self, org: Org, person: Person, *, with_: str = "password") -> str:
        """The token of a new session, confirmed now."""
        session, token = new_id("ses"), make_token("mus")
        async with self.identity.pool.acquire() as connection:
            now = await connection.fetchval("SELECT now()")
        until = now + timedelta(days=30)
        rule = IpRuleGranted(
            user=person.id, session=session, id=new_id("ipr"), network=ADDRESS, expires_at=until
        )
        events = [SessionStarted(user=person.id, session=session, amr=("pwd",), expires_at=until), rule]
        writes = [StoreSessionToken(token_hash(token), session), ConfirmSession(session, now, with_)]
        await self.write(org, person, events, writes, (access_guard(person.id),))
        return token

    async def sign_in(self, slug: str, login: str, password: str = PASSWORD) -> httpx.Response:
        """`POST /v1/sign-in`, the long way with argon2."""
        body = {"organization": slug, "login": login, "password": password}
        return await self.call("POST", "/v1/sign-in", json=body)

    async def write(
        self,
        org: Org,
        person: Person,
        events: Sequence[Event],
        writes: Sequence[Write],
        guards: tuple[str, ...],
    ) -> None:
        """One unit of that person, with no rule asked."""

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            heads = [*guards, *(stream for event in events if (stream := event.stream()))]
            rows = await connection.fetch("SELECT id, version FROM heads WHERE id = ANY($1)", heads)
            reads = dict.fromkeys(heads, 0) | {row["id"]: row["version"] for row in rows}
            origin = await self.origin(connection, org, person)
            return origin, Draft(events, reads=reads, touches=frozenset(guards), writes=tuple(writes))

        await self.identity.runner.run(decide)

    async def origin(self, connection: Database, org: Org, person: Person) -> Origin:
        actor = Actor(type="user", id=person.id, name=person.name)
        now, request = await connection.fetchval("SELECT now()"), new_id("req")
        self.by_hand.add(request)
        return Origin(org.id, actor, now, request, ip=ADDRESS, user_agent="tests")


@asynccontextmanager
async def running_identity(postgres: PostgresServer, **more: str) -> AsyncIterator[Place]:
    """Identity's whole process on a fresh database, until the end of the block; `more`: see `settings_for`."""
    name = postgres.create_migrated_database("identity")
    try:
        async with served(settings_for(postgres.url(name, "identity"), **more)) as place:
            yield place
    finally:
        postgres.drop_database(name)


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[Place]:
    """Identity's whole process with these settings."""
    server = make_server(create_app(settings), "127.0.0.1", settings.listen.identity)
    task = asyncio.create_task(server.serve())
    key = settings.service_keys.gateway_identity.get_secret_value()
    url = f"http://127.0.0.1:{settings.listen.identity}"
    try:
        async with open_identity(settings) as identity:
            await prepare(identity)
            async with asyncio.timeout(15):
                while not server.started:
                    if task.done():
                        task.result()
                        raise RuntimeError("identity did not start")
                    await asyncio.sleep(0.01)
            headers = {"Muster-Service-Key": key}
            async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10) as http:
                yield Place(settings, identity, http)
    finally:
        server.should_exit = True
        await task
