"""The HTTP side of a command and of a read: one pipeline, in the order of checks of api.md §2.

401 → 403 of the route → idempotency key → 400 → (404 … 409, decided with the write) → the answer. A
capability's `api.py` says what is asked and what follows; that it is asked in this order, answered in one
shape, replayed, and recorded when refused, is said here once.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from fastapi import FastAPI, Request, Response
from muster_contracts.events import Actor
from pydantic import Field

from services.identity import access
from services.identity.access import PermissionMissing, PersonRequired, Principal, Principals
from services.identity.attempts import RECORDED, Attempt, Attempts, named_target
from services.identity.bootstrap import UNKNOWN_ORG
from services.identity.credentials.passwords import Hasher
from services.identity.idempotency import Answers
from services.identity.run import Draft, Origin, Runner
from services.identity.throttles import Throttles
from services.identity.users.situation import Situation
from services.identity.who_can import who_can
from services.kit.errors import MusterError
from services.kit.http import Body, Query, RequestContext, problem_of, read_query
from services.kit.positions import Opaque
from services.kit.postgres import Connection, Database, Pool, dumps
from services.kit.together import Together

B = TypeVar("B", bound=Body)
MAX_REASON = 500


class Reason(Body):
    """The body of a command that needs none: just why it is done."""

    reason: str | None = Field(default=None, max_length=MAX_REASON)


class NoQuery(Query):
    pass


class CommandQuery(Query):
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes of this process work with; `lookup` keys the hashes of recovery codes and unknown logins,
    `situations` reads those of (organization, user).
    """

    pool: Pool
    runner: Runner
    attempts: Attempts
    answers: Answers
    opaque: Opaque
    hasher: Hasher
    throttles: Throttles
    lookup: bytes
    principals: Principals
    situations: Together[tuple[str, str], Situation]


@dataclass(frozen=True, slots=True)
class Call(Generic[B]):
    """One request of a signed-in caller, as a decision sees it; made anew for each try."""

    services: Services
    principal: Principal
    context: RequestContext
    path: dict[str, str]
    body: B
    dry_run: bool = False
    expected_version: int | None = None

    @property
    def confirmed(self) -> bool:
        """Whether the caller may do what needs a fresh proof; a dry run does not ask."""
        return self.dry_run or self.principal.confirmed


Decision = Callable[[Database, Call[Any]], Awaitable[Draft]]


@dataclass(frozen=True, slots=True)
class Route:
    """What is true of a route before its decision is asked.

    Args:
        permissions: any one of them opens it; a decision checks the rest field by field. Empty: every
        session.
        act: how audit names an attempt at it.
        fresh: it needs a confirmed session (° in api.md), so no API key.
        person: it needs a signed-in person.
        change: its answer is the change object, it takes Idempotency-Key, If-Match, dry_run.
        enrolling: open also to someone who still has to set up the second factor that is asked of everyone.
        act_of: names the act by the body, where one route serves several; the body is not checked yet then.
    """

    method: str
    path: str
    permissions: tuple[str, ...] = ()
    act: str = ""
    fresh: bool = False
    person: bool = False
    change: bool = True
    enrolling: bool = False
    body: type[Body] = Reason
    media: str = "application/json"
    status: int = 200
    tags: tuple[str, ...] = field(default=())
    act_of: Callable[[dict[str, Any]], str] | None = None

    def admit(self, principal: Principal) -> None:
        """Raises PermissionMissing, PersonRequired."""
        if self.permissions and not principal.permissions.intersection(self.permissions):
            needed = self.permissions[0]
            raise PermissionMissing(
                f"This needs the permission {needed}.",
                members={"rule": "permission", "missing_permission": needed},
            )
        if (self.fresh or self.person) and principal.session is None:
            raise PersonRequired(members={"rule": "person"})


def origin_of(principal: Principal, context: RequestContext, reason: str | None = None) -> Origin:
    """What is stamped onto the events of this caller."""
    return Origin(
        org=principal.org,
        actor=Actor(type=principal.type, id=principal.id, name=principal.name),
        now=principal.now,
        request_id=context.request_id,
        ip=context.ip,
        user_agent=context.user_agent,
        traceparent=context.traceparent,
        session_id=principal.session.id if principal.session else None,
        key=principal.key,
        reason=reason,
        reads=principal.reads,
    )


Read = Callable[[Connection, Principal, dict[str, str], Any], Awaitable[Any]]


def add_read(
    app: FastAPI, services: Services, route: Route, read: Read, query: type[Query] = NoQuery
) -> None:
    """Serve a read: `read(connection, principal, path, query)` answers the JSON document."""

    async def endpoint(request: Request) -> Response:
        principal = await caller_of(services, request)
        try:
            route.admit(principal)
        except MusterError as error:
            refused = error
        else:
            asked = read_query(request, query)
            async with services.pool.acquire() as connection:
                document = await read(connection, principal, dict(request.path_params), asked)
            # The position of the look-up: what is shown is never older than it says.
            return answer(services, principal.org, document, principal.position)
        return await refusal(services, principal, route, request, refused)

    register(app, route, endpoint, query)


def register(app: FastAPI, route: Route, endpoint: Any, query: type[Query] | None = None) -> None:
    """Put it into the table of routes; what it takes is described here, since the pipeline reads it itself."""
    extra: dict[str, Any] = {"x-permission": list(route.permissions), "x-confirmation": route.fresh}
    if route.method != "GET" and route.body.model_fields:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        extra["requestBody"] = {"content": {route.media: {"schema": schema}}}
    model = query or (CommandQuery if route.change else NoQuery)
    properties = model.model_json_schema().get("properties", {})
    extra["parameters"] = [
        {"name": name, "in": "query", "schema": schema} for name, schema in properties.items()
    ]
    app.add_api_route(
        route.path, endpoint, methods=[route.method], openapi_extra=extra, status_code=route.status,
        tags=[*route.tags] or [route.path.split("/")[2]], response_model=None,
        name=f"{route.method} {route.path}",
    )  # fmt: skip
    app.state.direct.add(route.method, route.path, endpoint)
    app.state.routes = [*getattr(app.state, "routes", []), route]


async def caller_of(services: Services, request: Request, *, enrolling: bool = False) -> Principal:
    """Who calls; raises as `access.authenticate` does."""
    token = access.bearer(request.headers.get("authorization"))
    return await services.principals.admit(token, enrolling=enrolling)


async def principal_of(connection: Database, request: Request, *, enrolling: bool = False) -> Principal:
    token = access.bearer(request.headers.get("authorization"))
    principal = await access.authenticate(connection, token, enrolling=enrolling)
    request.state.org = principal.org
    await access.note_use(connection, principal)
    return principal


async def position_of(services: Services, request: Request) -> str:
    """The end of the log, for an answer that left no pipeline: sealed for the caller's organization, if known."""
    return services.opaque.position(getattr(request.state, "org", UNKNOWN_ORG), await head(services))


async def head(services: Services) -> int:
    """The position of the newest event."""
    return await services.pool.fetchval("SELECT position FROM log_head")


def answer(services: Services, org: str, document: Any, position: int | None, status: int = 200) -> Response:
    """A JSON answer with its `Muster-Position`, and an `ETag` where it shows a user."""
    headers = {"Cache-Control": "no-store"}
    if position is not None:
        headers["Muster-Position"] = services.opaque.position(org, position)
    if document is None:
        return Response(status_code=204, headers=headers)
    if (version := _version_shown(document)) is not None:
        headers["ETag"] = f'"{version}"'
    return Response(dumps(document), status, headers=headers, media_type="application/json")


def _version_shown(document: dict[str, Any]) -> int | None:
    """The version of the user that a document is, or holds as `user`."""
    user = document.get("user") or document
    return user.get("version") if isinstance(user, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


async def refusal(
    services: Services,
    principal: Principal,
    route: Route,
    request: Request,
    error: MusterError,
    reason: str | None = None,
) -> Response:
    """The problem that the caller gets; what must be recorded is in the log when it is answered.

    Call it without holding a connection: it takes its own.
    """
    context = RequestContext.of(request)
    async with services.pool.acquire() as connection:
        if error.kind in RECORDED and "users.read" in principal.permissions:
            error.members.update(await who_can(connection, principal, error))
        position: int = await connection.fetchval("SELECT position FROM log_head")
    if error.kind in RECORDED:
        target = named_target(next(iter(request.path_params.values()), None))
        attempt = Attempt(await _act(route, request), target)
        origin = origin_of(principal, context, reason)
        position = await services.attempts.record(origin, attempt, error) or position
    response = problem_of(error, context.request_id)
    response.headers["Muster-Position"] = services.opaque.position(principal.org, position)
    return response


async def _act(route: Route, request: Request) -> str:
    """How audit names what was tried."""
    if route.act_of is not None:
        with suppress(ValueError, RecursionError):
            body: Any = json.loads(await request.body())
            if isinstance(body, dict):
                return route.act_of(cast("dict[str, Any]", body))
    return route.act or route.permissions[0]
