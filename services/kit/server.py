"""How every process of ours listens: uvicorn on uvloop, bounded heads, a graceful stop.

`serve` runs until SIGTERM or SIGINT and ends when running requests have been answered; a process that does
more than HTTP takes `make_server` and awaits `server.serve()` beside its other work.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.kit.ids import new_id

KEEP_ALIVE_SECONDS = 75
"""Longer than any client of ours keeps an idle connection, so that it is the client who closes it."""
GRACE_SECONDS = 10
HEAD_SECONDS = 30.0
MAX_HEAD_BYTES = 65_536
GARBAGE = 10_000
"""Objects after which the collector looks for cycles; the 700 of the default cost some percent of each request."""


class Protocol(HttpToolsProtocol):
    """uvicorn's, which bounds neither size nor time of a request's head, and refuses with plain text."""

    _is_in_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "The head of the request is too large.")
                return
        if self._is_in_head or self._is_unwatched():
            self._expect_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._head_arrived()
        super().on_headers_complete()
        if self.parser and self.parser.should_upgrade():
            self.cycle.keep_alive = False  # we never upgrade, and what follows would not be read

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 (ours says the same in every case)
        self._refuse(400, "This is not a well-formed HTTP request.")

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: any client could fill the log with it."""

    def _is_unwatched(self) -> bool:
        """Whether bytes that begin no request have ended the wait of an idle connection (empty lines do)."""
        return (not self.cycle or self.cycle.response_complete) and self.timeout_keep_alive_task is None

    def _expect_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._head_missing)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_missing(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        request_id = new_id("req")
        document = {
            "type": "/problems/invalid_request", "title": "Bad request", "status": status,
            "code": "invalid_request", "detail": detail, "request_id": request_id,
        }  # fmt: skip
        body = json.dumps(document).encode()
        head = (
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nmuster-request-id: {request_id}\r\n"
            "cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()


def make_server(app: ASGIApp, host: str, port: int) -> uvicorn.Server:
    """A server that is not started; it logs through `kit.telemetry` and leaves the access log to the app."""
    return uvicorn.Server(
        uvicorn.Config(
            app, host, port, http=Protocol, ws="none", lifespan="on", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )  # fmt: skip


def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT, then end the process with exit code 0.

    Raises:
        SystemExit: 3 when the application did not start or the port is taken.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)  # before the server listens, and once more when it has ended
    collect_rarely()
    make_server(app, host, port).run()


def collect_rarely() -> None:
    """Settle the garbage collector for a process that has imported what it needs."""
    gc.collect()
    gc.freeze()  # what is imported stays; a collection need not look at it again
    gc.set_threshold(GARBAGE, 20, 50)


def _stop(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)
