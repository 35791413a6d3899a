"""A notifier on a real database, with a real mail server and an HTTP server that plays identity."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

from aiohttp import web
from aiosmtpd import smtp as catcher
from muster_contracts.credentials import Factor, MfaReset
from muster_contracts.envelope import Envelope, Record, from_record, to_record
from muster_contracts.events import Actor, Event, Stamp
from muster_contracts.users import InvitationSent, UserDeactivated, UserDeleted
from muster_contracts.wire import wire

from services.kit.ids import new_id
from services.kit.parked import Decoded, Raw
from services.kit.persons import PersonKeys
from services.kit.postgres import Pool, open_pool
from services.kit.sealing import MasterKeys
from services.kit.settings import Smtp
from services.kit.tokens import make_token
from services.notifier.channels import Email
from services.notifier.courier import Courier
from services.notifier.identity import Identity, open_identity
from services.notifier.intake import Intake
from services.notifier.kills import Kills
from services.notifier.log import Log, Persons
from services.notifier.mails.render import Renderer
from services.notifier.outbox import EMAIL, Outbox
from tests.support.servers import PostgresServer

MASTER = "m1:" + "A" * 43 + "="
SERVICE_KEY = "notifier-to-identity"
ORG = new_id("org")
ADA = Actor(type="user", id=new_id("usr"), name="Ada Owner")


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """Wait until the condition holds, and return what it answered."""
    async with asyncio.timeout(seconds):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
        return found


class FakeIdentity:
    """Identity as its internal routes show it; `away` makes it answer 503."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.links: dict[str, dict[str, Any]] = {}
        self.kills: dict[str, dict[str, Any]] = {}
        self.log: dict[str, list[Record]] = {}
        self.may: dict[str, str] = {}
        self.away = False
        self.asked: list[str] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application(middlewares=[self._gate])
        app.router.add_get("/internal/users/{id}", self._from(self.users))
        app.router.add_get("/internal/links/{id}", self._from(self.links))
        app.router.add_get("/internal/kills/{id}", self._from(self.kills))
        app.router.add_get("/internal/events", self._events)
        app.router.add_get("/internal/head", self._head)
        app.router.add_post("/internal/authorize", self._authorize)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.away:
            return web.json_response({}, status=503)
        if request.headers.get("muster-service-key") != SERVICE_KEY:
            return web.json_response({}, status=401)
        return await handler(request)

    def _from(self, table: dict[str, dict[str, Any]]) -> Any:
        async def handler(request: web.Request) -> web.Response:
            found = table.get(request.match_info["id"])
            return web.json_response(found or {}, status=200 if found else 404)

        return handler

    async def _events(self, request: web.Request) -> web.Response:
        first = int(request.query["from"])
        records = self.log.get(request.query["subject"], [])
        rows = [
            {
                "topic": r.topic,
                "key": r.key.decode(),
                "value": (r.value or b"").decode(),
                "headers": {name: value.decode() for name, value in r.headers},
            }
            for r in records
            if int(dict(r.headers)["ce_sequence"]) >= first
        ]
        return web.json_response({"events": rows})

    async def _head(self, _: web.Request) -> web.Response:
        return web.json_response({"position": 17, "epoch": 1})

    async def _authorize(self, request: web.Request) -> web.Response:
        org = self.may.get(request.headers.get("authorization", ""))
        if org is None:
            document = {"code": "permission_missing", "status": 403}
            return web.json_response(document, status=403, content_type="application/problem+json")
        return web.json_response({"actor": {}, "org": org, "permissions": [], "session_id": None})

    def add_user(self, *, status: str = "active", timezone: str | None = "Europe/Vienna", **more: Any) -> str:
        user = new_id("usr")
        org = {"id": ORG, "slug": "acme", "name": "Acme", "support_contact": "support@acme.example"}
        self.users[user] = {
            "id": user, "email": f"{user}@acme.example", "name": "Ben Miller", "status": status,
            "timezone": timezone, "organization": org,
        } | more  # fmt: skip
        return user

    def add_link(self, user: str, kind: str = "invitation") -> str:
        link = new_id("lnk")
        self.links[link] = {
            "token": make_token("mui" if kind == "invitation" else "mur"), "kind": kind, "by_admin": True,
            "expires_at": (datetime.now(UTC) + timedelta(days=7)).isoformat(), "user": self.users[user],
            "organization": self.users[user]["organization"],
        }  # fmt: skip
        return link


@dataclass
class Mailbox:
    """A mail server; `answers` are given to the next DATA, `on_rcpt` to each RCPT, `hang_up` ends after the dot."""

    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    on_rcpt: dict[str, str] = field(default_factory=dict)
    hang_up: int = 0
    connections: int = 0
    port: int = 0
    _server: asyncio.Server | None = None

    async def handle_RCPT(  # noqa: N802
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.on_rcpt:
            return self.on_rcpt[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answers and not self.answers[0].startswith("250"):
            return self.answers.pop(0)
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.recipients.append(envelope.rcpt_tos)
        if self.hang_up:
            self.hang_up -= 1
            server.transport.abort()
        return "250 OK"

    async def start(self) -> None:
        def make() -> catcher.SMTP:
            self.connections += 1
            return catcher.SMTP(self, hostname="mail.example", enable_SMTPUTF8=True)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(make, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def texts(self) -> list[str]:
        return [mail.get_body(("plain",)).get_content() for mail in self.mails]  # type: ignore[union-attr]


@dataclass
class World:
    """One notifier's parts, not running by themselves."""

    url: str
    pool: Pool
    identity: FakeIdentity
    mailbox: Mailbox
    asking: Identity
    persons: Persons
    log: Log
    outbox: Outbox
    intake: Intake
    courier: Courier

    def kills(self, *expected: str) -> Kills:
        return Kills(self.pool, self.log, self.asking, expected)

    async def take_in(self, *records: Record) -> None:
        """Apply records as the consumer does."""
        async with self.pool.acquire() as connection, connection.transaction():
            await self.intake.apply(connection, [decoded(record) for record in records])

    async def deliver(self) -> bool:
        """Try all that is due once."""
        return await self.courier.deliver(await self.outbox.claim(100))

    async def told(self) -> list[Envelope]:
        """The notifier's own log as the relay reads it."""
        async with self.pool.acquire() as connection:
            return [
                from_record(r.topic, r.key, r.value, r.headers)
                for _, r in await self.log.read(connection, 0, 1000)
            ]

    async def types(self) -> list[str]:
        return [envelope.type for envelope in await self.told()]

    async def message(self) -> Any:
        rows = await self.pool.fetch("SELECT * FROM messages")
        assert len(rows) == 1
        return rows[0]

    async def make_due(self) -> None:
        await self.pool.execute("UPDATE messages SET due_at = now() WHERE finished_at IS NULL")

    async def raw(self) -> str:
        """Everything that the database holds, as text."""
        tables = await self.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await self.pool.fetch(f'SELECT * FROM "{table["tablename"]}"') for table in tables]
        return repr([[tuple(row) for row in found] for found in rows])


@asynccontextmanager
async def open_world(postgres: PostgresServer) -> AsyncIterator[World]:
    name = postgres.create_migrated_database("notifier")
    async with AsyncExitStack() as stack:
        stack.callback(postgres.drop_database, name)
        url = postgres.url(name, "notifier")
        pool = await stack.enter_async_context(open_pool(url, size=12))
        identity, mailbox = FakeIdentity(), Mailbox()
        await stack.enter_async_context(identity.serving())
        await mailbox.start()
        stack.push_async_callback(mailbox.stop)
        asking = await stack.enter_async_context(open_identity(identity.url, SERVICE_KEY))
        keys_pool = await stack.enter_async_context(open_pool(url, size=3))
        persons = Persons(keys_pool, PersonKeys(MasterKeys.parse(MASTER)))
        log = Log(persons)
        outbox = Outbox(pool, log, persons)
        smtp = Smtp(port=mailbox.port, timeout_seconds=3)
        renderer = Renderer("http://127.0.0.1:8801")
        courier = Courier(outbox, {EMAIL: Email(smtp)}, asking, renderer)
        intake = Intake(pool, outbox, log, persons, asking, lambda: None)
        yield World(url, pool, identity, mailbox, asking, persons, log, outbox, intake, courier)


def decoded(record: Record) -> Decoded:
    raw = Raw(record.topic, record.key, record.value, tuple(record.headers))
    return Decoded(from_record(record.topic, record.key, record.value, record.headers), raw)


def record(event: Event, sequence: int = 1, *, actor: Actor = ADA, **more: Any) -> Record:
    """An event of identity as it comes from Kafka."""
    user = event.person() or ""
    fields: dict[str, Any] = {
        "id": new_id("evt"), "source": "/muster/identity", "type": event.type, "version": event.version,
        "subject": event.stream() or user, "partition_key": user, "sequence": sequence, "time": datetime.now(UTC),
        "org": ORG, "action": new_id("act"), "correlation_id": new_id("req"), "position": sequence, "epoch": 1,
        "data": wire(event, Stamp(actor=actor, ip="203.0.113.7")),
    }  # fmt: skip
    return to_record(Envelope(**(fields | more)))


def invitation(user: str, link: str, **more: Any) -> Record:
    expires = more.pop("expires_at", datetime.now(UTC) + timedelta(days=7))
    event = InvitationSent(user=user, link=link, expires_at=expires, email=f"{user}@acme.example")
    return record(event, **more)


def mfa_reset(user: str, sequence: int = 1, **more: Any) -> Record:
    factors = (Factor(id=new_id("fac"), type="totp"),)
    event = MfaReset(user=user, factors=factors, recovery_codes_deleted=10, kill=new_id("kil"))
    return record(event, sequence, **more)


def deactivated(user: str, sequence: int = 1, kill: str | None = None) -> Record:
    change: Any = {"old": "active", "new": "inactive"}
    return record(UserDeactivated(user=user, kill=kill or new_id("kil"), status=change), sequence)


def deleted(user: str, sequence: int = 1) -> Record:
    return record(UserDeleted(user=user, kill=new_id("kil"), name="Ben", email="b@acme.example"), sequence)
