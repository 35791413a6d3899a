"""Callers over HTTP: each sends one request after another on a connection that it keeps."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import percentile

SETTLING_SECONDS = 0.3
_LENGTH = b"\r\ncontent-length: "
Next = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """What callers saw: 2xx answers a second, times of all in milliseconds, and how many were no 2xx."""

    rate: float
    times: list[float]
    refused: int

    @property
    def p50(self) -> float:
        return percentile(self.times, 0.5)

    @property
    def p99(self) -> float:
        return percentile(self.times, 0.99)


def request(method: str, path: str, token: str = "", body: Any = None, form: str = "") -> bytes:
    content = form.encode() if form else json.dumps(body).encode() if body is not None else b""
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\nContent-Type: {kind}\r\n"
    if token:
        head += f"Authorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


class Caller(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete; notes how long each took."""

    def __init__(self, make: Next) -> None:
        self._make = make
        self._buffer = b""
        self.times: list[float] = []
        self.refused = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self.transport.write(self._make())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < _length(head):
            return
        self.times.append((time.perf_counter() - self._began) * 1000)
        self.refused += not head.startswith(b"HTTP/1.1 2")
        self._buffer = b""
        self._ask()


def _length(head: bytes) -> int:
    found = head.lower().partition(_LENGTH)[2]
    return int(found.partition(b"\r\n")[0] or 0)


async def load(port: int, makers: list[Next], seconds: float) -> Load:
    """One caller for each of `makers`, which make the requests."""
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda make=make: Caller(make), "127.0.0.1", port) for make in makers
    ]
    await asyncio.sleep(SETTLING_SECONDS)
    for _, caller in made:
        caller.times.clear()
        caller.refused = 0
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - began
    times = [t for _, caller in made for t in caller.times]
    for transport, _ in made:
        transport.abort()
    refused = sum(caller.refused for _, caller in made)
    return Load((len(times) - refused) / passed, times, refused)
