"""The small pipelines beside `command.py`: for who is not signed in, and for a person's own proofs.

Both read and check in the order of api.md §2 and answer in the same forms. Unlike a command's decision, what
they call runs once: comparing a password takes long, and is not repeated when something moved meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from fastapi import FastAPI, Request, Response
from muster_contracts.events import Actor

from services.identity.access import Principal
from services.identity.attempts import Attempt, anonymous
from services.identity.routes import NoQuery, Route, Services, principal_of, refusal, register
from services.identity.run import Origin
from services.kit.errors import MusterError
from services.kit.http import Body, RequestContext, problem_of, read_body, read_query

B = TypeVar("B", bound=Body)
EVEN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Visit(Generic[B]):
    """A request of someone who is not (or not wholly) signed in."""

    services: Services
    request: Request
    context: RequestContext
    body: B

    def origin(
        self,
        org: str,
        now: datetime,
        actor: Actor | None = None,
        session: str | None = None,
        reads: Mapping[str, int] | None = None,
    ) -> Origin:
        """What is stamped onto events; nobody in particular until they have proven who they are.

        `reads` are the heads that a half session rests on.
        """
        context = self.context
        return Origin(
            org=org, actor=actor or anonymous(), now=now, request_id=context.request_id, ip=context.ip,
            user_agent=context.user_agent, traceparent=context.traceparent, session_id=session, reads=reads or {},
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Own(Visit[B]):
    """A request of a signed-in person about their own account; `principal` as they were when it came."""

    principal: Principal


def add_public(
    app: FastAPI, services: Services, route: Route, serve: Callable[[Visit[Any]], Awaitable[Response]]
) -> None:
    """Serve a route that asks no credential (or looks at it by itself)."""

    async def endpoint(request: Request) -> Response:
        read_query(request, NoQuery)
        body = await read_body(request, route.body)
        return await serve(Visit(services, request, RequestContext.of(request), body))

    register(app, route, endpoint)


def add_own(
    app: FastAPI, services: Services, route: Route, serve: Callable[[Own[Any]], Awaitable[Response]]
) -> None:
    """Serve a route of a signed-in person; `serve` is called once."""

    async def endpoint(request: Request) -> Response:
        context = RequestContext.of(request)
        async with services.pool.acquire() as connection:
            principal = await principal_of(connection, request, enrolling=route.enrolling)
        try:
            route.admit(principal)
            read_query(request, NoQuery)
            body = await read_body(request, route.body)
            return await serve(Own(services, request, context, body, principal))
        except MusterError as error:
            return await refusal(services, principal, route, request, error)

    register(app, route, endpoint)


async def refuse(visit: Visit[Any], origin: Origin, attempt: Attempt, error: MusterError) -> Response:
    """Record a refused attempt, and answer it; the position covers its record."""
    services = visit.services
    position = await services.attempts.record(origin, attempt, error)
    if position is None:
        position = await services.pool.fetchval("SELECT position FROM log_head")
    response = problem_of(error, visit.context.request_id)
    response.headers["Muster-Position"] = services.opaque.position(origin.org, position, fresh=True)
    return response


async def evenly(started: float) -> None:
    """Wait until a whole multiple of 100 ms after `started` (loop time), so that an answer's time says nothing."""
    spent = asyncio.get_running_loop().time() - started
    await asyncio.sleep(EVEN_SECONDS - spent % EVEN_SECONDS)
