"""The shortest way to an endpoint that takes the request and gives the whole answer.

FastAPI describes such a route, and would put dependency injection, validation and five layers of middleware before
it that have nothing to do there: more than half of what a token check costs. What the table does not hold goes on
to FastAPI, which says 404 and 405.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
ErrorAnswer = Callable[[Request, Exception], Awaitable[Response | None]]


@dataclass(slots=True)
class _Node:
    """What may follow in a path: segments by name, or one of any name."""

    named: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    any: tuple[str, _Node] | None = None
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])


class Table:
    """Endpoints by method and path; `{name}` in a path stands for one segment, a named one goes before it."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Raises ValueError: another route calls the same place by another name."""
        node = self._root
        for segment in path.split("/"):
            if segment.startswith("{"):
                node.any = node.any or (segment[1:-1], _Node())
                name, node = node.any
                if name != segment[1:-1]:
                    raise ValueError(f"{path}: another route calls {segment} {name}")
            else:
                node = node.named.setdefault(segment, _Node())
        node.endpoints[method] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
        """The endpoint and what the path says for its names."""
        return _find(self._root, method, path.split("/"), 0)


def _find(node: _Node, method: str, segments: list[str], at: int) -> tuple[Endpoint, dict[str, str]] | None:
    if at == len(segments):
        return (endpoint, {}) if (endpoint := node.endpoints.get(method)) else None
    segment = segments[at]
    if (named := node.named.get(segment)) and (found := _find(named, method, segments, at + 1)):
        return found
    if node.any and segment and (found := _find(node.any[1], method, segments, at + 1)):
        found[1][node.any[0]] = segment
        return found
    return None


class Direct:
    """Answers what the table holds, passes the rest on.

    Args:
        app: gets the rest.
        table: may be filled later.
        answer_of: makes an error of an endpoint an answer; None: it is none of its own, and is raised.
    """

    def __init__(self, app: ASGIApp, table: Table, answer_of: ErrorAnswer) -> None:
        self._app, self._table, self._answer_of = app, table, answer_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._table.find(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        endpoint, scope["path_params"] = found
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Exception as error:
            answer = await self._answer_of(request, error)
            if answer is None:
                raise
            response = answer
        await response(scope, receive, send)
