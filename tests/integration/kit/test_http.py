"""What a caller gets when something fails that no handler knows, over a connection that stays open."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from services.kit.http import create_app
from services.kit.server import make_server


@asynccontextmanager
async def _lifespan(_: FastAPI):
    yield


@pytest.fixture
async def caller():
    app = create_app("test", _lifespan, {})

    @app.get("/broken")
    async def broken() -> None:
        raise LookupError("ada@acme.example")

    @app.get("/away")
    async def away() -> None:
        raise asyncpg.CannotConnectNowError("the database system is starting up")

    @app.get("/well")
    async def well() -> dict[str, bool]:
        return {"well": True}

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(app, "127.0.0.1", listener.getsockname()[1])
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        limits = httpx.Limits(max_connections=1)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=address, limits=limits) as client:
            while not server.started:
                await asyncio.sleep(0.01)
            yield client
        server.should_exit = True
        await serving


async def test_an_unexpected_error_is_a_problem_that_says_nothing_of_it(caller: httpx.AsyncClient):
    answer = await caller.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "ada" not in answer.text


async def test_a_database_that_is_away_is_a_503_to_be_tried_again(caller: httpx.AsyncClient):
    answer = await caller.get("/away")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", ["/broken", "/away"])
async def test_the_next_call_on_the_same_connection_is_served(caller: httpx.AsyncClient, path: str):
    first = await caller.get(path)
    assert first.headers.get("connection") != "close"
    assert (await caller.get("/well")).json() == {"well": True}
    stream = first.extensions["network_stream"].get_extra_info("client_addr")
    again = await caller.get("/well")
    assert again.extensions["network_stream"].get_extra_info("client_addr") == stream
