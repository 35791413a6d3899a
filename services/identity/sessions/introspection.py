"""`POST /v1/introspect` (RFC 7662): whether a token of the caller's own organization lives, and whose it is.

Asked anew each time, like every credential; asking does not extend a session.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response

from services.identity.access import Principal, authenticate
from services.identity.routes import NoQuery, Route, Services, answer, principal_of, refusal, register
from services.kit.errors import Forbidden, Invalid, Unauthenticated
from services.kit.http import MAX_BODY_BYTES, Body, read_query
from services.kit.postgres import Connection

FORM = "application/x-www-form-urlencoded"
INACTIVE = {"active": False}


class TokenBody(Body):
    """The form: `token_type_hint` is accepted and tells nothing new, a token says what it is."""

    token: str
    token_type_hint: str | None = None


async def read_token(request: Request) -> str:
    """Raises Invalid: not a form, or without exactly one token."""
    raw = await request.body()
    if not request.headers.get("content-type", "").lower().startswith(FORM) or len(raw) > MAX_BODY_BYTES:
        raise Invalid(f"The token is sent as a form ({FORM}).")
    try:
        form = parse_qs(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=10)
    except ValueError:
        raise Invalid("The form cannot be read.") from None
    if unknown := form.keys() - TokenBody.model_fields.keys():
        detail = {
            "pointer": "/" + min(unknown),
            "code": "extra_forbidden",
            "detail": "There is no such field.",
        }
        raise Invalid(errors=[detail])
    tokens = form.get("token", [])
    if len(tokens) != 1 or not tokens[0]:
        raise Invalid(
            errors=[{"pointer": "/token", "code": "missing", "detail": "One token is asked about."}]
        )
    return tokens[0]


async def describe(connection: Connection, org: str, token: str) -> dict[str, Any]:
    """What RFC 7662 calls the introspection response, without the position."""
    try:
        found = await authenticate(connection, token)
    except Unauthenticated:
        return INACTIVE
    if found.org != org:
        return INACTIVE
    shown: dict[str, Any] = {
        "active": True,
        "sub": found.id,
        "org": found.org,
        "role": found.builtin or found.role,
        "permissions": sorted(found.permissions),
        **await _lifetime(connection, found),
    }
    return {name: value for name, value in shown.items() if value is not None}


async def _lifetime(connection: Connection, found: Principal) -> dict[str, Any]:
    """Seconds since 1970, as RFC 7662 asks."""
    session = found.session
    if session is None:
        ends = await connection.fetchval("SELECT expires_at FROM api_keys WHERE id = $1", found.key)
        return {"exp": int(ends.timestamp()) if ends else None}
    longest = session.created_at + timedelta(seconds=found.organization.session_absolute_seconds)
    return {
        "exp": int(min(session.expires_at, longest).timestamp()),
        "session_id": session.id,
        "auth_time": int(session.created_at.timestamp()),
        "amr": list(session.amr),
    }


def add_routes(app: FastAPI, services: Services) -> None:
    route = Route("POST", "/v1/introspect", ("tokens.introspect",), change=False, body=TokenBody, media=FORM)

    async def introspect(request: Request) -> Response:
        async with services.pool.acquire() as connection:
            caller = await principal_of(connection, request)
        try:
            route.admit(caller)
        except Forbidden as error:
            return await refusal(services, caller, route, request, error)
        read_query(request, NoQuery)
        token = await read_token(request)
        async with services.pool.acquire() as connection:
            document = await describe(connection, caller.org, token)
            head = await connection.fetchval("SELECT position FROM log_head")
        if document["active"]:
            document["position"] = services.opaque.position(caller.org, head)
        return answer(services, caller.org, document, head)

    register(app, route, introspect)
