"""The way of one request: read its head, count it, pass it on, give the answer back.

The hot path is plain ASGI. What is not under `/v1/` goes to the gateway's own pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.access_log import AccessLog
from services.gateway.buckets import Allowance, Buckets
from services.gateway.heads import Head, Reader
from services.gateway.routes import UNLIMITED, check, service_of
from services.gateway.upstream import UNREACHABLE, Answer, Away, Services
from services.gateway.watches import Watches
from services.kit.errors import MusterError, Throttled, Unavailable
from services.kit.http import MAX_BODY_BYTES, problem, problem_of
from services.kit.ids import new_id
from services.kit.telemetry import logger

log = logger(__name__)

BODY_SECONDS = 30
CLIENT_CLOSED = 499
"""In the log only: there was nobody to answer."""
MAX_PATIENCE_BYTES = 16_777_216
"""Of a body that is too large, so much is read: who is cut off while still sending never sees our answer."""
SMALL_ANSWER_BYTES = 65_536
_UNCOUNTED = frozenset({"/live", "/ready", UNLIMITED})
# Not passed on of an answer: what concerns the connection only, what we set ourselves, and cookies.
_DROPPED = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
     b"transfer-encoding", b"upgrade", b"date", b"server", b"set-cookie", b"muster-request-id",
     b"x-content-type-options"}
)  # fmt: skip


class _Refused(Exception):
    """A refusal that has no kind of its own in `kit.errors`, because only HTTP knows it."""

    def __init__(self, status: int, code: str, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers = status, code, detail, headers


class _Gone(Exception):
    """The client has left."""


class Reply:
    """Sends one answer with the headers that all of ours carry, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._ours = [(b"muster-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
        self.status = 0

    def show_limit(self, per_second: int, allowance: Allowance) -> None:
        """Tell the client its limit, by draft-ietf-httpapi-ratelimit-headers."""
        self._ours += [
            (b"ratelimit-policy", b'"credential";q=%d;w=1' % per_second),
            (b"ratelimit", b'"credential";r=%d;t=1' % allowance.remaining),
        ]

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._headers(message.get("headers", ()))
        await self._send(message)

    def _headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        lowered = [(name.lower(), value) for name, value in given]
        headers = [pair for pair in lowered if pair[0] not in _DROPPED]
        if not any(name == b"cache-control" for name, _ in headers):
            headers.append((b"cache-control", b"no-store"))
        return headers + self._ours


class Edge:
    """The gateway as an ASGI application.

    Args:
        services: where requests go.
        pages: answers what is not under `/v1/`, and owns the lifespan.
        reader: reads heads.
        per_second: calls that one credential may make in a second.
        access_log: gets a line of each request.
    """

    def __init__(
        self, services: Services, pages: ASGIApp, reader: Reader, per_second: int, access_log: AccessLog
    ) -> None:
        self._services = services
        self._pages = pages
        self._reader = reader
        self._per_second = per_second
        self._buckets = Buckets(per_second)
        self._access_log = access_log
        self._watches = Watches()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._pages(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        reply = Reply(send, request_id)
        head: Head | None = None
        try:
            head = self._reader.read(scope, request_id)
            await self._answer(head, scope, receive, reply)
        except _Gone:
            reply.status = reply.status or CLIENT_CLOSED
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (the last line: never a traceback)
            if reply.status:
                log.warning("an answer was broken off", request_id=request_id, error=type(error).__name__)
            else:
                await _as_problem(error, request_id)(scope, receive, reply)
        self._access_log.write(request_id, scope["method"], head, reply.status, began)

    async def _answer(self, head: Head, scope: Scope, receive: Receive, reply: Reply) -> None:
        if head.path not in _UNCOUNTED:
            allowance = self._buckets.take(head.bucket, time.monotonic())
            reply.show_limit(self._per_second, allowance)
            if not allowance.granted:
                raise Throttled(retry_after=1)
        if not head.path.startswith("/v1/"):
            await self._pages(scope, receive, reply)
            return
        check(head.path, head.query)
        if head.method == "TRACE":
            raise _Refused(
                405, "method_not_allowed", "TRACE is not served.", Allow="GET, POST, PATCH, DELETE"
            )
        await self._forward(head, await _read_body(receive, head.content_length), receive, reply)

    async def _forward(self, head: Head, body: bytes, receive: Receive, reply: Reply) -> None:
        """Ask the service; a client that leaves meanwhile takes the call to the service with it."""
        target = f"{head.path}?{head.query}" if head.query else head.path
        watch = self._watches.begin(receive)
        try:
            async with await self._services.ask(
                service_of(head.path), head.method, target, head.headers, body
            ) as answer:
                await _pass_on(answer, reply)
        except UNREACHABLE:  # in the middle of its answer
            raise Away(retry_after=1) from None
        except asyncio.CancelledError:
            if watch.has_fired:
                raise _Gone from None
            raise
        finally:
            watch.end()


async def _read_body(receive: Receive, announced: int | None) -> bytes:
    """The whole body, so that it is counted before anyone else sees it.

    Raises:
        _Refused: it is too large, or late.
        _Gone: the client left meanwhile.
    """
    if announced == 0:
        return b""
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in _chunks(receive):
                size += len(chunk)
                if size <= MAX_BODY_BYTES:
                    body += chunk
                elif max(size, announced or 0) > MAX_PATIENCE_BYTES:
                    break
    except TimeoutError:
        raise _Refused(408, "invalid_request", "The body did not arrive in time.") from None
    if size > MAX_BODY_BYTES:
        raise _Refused(413, "too_large", "The body may hold 1 MiB at most.")
    return bytes(body)


async def _chunks(receive: Receive) -> AsyncIterator[bytes]:
    while (message := await receive())["type"] == "http.request":
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return
    raise _Gone


async def _pass_on(answer: Answer, reply: Reply) -> None:
    """Give a service's answer to the client: a small one whole, any other as it comes."""
    start: Message = {"type": "http.response.start", "status": answer.status, "headers": answer.raw_headers}
    length = answer.content_length
    if length is not None and length <= SMALL_ANSWER_BYTES:
        body = await answer.read()
        await reply(start)
        await reply({"type": "http.response.body", "body": body})
        return
    await reply(start)
    async for chunk in answer.content.iter_any():
        await reply({"type": "http.response.body", "body": chunk, "more_body": True})
    await reply({"type": "http.response.body"})


def _as_problem(error: BaseException, request_id: str) -> Response:
    match error:
        case MusterError():
            return problem_of(error, request_id)
        case _Refused():
            answer = problem(error.status, error.code, error.detail, request_id)
            answer.headers.update(error.headers)
            return answer
        case asyncio.CancelledError():  # this process is stopping
            return problem_of(Unavailable(retry_after=1), request_id)
        case _:
            log.error("unexpected error", request_id=request_id, exc_info=error)
            return problem(500, "internal", "Something went wrong on our side.", request_id)
