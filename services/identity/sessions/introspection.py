"""`POST /v1/introspect` (RFC 7662): whether a token of the caller's own organization lives, and whose it is.

Asked anew each time, like every credential; asking does not extend a session.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response

from services.identity.access import Principal
from services.identity.routes import NoQuery, Route, Services, answer, caller_of, refusal, register
from services.kit.errors import Forbidden, Invalid, Unauthenticated
from services.kit.http import MAX_BODY_BYTES, Body, read_query

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


async def describe(services: Services, org: str, token: str) -> tuple[dict[str, Any], int]:
    """What RFC 7662 calls the introspection response, and the position of the log that it is true at."""
    try:
        found = await services.principals.of(token)
    except Unauthenticated:
        return INACTIVE, await services.pool.fetchval("SELECT position FROM log_head")
    if found.org != org:
        return INACTIVE, found.position
    shown: dict[str, Any] = {
        "active": True,
        "sub": found.id,
        "org": found.org,
        "role": found.builtin or found.role,
        "permissions": sorted(found.permissions),
        **await _lifetime(services, found),
        "position": services.opaque.position(org, found.position),
    }
    return {name: value for name, value in shown.items() if value is not None}, found.position


async def _lifetime(services: Services, found: Principal) -> dict[str, Any]:
    """Seconds since 1970, as RFC 7662 asks."""
    session = found.session
    if session is None:
        ends = await services.pool.fetchval("SELECT expires_at FROM api_keys WHERE id = $1", found.key)
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
        caller = await caller_of(services, request)
        try:
            route.admit(caller)
        except Forbidden as error:
            return await refusal(services, caller, route, request, error)
        read_query(request, NoQuery)
        token = await read_token(request)
        return answer(services, caller.org, *await describe(services, caller.org, token))

    register(app, route, introspect)
