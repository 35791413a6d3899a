"""A gateway keeps the request id that a test asks it with: without an answer nobody else would know it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from services.gateway import edge
from services.gateway.edge import Edge

ASKED = ContextVar[str | None]("asked", default=None)


def apply(process: str) -> None:
    if process.startswith("gateway"):
        _keep_request_ids()


def _keep_request_ids() -> None:
    call, new_id = Edge.__call__, edge.new_id

    async def calling(self: Edge, scope: Any, receive: Any, send: Any) -> None:
        found = dict(scope.get("headers", ())).get(b"muster-request-id")
        ASKED.set(found.decode() if found else None)
        await call(self, scope, receive, send)

    Edge.__call__ = calling
    edge.new_id = lambda kind: ASKED.get() or new_id(kind)
