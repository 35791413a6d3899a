"""The gateway as a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.gateway.conftest import KEYS, Service, running, send_raw


@asynccontextmanager
async def process(**settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway.app", stderr=asyncio.subprocess.PIPE,
        env={**inherited, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **settings},
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def test_it_starts_answers_and_stops_when_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    identity = Service()
    async with running(identity) as behind:
        url = f"http://127.0.0.1:{behind}"
        async with process(**KEYS, MUSTER_LISTEN__GATEWAY=str(port), MUSTER_URLS__IDENTITY=url) as started:
            assert started.stderr
            async with asyncio.timeout(20):
                while b"Uvicorn running" not in await started.stderr.readline():
                    pass
            answer = await send_raw(port, b"GET /v1/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (answer.status, answer.get("server")) == (200, None)
            assert b'"event": "request"' in await started.stderr.readline()
            started.terminate()
            assert await started.wait() == 0


async def test_without_the_key_of_a_service_it_does_not_start_and_says_why() -> None:
    async with process(MUSTER_SERVICE_KEYS__GATEWAY_IDENTITY="key") as started:
        _, text = await started.communicate()
        assert started.returncode == 2
        assert text.startswith(b"MUSTER_SERVICE_KEYS__GATEWAY_AUDIT is not set")
        assert len(text.splitlines()) == 1
