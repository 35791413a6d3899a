"""Audit in a test: its real parts on a real database, and identity played by a small HTTP server."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from aiohttp import web
from fastapi import FastAPI
from muster_contracts.attempts import AttemptRefused
from muster_contracts.envelope import Envelope, Record, to_record
from muster_contracts.events import Actor, Change, Event, Ref, Stamp
from muster_contracts.users import UserCreated, UserDeactivated, UserDeleted, UserRenamed
from muster_contracts.wire import wire

from services.audit import api, health
from services.audit.healer import Healer
from services.audit.identity import Identity, connect
from services.audit.janitor import Janitor
from services.audit.keys import Keys
from services.audit.progress import Progress
from services.audit.recorder import Recorder
from services.kit.consumer import Consumer
from services.kit.http import create_app
from services.kit.ids import new_id
from services.kit.parked import Raw
from services.kit.positions import Opaque
from services.kit.postgres import Pool, open_pool
from services.kit.sealing import MasterKeys

GATEWAY_KEY = "gateway-key"
START = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)


def new_master() -> str:
    return f"m1:{base64.b64encode(os.urandom(32)).decode()}"


@dataclass
class Log:
    """Identity's log as the tests write it: dense positions, streams, one org and its people."""

    org: str = field(default_factory=lambda: new_id("org"))
    records: list[Record] = field(default_factory=list)
    epoch: int = 1

    def __post_init__(self) -> None:
        self.ada, self.ben = new_id("usr"), new_id("usr")
        self.versions: dict[str, int] = {}

    def actor(self) -> Actor:
        return Actor(type="user", id=self.ada, name="Ada Owner")

    def append(
        self, event: Event, *, actor: Actor | None = None, ip: str = "203.0.113.7", reason: str | None = None
    ) -> Record:
        stream = event.stream() or new_id("att")
        version = self.versions[stream] = self.versions.get(stream, 0) + 1
        position = len(self.records) + 1
        stamp = Stamp(actor=actor or self.actor(), ip=ip, user_agent="Browser/1", reason=reason)
        envelope = Envelope(
            id=new_id("evt"), source="/muster/identity", type=event.type, version=event.version,
            subject=stream, partition_key=event.partition_key(self.org), sequence=version,
            time=START + timedelta(seconds=position), recorded_time=START, correlation_id=new_id("req"),
            auth_type="app_user", org=self.org, action=new_id("act"), position=position, epoch=self.epoch,
            data=wire(event, stamp),
        )  # fmt: skip
        self.records.append(to_record(envelope))
        return self.records[-1]

    def create(self, user: str, name: str) -> Record:
        return self.append(
            UserCreated(
                user=user, email="someone@acme.example", name=name, username=None, phone=None, timezone=None,
                labels=(), role=Ref(id="rol_1", name="Member"), status="invited",
            )
        )  # fmt: skip

    def rename(self, user: str, old: str, new: str, **stamp: Any) -> Record:
        return self.append(UserRenamed(user=user, name=Change(old=old, new=new)), **stamp)

    def deactivate(self, user: str, **stamp: Any) -> Record:
        change = Change(old="active", new="inactive")
        return self.append(UserDeactivated(user=user, kill=new_id("kil"), status=change), **stamp)

    def delete(self, user: str, name: str) -> Record:
        return self.append(
            UserDeleted(user=user, kill=new_id("kil"), name=name, email="someone@acme.example")
        )

    def refuse(self, act: str, code: str, target: str | None = None, **stamp: Any) -> Record:
        event = AttemptRefused(act=act, code=code, rule=code, target=target, login_hash=None, count=1)
        return self.append(event, **stamp)


def raw(record: Record) -> Raw:
    return Raw(record.topic, record.key, record.value, tuple(record.headers))


@dataclass
class FakeIdentity:
    """Identity's internal routes over a log, as the decision record 0001 has them."""

    log: Log
    refusal: web.Response | None = None
    reported: list[int] = field(default_factory=list)
    asked: list[tuple[dict[str, Any], dict[str, str]]] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.add_routes(
            [
                web.post("/internal/authorize", self.authorize),
                web.get("/internal/head", self.head),
                web.get("/internal/events", self.events),
                web.put("/internal/progress", self.progress),
            ]
        )
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["muster-service-key"] == "audit-key"
        self.asked.append((await request.json(), dict(request.headers)))
        if self.refusal is not None:
            return web.Response(
                body=self.refusal.body, status=self.refusal.status, content_type="application/problem+json"
            )
        actor = {"type": "user", "id": self.log.ada, "name": "Ada Owner"}
        return web.json_response(
            {"actor": actor, "org": self.log.org, "permissions": ["audit.read"], "session_id": "ses_1"}
        )

    async def head(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"position": len(self.log.records), "epoch": self.log.epoch})

    async def events(self, request: web.Request) -> web.StreamResponse:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        page = self.log.records[after : after + limit]
        self.pages.append(len(page))
        return web.json_response({"events": [_event(record) for record in page]})

    async def progress(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert body["service"] == "audit"
        self.reported.append(body["position"])
        return web.Response(status=204)


def _event(record: Record) -> dict[str, Any]:
    return {
        "topic": record.topic,
        "key": record.key.decode(),
        "value": record.value and record.value.decode(),
        "headers": {name: value.decode() for name, value in record.headers},
    }


@dataclass
class World:
    """Everything of one audit, put together as the process does it."""

    pool: Pool
    log: Log
    fake: FakeIdentity
    keys: Keys
    recorder: Recorder
    progress: Progress
    consumer: Consumer
    healer: Healer
    janitor: Janitor
    opaque: Opaque
    client: httpx.AsyncClient

    async def receive(self, *records: Record) -> None:
        """Let these records arrive; all of the log without any."""
        await self.consumer.process([raw(record) for record in records or self.log.records])
        await self.progress.advance()

    async def get(self, path: str, status: int = 200, /, **query: Any) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def found(self, **query: Any) -> list[dict[str, Any]]:
        """The records of a query, oldest first."""
        return (await self.get("/v1/audit", sort="seq", **query))["data"]

    def position(self, position: int) -> str:
        return self.opaque.position(self.log.org, position)


@asynccontextmanager
async def opened(url: str, log: Log, master: str | None = None, bootstrap: str = "") -> AsyncIterator[World]:
    fake = FakeIdentity(log)
    async with (
        fake.serving() as address,
        open_pool(url) as pool,
        open_pool(url, size=2) as key_pool,
        connect(address, "audit-key") as identity,
    ):
        keys, progress = Keys(key_pool, MasterKeys.parse(master or new_master())), Progress(pool)
        await keys.check()
        await progress.load()
        recorder = Recorder(keys)
        consumer = Consumer(bootstrap, [], "audit", pool, recorder.apply)
        opaque = Opaque(os.urandom(32))
        app = _app(api.Audit(pool, keys, recorder, progress, identity, opaque))
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://audit",
            headers={
                "muster-service-key": GATEWAY_KEY, "authorization": "Bearer mus_x", "user-agent": "Console/1",
                "muster-request-id": "req_1", "muster-client-address": "198.51.100.9",
            },
        )  # fmt: skip
        async with client:
            yield World(
                pool, log, fake, keys, recorder, progress, consumer, Healer(progress, consumer, identity),
                Janitor(pool, keys), opaque, client,
            )  # fmt: skip


def _app(audit: api.Audit) -> FastAPI:
    @asynccontextmanager
    async def nothing(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_app("audit", nothing, {"gateway": GATEWAY_KEY})
    app.state.audit = audit
    app.include_router(health.router)
    app.include_router(api.router)
    return app


__all__ = ["FakeIdentity", "Identity", "Log", "World", "new_master", "opened", "raw"]
