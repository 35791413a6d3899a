"""What the gateway does when the service, the network or the client fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from services.gateway import upstream
from services.gateway.watches import TICK_SECONDS
from tests.integration.gateway.conftest import Gateway, Service, gateway_with, running

NOWHERE = "http://127.0.0.1:1"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nfine"


@asynccontextmanager
async def before(
    handle: Callable[[bytes, asyncio.StreamWriter], bool],
) -> AsyncIterator[tuple[Gateway, list[bytes]]]:
    """A gateway before an identity that is a bare socket: `handle` gets each request, False hangs up."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                if not handle(head, writer):
                    break
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with gateway_with(MUSTER_URLS__IDENTITY=url) as gateway:
            yield gateway, heads
    finally:
        server.close()


def is_unavailable(answer: Any) -> bool:
    return (
        answer.status == 503
        and answer.json()["code"] == "unavailable"
        and answer.get("retry-after") == "1"
        and answer.json()["request_id"] == answer.get("muster-request-id")
    )


async def test_with_identity_away_nobody_gets_in_and_everybody_is_told() -> None:
    async with gateway_with(MUSTER_URLS__IDENTITY=NOWHERE) as gateway:
        for method, path in (("GET", "/v1/me"), ("POST", "/v1/sign-in"), ("DELETE", "/v1/users/usr_1")):
            answer = await gateway.ask(method, path, b"{}", authorization="Bearer x")
            assert is_unavailable(answer)
            assert b"Traceback" not in answer.body
            assert b"127.0.0.1:1" not in answer.body


async def test_with_audit_away_only_audit_is() -> None:
    async with gateway_with(MUSTER_URLS__AUDIT=NOWHERE) as gateway:
        assert is_unavailable(await gateway.ask("GET", "/v1/audit"))
        assert (await gateway.ask("GET", "/v1/users")).status == 200


@pytest.mark.parametrize(
    "reply",
    [b"", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", b"HTTP/1.1 2"],
)
async def test_an_answer_that_breaks_off_is_no_answer(reply: bytes) -> None:
    def handle(_: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(reply)
        return False

    async with before(handle) as (gateway, heads):
        assert is_unavailable(await gateway.ask("POST", "/v1/users/usr_1/deactivate"))
        assert len(heads) == 1


async def test_a_long_answer_that_breaks_off_is_broken_off_for_the_client_too() -> None:
    def handle(_: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 100_000)
        return False

    async with (
        before(handle) as (gateway, _),
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{gateway.port}/v1/jobs/job_1/results") as answer,
    ):
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize(
    ("method", "status", "sent"), [("GET", 200, 2), ("POST", 503, 1), ("DELETE", 503, 1)]
)
async def test_a_connection_closed_while_idle_repeats_a_read_and_never_a_command(
    method: str, status: int, sent: int
) -> None:
    answered: set[asyncio.StreamWriter] = set()

    def handle(_: bytes, writer: asyncio.StreamWriter) -> bool:
        if writer in answered:  # the second request on a connection meets its end
            return False
        answered.add(writer)
        writer.write(ANSWER)
        return True

    async with before(handle) as (gateway, heads):
        assert (await gateway.ask("GET", "/v1/first")).status == 200
        answer = await gateway.ask(method, "/v1/second")
        assert answer.status == status
        assert [head.split(b" ")[1] for head in heads] == [b"/v1/first"] + [b"/v1/second"] * sent


async def test_a_connection_that_the_service_has_closed_is_not_used_for_a_command() -> None:
    def handle(_: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER)
        return False

    async with before(handle) as (gateway, heads):
        for number in range(5):
            assert (await gateway.ask("POST", f"/v1/{number}")).status == 200
        assert len(heads) == 5


async def test_idle_connections_are_ours_to_close() -> None:
    from services.kit.server import KEEP_ALIVE_SECONDS

    assert upstream.KEEP_ALIVE_SECONDS < KEEP_ALIVE_SECONDS


async def test_a_service_that_does_not_answer_in_time_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "TIMEOUT", aiohttp.ClientTimeout(total=None, sock_read=0.2))
    async with before(lambda *_: True) as (gateway, heads):
        assert is_unavailable(await gateway.ask("POST", "/v1/users"))
        assert is_unavailable(await gateway.ask("GET", "/v1/users"))
        assert len(heads) == 2


class Waiting:
    """A service that answers when told to, and notes whether its client left."""

    def __init__(self, service: Service) -> None:
        self.asked, self.left, self.go = asyncio.Event(), asyncio.Event(), asyncio.Event()
        service.answer = self

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        self.asked.set()
        leaving = asyncio.create_task(self._look(receive))
        going = asyncio.create_task(self.go.wait())
        await asyncio.wait({leaving, going}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        going.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    async def _look(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()


async def test_a_client_that_leaves_takes_its_call_with_it(gateway: Gateway) -> None:
    waiting = Waiting(gateway.identity)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    async with asyncio.timeout(10):
        await waiting.asked.wait()
        writer.close()
        await waiting.left.wait()
    gateway.identity.answer = None
    assert (await gateway.ask("GET", "/v1/users")).status == 200


async def test_a_client_that_leaves_in_the_middle_of_its_body_reaches_nobody(gateway: Gateway) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n{}")
    await writer.drain()
    writer.close()
    assert (await gateway.ask("GET", "/v1/me")).status == 200
    assert [seen.target for seen in gateway.identity.seen] == ["/v1/me"]


async def test_a_slow_answer_still_reaches_a_client_that_waits(gateway: Gateway) -> None:
    waiting = Waiting(gateway.identity)
    asking = asyncio.create_task(gateway.ask("POST", "/v1/users", b"{}"))
    await waiting.asked.wait()
    await asyncio.sleep(TICK_SECONDS * 3)  # so that the gateway has begun to look at the client
    waiting.go.set()
    answer = await asking
    assert (answer.status, answer.body) == (200, b"done")


async def test_a_body_that_does_not_arrive_is_not_waited_for(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.edge.BODY_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n{}")
    async with asyncio.timeout(10):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()
    assert not gateway.identity.seen


async def test_a_fault_of_ours_is_a_problem_and_no_traceback(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> str:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("services.gateway.edge.service_of", broken)
    answer = await gateway.ask("GET", "/v1/users")
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert b"secret detail" not in answer.body
    assert answer.get("muster-request-id")


async def test_a_client_that_does_not_finish_its_head_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.server.HEAD_SECONDS", 0.2)
    async with running(Service()) as port:
        for part in (b"", b"GET /v1/users HTTP/1.1\r\nHost:", b"\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(part)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()


async def test_a_connection_may_be_idle_between_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.kit.server.HEAD_SECONDS", 0.2)
    async with running(Service()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"GET /v1/users HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b'"thing"}')).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.5)  # longer than a head may take
        writer.close()
