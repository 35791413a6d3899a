"""Routes for our own services: who may call what is in `docs/decisions/0001-calls-between-services.md`.

The gateway never forwards them. What they answer is asked from the tables at that moment, and nothing of it is
written down by the caller.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from muster_contracts.envelope import Envelope, to_record
from pydantic import Field

from services.identity import log
from services.identity import permissions as rights
from services.identity.links import open_token
from services.identity.routes import Route, Services, principal_of, refusal
from services.kit.errors import Invalid, MusterError, NotFound, Unauthenticated
from services.kit.http import Body, Query, read_body, read_query
from services.kit.ids import is_id
from services.kit.postgres import Record, dumps
from services.kit.sql import named
from services.kit.times import rfc3339

SQL = named(__file__)
AUDIT, NOTIFIER = "audit", "notifier"
LAST_POSITION = 2**63 - 1
LAST_SEQUENCE = 2**31 - 1


class AuthorizeBody(Body):
    """What a client asked of another service: `route` is its template."""

    permission: str
    method: str = Field(pattern="^[A-Z]{3,10}$")
    route: str = Field(pattern=r"^/v1/[\x21-\x7e]*$", max_length=200)


class ProgressBody(Body):
    service: Literal["audit", "notifier"]
    position: int = Field(ge=0, le=LAST_POSITION)


class EventsQuery(Query):
    """The log after a position, or one stream from a `ce_sequence` on."""

    after: int | None = Field(default=None, ge=0, le=LAST_POSITION)
    subject: str | None = Field(default=None, pattern=r"^[a-z]{3}_[0-9a-z]{1,40}$")
    from_: int = Field(default=1, alias="from", ge=1, le=LAST_SEQUENCE)
    limit: int = Field(default=500, ge=1, le=1000)


class KillQuery(Query):
    user: str


Handler = Callable[[Services, Request], Awaitable[Any]]


async def authorize(services: Services, request: Request) -> Any:
    """Whether the client behind this call may; a refusal is recorded with the permission as the act."""
    asked = await read_body(request, AuthorizeBody)
    if asked.permission not in rights.ALL:
        raise Invalid("There is no such permission.")
    route = Route(asked.method, asked.route, (asked.permission,), asked.permission)
    async with services.pool.acquire() as connection:
        principal = await principal_of(connection, request)
    try:
        route.admit(principal)
    except MusterError as error:
        return await refusal(services, principal, route, request, error)
    return {
        "actor": {"type": principal.type, "id": principal.id, "name": principal.name},
        "org": principal.org,
        "permissions": sorted(principal.permissions),
        "session_id": principal.session.id if principal.session else None,
    }


async def head(services: Services, _: Request) -> Any:
    async with services.pool.acquire() as connection:
        end = await log.head(connection)
    return {"position": end.position, "epoch": end.epoch}


async def events(services: Services, request: Request) -> Any:
    """Events as Kafka carries them, in log order."""
    asked = read_query(request, EventsQuery)
    keys = services.runner.keys
    async with services.pool.acquire() as connection:
        match asked:
            case EventsQuery(after=int(after), subject=None):
                found = await log.read(connection, keys, after, asked.limit)
            case EventsQuery(after=None, subject=str(subject)):
                found = await log.read_stream(connection, keys, subject, asked.from_, asked.limit)
            case _:
                raise Invalid("Give either 'after' or 'subject'.")
    return {"events": [_as_published(envelope) for envelope in found]}


def _as_published(envelope: Envelope) -> dict[str, Any]:
    record = to_record(envelope)
    return {
        "topic": record.topic,
        "key": record.key.decode(),
        "value": record.value.decode() if record.value is not None else None,
        "headers": {name: value.decode() for name, value in record.headers},
    }


async def report_progress(services: Services, request: Request) -> Any:
    """How far a consumer has come. Kept as said: after a restored backup it may be less than before."""
    said = await read_body(request, ProgressBody)
    if said.service != request.state.caller:
        raise Unauthenticated("A service reports its own progress only.")
    async with services.pool.acquire() as connection:
        await connection.execute(SQL["report"], said.service, said.position)
    return None


async def link(services: Services, request: Request) -> Any:
    """An open link with its token, for the mail."""
    id_ = request.path_params["link"]
    async with services.pool.acquire() as connection:
        row = await connection.fetchrow(SQL["link"], id_) if is_id(id_, "lnk") else None
        if row is None:
            raise NotFound
        sealer = (await services.runner.keys.fetch(connection, [row["user"]]))[row["user"]]
    if sealer is None:
        raise NotFound
    found: dict[str, Any] = {
        "token": open_token(sealer, row["id"], row["token"]),
        "kind": row["kind"],
        "by_admin": row["by_admin"],
        "expires_at": rfc3339(row["expires_at"]),
        "user": _user(row),
        "organization": _organization(row),
    }
    return found


async def user(services: Services, request: Request) -> Any:
    id_ = request.path_params["user"]
    async with services.pool.acquire() as connection:
        row = await connection.fetchrow(SQL["user"], id_) if is_id(id_, "usr") else None
    if row is None:
        raise NotFound
    return {**_user(row), "timezone": row["timezone"], "organization": _organization(row)}


def _user(row: Record) -> dict[str, Any]:
    return {"id": row["user"], "email": row["email"], "name": row["name"], "status": row["status"]}


def _organization(row: Record) -> dict[str, Any]:
    return {
        "id": row["org"],
        "slug": row["slug"],
        "name": row["org_name"],
        "support_contact": row["support_contact"],
    }


async def kill(services: Services, request: Request) -> Any:
    """Which sessions a kill ended, and which of them live all the same: there must be none."""
    id_, person = request.path_params["kill"], read_query(request, KillQuery).user
    if not (is_id(id_, "kil") and is_id(person, "usr")):
        raise NotFound
    async with services.pool.acquire() as connection:
        ended = [row["id"] for row in await connection.fetch(SQL["ended_by"], id_, person)]
        if not ended and not await connection.fetchval(SQL["kill_known"], id_, person):
            raise NotFound
        living = [row["id"] for row in await connection.fetch(SQL["living"], ended, person)]
    return {"kill": id_, "user": person, "sessions": ended, "live": living}


ROUTES: tuple[tuple[str, str, tuple[str, ...], Handler], ...] = (
    ("POST", "/internal/authorize", (AUDIT, NOTIFIER), authorize),
    ("GET", "/internal/head", (AUDIT, NOTIFIER), head),
    ("GET", "/internal/events", (AUDIT, NOTIFIER), events),
    ("PUT", "/internal/progress", (AUDIT, NOTIFIER), report_progress),
    ("GET", "/internal/links/{link}", (NOTIFIER,), link),
    ("GET", "/internal/users/{user}", (NOTIFIER,), user),
    ("GET", "/internal/kills/{kill}", (NOTIFIER,), kill),
)


def add_routes(app: FastAPI, services: Services) -> None:
    """Routes under `/internal`; the application must ask for service keys."""
    for method, path, callers, handler in ROUTES:
        app.state.direct.add(method, path, _endpoint(services, callers, handler))


def _endpoint(
    services: Services, callers: tuple[str, ...], handler: Handler
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if getattr(request.state, "caller", None) not in callers:
            raise Unauthenticated("This route is for another service.")
        answer = await handler(services, request)
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return Response(status_code=204)
        headers = {"Cache-Control": "no-store"}
        return Response(dumps(answer), headers=headers, media_type="application/json")

    return endpoint
