"""A process that serves, started and stopped as a supervisor does it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

PROGRAM = """
import asyncio, sys
from services.kit.server import serve
from services.kit.telemetry import configure

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        print("closed", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    print("asked", flush=True)
    if scope["path"] == "/slow":
        await asyncio.to_thread(sys.stdin.readline)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

configure("test")
serve(app, "127.0.0.1", int(sys.argv[1]))
"""


@asynccontextmanager
async def program(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), stdin=pipe, stdout=pipe, stderr=pipe,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert process.stderr
    try:
        async with asyncio.timeout(20):
            while line := await process.stderr.readline():
                if b"Uvicorn running" in line or b"address already in use" in line:
                    break
            yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_that_is_told_to_stop_answers_what_it_was_asked_and_ends_with_zero(
    number: int,
) -> None:
    port = free_port()
    async with program(port) as process:
        assert process.stdout
        assert process.stdin
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await process.stdout.readline() == b"asked\n"
        process.send_signal(number)
        process.stdin.write(b"\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"ok")
        writer.close()
        assert await process.stdout.readline() == b"closed\n"
        assert await process.wait() == 0


async def test_idle_connections_do_not_delay_the_end() -> None:
    port = free_port()
    async with program(port) as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        process.terminate()
        async with asyncio.timeout(5):
            assert await process.wait() == 0
        writer.close()


async def test_a_port_that_is_taken_ends_the_process_with_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with program(taken.getsockname()[1]) as process:
            assert await process.wait() != 0


async def test_an_upgrade_is_not_made_and_ends_the_connection_after_the_answer() -> None:
    port = free_port()
    async with program(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        writer.close()
