"""A gateway on a real port before services that are real servers too, and a client that sends what it is told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.app import create
from services.kit.server import make_server
from services.kit.settings import load

Headers = list[tuple[str, str]]


@asynccontextmanager
async def running(app: ASGIApp) -> AsyncIterator[int]:
    """Serve `app` as every process of ours does; gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = make_server(app, "127.0.0.1", port)
    server.config.timeout_graceful_shutdown = 1
    serving = asyncio.create_task(server._serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        await serving


@dataclass
class Seen:
    """A request as a service got it."""

    method: str
    target: str
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


@dataclass
class Service:
    """Stands where identity, audit or notifier stand: keeps what it got, answers what it is told."""

    status: int = 200
    headers: Headers = field(default_factory=lambda: [("content-type", "application/json")])
    body: bytes = b'{"object":"thing"}'
    answer: Callable[[Scope, Receive, Send], Awaitable[None]] | None = None
    documents: dict[str, tuple[int, Any]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while (message := await receive()).get("more_body", False):
            body += message["body"]
        body += message.get("body", b"")
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
        self.seen.append(Seen(scope["method"], target, headers, body))
        if self.answer is not None and scope["path"].startswith("/v1/"):
            await self.answer(scope, receive, send)
            return
        status, content = self.status, self.body
        if scope["path"] in self.documents:
            status, document = self.documents[scope["path"]]
            content = json.dumps(document).encode()
        answered = [(name.encode(), value.encode()) for name, value in self.headers]
        if status not in (204, 304):
            answered.append((b"content-length", b"%d" % len(content)))
        await send({"type": "http.response.start", "status": status, "headers": answered})
        await send({"type": "http.response.body", "body": b"" if status in (204, 304) else content})


@dataclass
class Answer:
    status: int
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def json(self) -> Any:
        return json.loads(self.body)


async def send_raw(port: int, raw: bytes) -> Answer:
    """Send these bytes and read the answer; the request should ask for `Connection: close`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(15):
            return read_answer(await reader.read())
    finally:
        writer.close()


def read_answer(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = [(line.partition(":")[0].lower(), line.partition(":")[2].strip()) for line in lines]
    answer = Answer(int(status.split(" ")[1]), headers, body)
    if answer.get("transfer-encoding") == "chunked":
        answer.body = _unchunked(body)
    return answer


def _unchunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        size, _, rest = raw.partition(b"\r\n")
        length = int(size, 16)
        body, raw = body + rest[:length], rest[length + 2 :]
        if not length:
            break
    return body


@dataclass
class Gateway:
    """The gateway under test and what stands behind it."""

    port: int
    identity: Service
    audit: Service
    notifier: Service

    async def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request; `x_y=…` is the header `x-y`."""
        return await self.send(
            method, target, [(name.replace("_", "-"), value) for name, value in headers.items()], body
        )

    async def send(self, method: str, target: str, headers: Headers, body: bytes | None = None) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: gateway.example", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return await send_raw(self.port, "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))


KEYS = {
    "MUSTER_SERVICE_KEYS__GATEWAY_IDENTITY": "identity-new, identity-old",
    "MUSTER_SERVICE_KEYS__GATEWAY_AUDIT": "audit-key",
    "MUSTER_SERVICE_KEYS__GATEWAY_NOTIFIER": "notifier-key",
    "MUSTER_SERVICE_KEYS__CONSOLE_GATEWAY": "console-new,console-old",
}


@asynccontextmanager
async def gateway_with(**settings: str) -> AsyncIterator[Gateway]:
    """A gateway with these settings beside the usual ones, and its three services."""
    identity, audit, notifier = Service(), Service(), Service()
    async with running(identity) as first, running(audit) as second, running(notifier) as third:
        urls = {
            "MUSTER_URLS__IDENTITY": f"http://127.0.0.1:{first}",
            "MUSTER_URLS__AUDIT": f"http://127.0.0.1:{second}",
            "MUSTER_URLS__NOTIFIER": f"http://127.0.0.1:{third}",
        }
        async with running(create(load({**KEYS, **urls, **settings}))) as port:
            yield Gateway(port, identity, audit, notifier)


@pytest.fixture(scope="session")
async def shared_gateway() -> AsyncIterator[Gateway]:
    async with gateway_with(MUSTER_GATEWAY__CALLS_PER_SECOND="100000") as made:
        yield made


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """A gateway that limits nobody; its services have seen nothing and answer their usual."""
    for service in (shared_gateway.identity, shared_gateway.audit, shared_gateway.notifier):
        service.__init__()
    return shared_gateway
