"""The bare reference of identity over HTTP: the same server, the same checks of the request, and nothing done.

`python -m tests.bench.empty PORT`
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from services.identity.access import bearer
from services.identity.routes import CommandQuery, NoQuery
from services.identity.sessions.introspection import read_token
from services.identity.users.api import EditBody
from services.kit import telemetry
from services.kit.http import RequestContext, create_app, read_body, read_query
from services.kit.server import serve
from services.kit.settings import load

CHANGE = {
    "object": "change",
    "position": "cG9zaXRpb24gb2YgdGhlIGxvZyBvZiBpZGVudGl0eSBhcyBpdCBpcw",
    "events": [{"id": "evt_01m867nybdewptx6nbfjra07sm", "type": "user.renamed", "version": 17}],
    "user": {
        "id": "usr_01m867nybdewptx6nbfjra07sm", "email": "ada@acme.example", "name": "Ada Lovelace",
        "username": None, "phone": None, "timezone": None, "status": "active", "labels": ["blue"],
        "role": {"id": "rol_01m867nybdewptx6nbfjra07sm", "name": "Member"},
        "mfa": {"status": "not_enabled", "factors": []}, "created_at": "2026-11-24T08:00:00.000000Z",
        "last_sign_in_at": None, "password_changed_at": None, "version": 17,
    },
    "effects": {"sessions_ended": 0, "ip_rules_revoked": 0, "api_keys_revoked": 0, "links_voided": 0},
}  # fmt: skip
ACTIVE = {"active": True, "sub": "usr_01m867nybdewptx6nbfjra07sm", "role": "member", "permissions": []}


def create(key: str) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield

    app = create_app("Empty", lifespan, {"gateway": key})

    async def edit(request: Request) -> Response:
        bearer(request.headers.get("authorization"))
        RequestContext.of(request)
        read_query(request, CommandQuery)
        await read_body(request, EditBody)
        return Response(json.dumps(CHANGE), media_type="application/json", headers={"ETag": '"17"'})

    async def introspect(request: Request) -> Response:
        bearer(request.headers.get("authorization"))
        read_query(request, NoQuery)
        await read_token(request)
        return Response(json.dumps(ACTIVE), media_type="application/json")

    app.state.direct.add("PATCH", "/v1/users/{user}", edit)
    app.state.direct.add("POST", "/v1/introspect", introspect)

    @app.get("/live")
    async def live() -> Response:
        return Response("{}")

    return app


def main() -> None:
    telemetry.configure("empty", "warning")
    app = create(load().service_keys.gateway_identity.get_secret_value())
    serve(app, "127.0.0.1", int(sys.argv[1]))


if __name__ == "__main__":
    main()
