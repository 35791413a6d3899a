"""The HTTP side of a command and of a read: one pipeline, in the order of checks of api.md §2.

401 → 403 of the route → idempotency key → 400 → (404 … 409, decided with the write) → the answer. A capability's
`api.py` says what is asked and what follows; that it is asked in this order, answered in one shape, replayed,
and recorded when refused, is said here once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from fastapi import FastAPI, Request, Response
from muster_contracts.events import Actor
from pydantic import Field, ValidationError

from services.identity import access, idempotency
from services.identity.access import PermissionMissing, PersonRequired, Principal
from services.identity.attempts import RECORDED, Attempt, Attempts, named_target
from services.identity.idempotency import Answers, Once
from services.identity.run import Draft, Origin, Runner
from services.identity.who_can import who_can
from services.kit.errors import Invalid, MusterError
from services.kit.http import STATUS, Body, Query, RequestContext, problem_of, read_body, read_query
from services.kit.positions import Opaque
from services.kit.postgres import Connection, Pool, dumps

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
    """What the routes of this process work with."""

    pool: Pool
    runner: Runner
    attempts: Attempts
    answers: Answers
    opaque: Opaque


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


Decision = Callable[[Connection, Call[Any]], Awaitable[Draft]]


@dataclass(frozen=True, slots=True)
class Route:
    """What is true of a route before its decision is asked.

    Args:
        permissions: any one of them opens it; a decision checks the rest field by field. Empty: every session.
        act: how audit names an attempt at it.
        fresh: it needs a confirmed session (° in api.md), so no API key.
        person: it needs a signed-in person.
        change: its answer is the change object, it takes Idempotency-Key, If-Match, dry_run.
    """

    method: str
    path: str
    permissions: tuple[str, ...] = ()
    act: str = ""
    fresh: bool = False
    person: bool = False
    change: bool = True
    body: type[Body] = Reason
    status: int = 200
    tags: tuple[str, ...] = field(default=())

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
        reason=reason,
        reads=principal.reads,
    )


def add_command(app: FastAPI, services: Services, route: Route, decide: Decision) -> None:
    """Serve a command: `decide` is asked on every try, with a fresh principal."""

    async def endpoint(request: Request) -> Response:
        return await _Command(services, route, decide, request).serve()

    _register(app, route, endpoint)


Read = Callable[[Connection, Call[Any]], Awaitable[Any]]


def add_read(
    app: FastAPI, services: Services, route: Route, read: Callable[[Connection, Principal, dict[str, str], Any], Any],
    query: type[Query] = NoQuery,
) -> None:  # fmt: skip
    """Serve a read: `read(connection, principal, path, query)` answers the JSON document."""

    async def endpoint(request: Request) -> Response:
        context = RequestContext.of(request)
        async with services.pool.acquire() as connection:
            principal = await _principal(connection, request)
            try:
                route.admit(principal)
            except MusterError as error:
                return await refusal(services, connection, principal, context, route, request, error)
            asked = read_query(request, query)
            document = await read(connection, principal, dict(request.path_params), asked)
            position = await connection.fetchval("SELECT position FROM log_head")
        return answer(services, principal.org, document, position)

    _register(app, route, endpoint, query)


def _register(app: FastAPI, route: Route, endpoint: Any, query: type[Query] | None = None) -> None:
    """Put it into the table of routes; what it takes is described here, since the pipeline reads it itself."""
    extra: dict[str, Any] = {"x-permission": list(route.permissions), "x-confirmation": route.fresh}
    if route.method != "GET" and route.body.model_fields:
        schema = route.body.model_json_schema(ref_template="#/components/schemas/{model}")
        extra["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    model = query or (CommandQuery if route.change else NoQuery)
    properties = model.model_json_schema().get("properties", {})
    extra["parameters"] = [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    app.add_api_route(
        route.path, endpoint, methods=[route.method], openapi_extra=extra, status_code=route.status,
        tags=[*route.tags] or [route.path.split("/")[2]], response_model=None,
        name=f"{route.method} {route.path}",
    )  # fmt: skip
    app.state.routes = [*getattr(app.state, "routes", []), route]


async def _principal(connection: Connection, request: Request) -> Principal:
    principal = await access.authenticate(connection, access.bearer(request.headers.get("authorization")))
    await access.note_use(connection, principal)
    return principal


def answer(services: Services, org: str, document: Any, position: int | None, status: int = 200) -> Response:
    """A JSON answer with its `Muster-Position`, and an `ETag` where it shows a user."""
    headers = {"Cache-Control": "no-store"}
    if position is not None:
        headers["Muster-Position"] = services.opaque.position(org, position)
    if document is None:
        return Response(status_code=204 if status == 200 else status, headers=headers)
    user = document.get("user", document) if isinstance(document, dict) else None  # pyright: ignore
    if isinstance(user, dict) and isinstance(user.get("version"), int):  # pyright: ignore
        headers["ETag"] = f'"{user["version"]}"'
    return Response(dumps(document), status, headers=headers, media_type="application/json")


async def refusal(
    services: Services,
    connection: Connection,
    principal: Principal,
    context: RequestContext,
    route: Route,
    request: Request,
    error: MusterError,
    reason: str | None = None,
) -> Response:
    """The problem that the caller gets; what must be recorded is in the log when it is answered."""
    position = None
    if error.kind in RECORDED:
        if "users.read" in principal.permissions:
            error.members.update(await who_can(connection, principal, error))
        path = request.path_params
        target = named_target(next(iter(path.values()), None))
        attempt = Attempt(route.act or route.permissions[0], target)
        position = await services.attempts.record(origin_of(principal, context, reason), attempt, error)
    response = problem_of(error, context.request_id)
    head = position or await connection.fetchval("SELECT position FROM log_head")
    response.headers["Muster-Position"] = services.opaque.position(principal.org, head)
    return response


class _Command:
    """One request for a command, from the credential to the answer."""

    def __init__(self, services: Services, route: Route, decide: Decision, request: Request) -> None:
        self._services = services
        self._route = route
        self._decide = decide
        self._request = request
        self._context = RequestContext.of(request)
        self._known = False

    async def serve(self) -> Response:
        async with self._services.pool.acquire() as connection:
            principal = await _principal(connection, self._request)
            try:
                self._route.admit(principal)
                once = await self._once(principal)
                if once and (replay := await self._replay(connection, once)):
                    return replay
            except MusterError as error:
                return await self._refuse(connection, principal, error, None)
        try:
            call = await self._call(principal)
        except MusterError as error:
            return await self._settle(principal, once, error, None)
        try:
            return await self._run(call, once)
        except MusterError as error:
            return await self._settle(principal, once, error, getattr(call.body, "reason", None))

    async def _once(self, principal: Principal) -> Once | None:
        if not self._route.change or self._request.query_params.get("dry_run") == "true":
            return None
        request = self._request
        key = request.headers.get("idempotency-key")
        return idempotency.once(
            key, principal, request.method, self._route.path, request.url.path, await request.body()
        )

    async def _replay(self, connection: Connection, once: Once) -> Response | None:
        kept = await self._services.answers.find(connection, once)
        if kept is None:
            return None
        body = kept.body
        org = body.pop("_org")
        if "position" in body:
            body["position"] = self._services.opaque.position(org, kept.position)
        response = answer(self._services, org, body, kept.position, kept.status)
        response.headers["Idempotency-Replayed"] = "true"
        if kept.status >= 400:
            response.headers["Content-Type"] = "application/problem+json"
        return response

    async def _call(self, principal: Principal) -> Call[Any]:
        query = read_query(self._request, CommandQuery if self._route.change else NoQuery)
        body = await read_body(self._request, self._route.body)
        version = _if_match(self._request.headers.get("if-match")) if self._route.change else None
        return Call(
            self._services, principal, self._context, dict(self._request.path_params), body,
            getattr(query, "dry_run", False), version,
        )  # fmt: skip

    async def _run(self, call: Call[Any], once: Once | None) -> Response:
        first = call.principal

        async def decide(connection: Connection) -> tuple[Origin, Draft]:
            nonlocal call, first
            principal, first = first, None  # pyright: ignore[reportAssignmentType]
            if principal is None:  # pyright: ignore[reportUnnecessaryComparison]
                principal = await _principal(connection, self._request)
                self._route.admit(principal)
                if once and (await self._services.answers.find(connection, once)):
                    raise _AnsweredMeanwhile
                call = replace(call, principal=principal)
            draft = await self._decide(connection, call)
            if once:
                reserved = once.reserve(principal.credential, principal.now)
                draft = replace(draft, claims=(*draft.claims, reserved))
            return origin_of(principal, self._context, getattr(call.body, "reason", None)), draft

        try:
            done = await self._services.runner.run(
                decide, dry_run=call.dry_run, answer=self._keep(once, first) if once else None
            )
        except _AnsweredMeanwhile:
            async with self._services.pool.acquire() as connection:
                replay = await self._replay(connection, once) if once else None
            if replay is None:
                raise Invalid from None
            return replay
        document = self._document(done.draft, done.facts, dry_run=call.dry_run)
        if document is not None and "position" in document and done.position is not None:
            document["position"] = self._services.opaque.position(call.principal.org, done.position)
        if document is not None:
            document |= done.draft.secret
        return answer(self._services, call.principal.org, document, done.position, done.draft.status)

    def _document(self, draft: Draft, facts: Sequence[Any], *, dry_run: bool) -> dict[str, Any] | None:
        if not self._route.change:
            return draft.body
        events = [
            {
                "id": None if dry_run else fact.id,
                "type": fact.event.type,
                "version": None if dry_run else fact.version,
            }
            for fact in facts
        ]
        return {"object": "change", "position": None, "events": events} | (draft.body or {})

    def _keep(self, once: Once, principal: Principal) -> Any:
        def keep(draft: Draft, facts: tuple[Any, ...]) -> Any:
            document = self._document(draft, facts, dry_run=False) or {}
            return self._services.answers.make(
                once, draft.status, document | {"_org": principal.org}, principal.now
            )

        return keep

    async def _settle(
        self, principal: Principal, once: Once | None, error: MusterError, reason: str | None
    ) -> Response:
        """Answer a refusal; one that an idempotency key asked for is kept for the repeat."""
        async with self._services.pool.acquire() as connection:
            response = await self._refuse(connection, principal, error, reason)
        if once and STATUS[error.kind] in (400, 403, 404, 409, 422) and error.code != "confirmation_required":
            await self._keep_refusal(principal, once, error, bytes(response.body))
        return response

    async def _keep_refusal(self, principal: Principal, once: Once, error: MusterError, body: bytes) -> None:
        document = {"_org": principal.org, **_parsed(body)}
        kept = self._services.answers.make(once, STATUS[error.kind], document, principal.now)

        async def decide(connection: Connection) -> tuple[Origin, Draft]:
            if await self._services.answers.find(connection, once):
                raise _AnsweredMeanwhile
            claim = once.reserve(principal.credential, principal.now)
            return origin_of(principal, self._context), Draft(claims=(claim,))

        try:
            await self._services.runner.run(decide, answer=lambda *_: kept)
        except (_AnsweredMeanwhile, MusterError):
            return  # another repeat was faster, or the right is gone: its answer stands

    async def _refuse(
        self, connection: Connection, principal: Principal, error: MusterError, reason: str | None
    ) -> Response:
        return await refusal(
            self._services, connection, principal, self._context, self._route, self._request, error, reason
        )


class _AnsweredMeanwhile(Exception):
    """A parallel request with the same idempotency key was first."""


def _parsed(body: bytes) -> dict[str, Any]:
    import json

    return json.loads(body)


def _if_match(header: str | None) -> int | None:
    """The version in an `If-Match` header. Raises Invalid."""
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not text.isdigit():
        raise Invalid('If-Match holds a version as "17".')
    return int(text)


__all__ = ["Call", "Route", "Services", "ValidationError", "add_command", "add_read", "answer", "origin_of"]
