"""Calls a second through the gateway and without it: `python -m tests.bench.gateway [SECONDS]`.

A small upstream answers at once, so the difference is what the gateway costs. Both are processes of
their own; 32 callers send one request after another on connections that they keep. Look at the CPU figures
where the machine is shared.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
from starlette.types import Receive, Scope, Send

from services.gateway.app import create
from services.kit.server import serve
from services.kit.settings import load
from services.kit.telemetry import configure
from services.kit.tokens import make_token

CALLERS = 32
ROUNDS = 3  # the best one counts: the others met something else that runs on this machine
SETTLING_SECONDS = 0.5
ANSWER = b'{"object":"user","id":"usr_01m867nybdewptx6nbfjra07sm","name":"Ada Lovelace","version":17}'


async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer like identity does, without doing anything."""
    if scope["type"] == "lifespan":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(ANSWER)),
        (b"etag", b'"17"'),
        (b"muster-position", b"cG9zaXRpb24"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


def run_upstream(port: int) -> None:
    configure("upstream", "warning")
    serve(upstream, "127.0.0.1", port)


def run_gateway(port: int, upstream_port: int) -> None:
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (the access log is written, not read)
    configure("gateway")
    url = f"http://127.0.0.1:{upstream_port}"
    settings = load(
        {
            "MUSTER_URLS__IDENTITY": url,
            "MUSTER_SERVICE_KEYS__GATEWAY_IDENTITY": "key",
            "MUSTER_SERVICE_KEYS__GATEWAY_AUDIT": "key",
            "MUSTER_SERVICE_KEYS__GATEWAY_NOTIFIER": "key",
            "MUSTER_GATEWAY__CALLS_PER_SECOND": "1000000",
        }
    )
    serve(create(settings), "127.0.0.1", port)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


@contextmanager
def process(target: Any, *arguments: int) -> Iterator[int]:
    running = multiprocessing.get_context("spawn").Process(target=target, args=arguments, daemon=True)
    running.start()
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", arguments[0]), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
        yield running.pid or 0
    finally:
        running.terminate()
        running.join(15)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process (Linux); unlike a rate it does not depend on what else runs here."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Caller(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete; notes how long each took."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.times: list[float] = []
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if separator and len(body) >= len(ANSWER):
            assert head.startswith(b"HTTP/1.1 200"), head
            self.times.append(time.perf_counter() - self.began)
            self.buffer = b""
            self.ask()


async def measure(port: int, seconds: float, callers: int = CALLERS) -> tuple[float, float, float]:
    """Calls a second, and the median and 99th percentile of their times in milliseconds."""
    request = (
        f"GET /v1/users/usr_01m867nybdewptx6nbfjra07sm HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\n"
        f"Authorization: Bearer {make_token('mus')}\r\nAccept: application/json\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Caller(request), "127.0.0.1", port) for _ in range(callers)]
    await asyncio.sleep(SETTLING_SECONDS)
    for _, caller in made:
        caller.times.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    passed = time.perf_counter() - began
    times = sorted(t for _, caller in made for t in caller.times)
    for transport, _ in made:
        transport.abort()
    return len(times) / passed, times[len(times) // 2] * 1000, times[len(times) * 99 // 100] * 1000


def one_round(port: int, pid: int, seconds: float, callers: int) -> tuple[float, float, float, float]:
    before = cpu_seconds(pid)
    rate, median, p99 = uvloop.run(measure(port, seconds, callers))
    return rate, median, p99, (cpu_seconds(pid) - before) / (seconds + SETTLING_SECONDS) / rate * 1000


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    behind, gateway = free_ports(2)
    with process(run_upstream, behind) as upstream_pid, process(run_gateway, gateway, behind) as gateway_pid:
        rates: dict[str, float] = {}
        for name, port, pid, callers in (
            ("bare upstream", behind, upstream_pid, CALLERS),
            ("through gateway", gateway, gateway_pid, CALLERS),
            ("bare upstream, 1 caller", behind, upstream_pid, 1),
            ("through gateway, 1 caller", gateway, gateway_pid, 1),
        ):
            best = max(one_round(port, pid, seconds, callers) for _ in range(ROUNDS))
            rate, median, p99, cpu = best
            rates[name] = rate
            times = f"median {median:.2f} ms, p99 {p99:.2f} ms, CPU {cpu:.3f} ms a call"
            sys.stdout.write(f"{name:26} {rate:7.0f} calls/s, {times}\n")
        sys.stdout.write(f"ratio {rates['through gateway'] / rates['bare upstream']:.2f}\n")


if __name__ == "__main__":
    main()
