"""HTTP at the edge of a process: problems (RFC 9457), strict reading of bodies and queries, service keys.

The order of checks of an endpoint is the endpoint's own; nothing here validates before it is called.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.kit.direct import Direct, Table
from services.kit.errors import Invalid, Kind, MusterError, Unauthenticated, Unavailable
from services.kit.postgres import DATABASE_AWAY
from services.kit.telemetry import logger

log = logger(__name__)

STATUS: dict[Kind, int] = {
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.INVALID: 400,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.STALE: 412,
    Kind.UNPROCESSABLE: 422,
    Kind.THROTTLED: 429,
    Kind.UNAVAILABLE: 503,
}
TITLES: dict[int, str] = {
    400: "Bad request", 401: "Not signed in", 403: "Not allowed", 404: "Not found", 405: "Method not allowed",
    409: "Conflict", 412: "Changed meanwhile", 413: "Too large", 415: "Unsupported media type",
    422: "Cannot be followed", 429: "Too many requests", 500: "Internal error", 502: "Bad gateway",
    503: "Not available",
}  # fmt: skip
SERVICE_KEY = "muster-service-key"
_SERVICE_KEY = SERVICE_KEY.encode()
MAX_BODY_BYTES = 1_048_576
NUL = "The character U+0000 cannot be part of a text."
POSITION_SECONDS = 1.0
HEALTH = ("/live", "/ready")


class Body(BaseModel):
    """A JSON request body: exact types, unknown fields refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Query(BaseModel):
    """The query parameters of a route; text is converted, a list means that repetition is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


class UnknownParameter(Invalid):
    """There is no such query parameter."""

    code = "unknown_parameter"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who is calling from where, as the gateway worked it out; services believe it by the gateway's key."""

    request_id: str
    ip: str | None
    user_agent: str | None
    traceparent: str | None
    client_request_id: str | None

    @classmethod
    def of(cls, request: Request) -> RequestContext:
        """Source: the headers `muster-…` that the gateway sets; those of a client never get here."""
        headers = request.headers
        return cls(
            request_id=headers.get("muster-request-id", ""),
            ip=headers.get("muster-client-address"),
            user_agent=(headers.get("user-agent") or "")[:512] or None,
            traceparent=headers.get("traceparent"),
            client_request_id=headers.get("muster-client-request-id"),
        )


def problem(status: int, code: str, detail: str, request_id: str, **members: Any) -> Response:
    """An RFC 9457 document; members that are None are left out."""
    document = {
        "type": f"/problems/{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request_id,
    }
    document |= {name: value for name, value in members.items() if value is not None}
    return Response(
        json.dumps(document, ensure_ascii=False, separators=(",", ":")),  # as answers are kept and replayed
        status,
        media_type="application/problem+json",
        headers={"Cache-Control": "no-store"},
    )


def problem_of(error: MusterError, request_id: str) -> Response:
    response = problem(STATUS[error.kind], error.code, error.detail, request_id, **error.members)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


MayAsk = Callable[[str, str], bool]
PositionOf = Callable[[Request], Awaitable[str]]
"""Tells the `Muster-Position` of an answer; a process that can puts it at `app.state.position_of`."""


async def with_position(request: Request, response: Response) -> Response:
    """Add `Muster-Position` to an answer that left no pipeline: the position is on every one that can have it."""
    position_of: PositionOf | None = getattr(request.app.state, "position_of", None)
    if position_of is not None and request.url.path not in HEALTH:
        with suppress(MusterError, *DATABASE_AWAY):
            async with asyncio.timeout(POSITION_SECONDS):
                response.headers["Muster-Position"] = await position_of(request)
    return response


def create_app(
    title: str,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    callers: Mapping[str, str],
    may_ask: MayAsk = lambda _caller, _path: True,
) -> FastAPI:
    """An application that answers 401 without a service key and every error as a problem.

    Args:
        title: shown in its OpenAPI document.
        lifespan: opens and closes what the process holds.
        callers: name of a calling service → its key or keys (comma separated, newest first). The name of the
            caller is at `request.state.caller`; `/live` and `/ready` ask no key. Empty: everyone may call.
        may_ask: whether that caller may ask for this path at all.

    Returns:
        It; what is put into `app.state.direct` is served without FastAPI (see `kit.direct`).
    """
    app = FastAPI(
        title=title, version="1", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None,
        redirect_slashes=False,
    )  # fmt: skip

    @app.exception_handler(MusterError)
    async def refused(request: Request, error: MusterError) -> Response:
        return await with_position(request, problem_of(error, RequestContext.of(request).request_id))

    async def away(request: Request, _: Exception) -> Response:
        return problem_of(Unavailable(retry_after=1), RequestContext.of(request).request_id)

    async def answer_of(request: Request, error: Exception) -> Response | None:
        if isinstance(error, MusterError):
            return await refused(request, error)
        return await away(request, error) if isinstance(error, DATABASE_AWAY) else None

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        answer = problem(
            error.status_code, code, TITLES.get(error.status_code, "Error") + ".",
            RequestContext.of(request).request_id,
        )  # fmt: skip
        answer.headers.update(error.headers or {})
        return await with_position(request, answer)

    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, away)
    app.state.direct = Table()
    app.add_middleware(Direct, table=app.state.direct, answer_of=answer_of)
    app.add_middleware(LastResort)
    if callers:
        app.add_middleware(ServiceKeyGate, callers=callers, may_ask=may_ask)
    return app


class LastResort:
    """Answers what no handler knows with a 500 that says nothing of it.

    A middleware and no handler: what a handler of `Exception` has answered is raised again behind it, the server
    then closes the connection, and the next call on it fails as well.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            request_id = RequestContext.of(Request(scope)).request_id
            log.error("unexpected error", request_id=request_id, exc_info=error)  # noqa: TRY400 (told by types)
            answer = problem(500, "internal", "Something went wrong on our side.", request_id)
            await answer(scope, receive, send)


class ServiceKeyGate:
    """Lets in whoever shows the key of a known service that may ask for this path, and health checks."""

    def __init__(self, app: ASGIApp, callers: Mapping[str, str], may_ask: MayAsk) -> None:
        self._app = app
        self._may_ask = may_ask
        self._keys = [
            (name, key.strip().encode())
            for name, keys in callers.items()
            for key in keys.split(",")
            if key.strip()
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in HEALTH:
            caller = self._caller(dict(scope["headers"]).get(_SERVICE_KEY, b""))
            if caller is None or not self._may_ask(caller, scope["path"]):
                whose = (
                    "port is for Muster's own services" if caller is None else "route is for another service"
                )
                await problem_of(Unauthenticated(f"This {whose}."), "")(scope, receive, send)
                return
            scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    def _caller(self, shown: bytes) -> str | None:
        found = None
        for name, key in self._keys:
            if hmac.compare_digest(shown, key):
                found = name
        return found


async def read_body(request: Request, model: type[B]) -> B:
    """The JSON body as `model`; an absent body counts as `{}`.

    Raises:
        Invalid: not JSON, a wrong or unknown field; the text never repeats what was sent.
    """
    raw = await request.body()
    if len(raw) > MAX_BODY_BYTES:
        raise Invalid("The body is too large.")
    try:
        body = model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        raise invalid(error) from None
    if b"\\u0000" in raw and _holds_nul(json.loads(raw)):
        raise Invalid(NUL)
    return body


def _holds_nul(value: Any) -> bool:
    """Whether a text in this JSON value holds the one character that no database takes."""
    match value:
        case str():
            return "\0" in value
        case dict():
            return any(map(_holds_nul, cast("dict[str, Any]", value).values()))
        case list():
            return any(map(_holds_nul, cast("list[Any]", value)))
        case _:
            return False


def invalid(error: ValidationError) -> Invalid:
    """A validation error told field by field, without the rejected values."""
    errors = [
        {
            "pointer": "".join(
                "/" + str(part).replace("~", "~0").replace("/", "~1") for part in found["loc"]
            ),
            "code": found["type"],
            "detail": found["msg"],
        }
        for found in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return Invalid("The request has fields that cannot be accepted.", errors=errors)


def read_query(request: Request, model: type[Q]) -> Q:
    """The query parameters as `model`.

    Raises:
        UnknownParameter: naming the nearest known one.
        Invalid: a value of the wrong form, or one that is given twice where only one counts.
    """
    values: dict[str, Any] = {}
    known = {field.alias or name: field for name, field in model.model_fields.items()}
    for name in request.query_params:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0)
            hint = f" The nearest is '{near[0]}'." if near else ""
            raise UnknownParameter(f"There is no query parameter of this name.{hint}")
        given = request.query_params.getlist(name)
        is_list = str(known[name].annotation).startswith(("list", "tuple"))
        if len(given) > 1 and not is_list:
            raise Invalid(f"'{name}' may be given once.")
        if any("\0" in value for value in given):
            raise Invalid(NUL)
        values[name] = given if is_list else given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from None


def parameters(model: type[Query]) -> dict[str, Any]:
    """The query parameters of a route, as OpenAPI wants them (`openapi_extra`)."""
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    return {
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    }
