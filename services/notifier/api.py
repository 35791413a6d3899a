"""The one route of the notifier: what became of a session kill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from services.kit.errors import NotFound, Unavailable
from services.kit.http import Query, read_query
from services.kit.ids import is_id
from services.kit.positions import Opaque
from services.kit.postgres import Pool
from services.notifier import kills
from services.notifier.identity import Answer, Identity, IdentityAway

ROUTE = "/v1/session-kills/{id}"
PERMISSION = "events.read"


class NoParameters(Query):
    """This route takes none."""


@dataclass(frozen=True, slots=True)
class SessionKills:
    """What the route needs; it is at `app.state.session_kills` while the process runs."""

    pool: Pool
    identity: Identity
    opaque: Opaque
    expected: Sequence[str]

    async def answer(self, kill: str, request: Request) -> Response:
        """Check in the order of every read: 401, 403, 400, 404."""
        try:
            caller = await self.identity.authorize(PERMISSION, "GET", ROUTE, request.headers)
            if isinstance(caller, Answer):
                return Response(caller.body, caller.status, dict(caller.headers))
            position = await self.identity.position()
        except IdentityAway:
            raise Unavailable(retry_after=1) from None
        request.state.position = sealed = self.opaque.position(caller.org, position)
        read_query(request, NoParameters)
        found = await kills.status(self.pool, caller.org, kill, self.expected) if is_id(kill, "kil") else None
        if found is None:
            raise NotFound
        return JSONResponse(found, headers={"Muster-Position": sealed})


async def position_of(request: Request) -> str:
    """Where the log was when this caller had been let in. Raises Unavailable where that is not known."""
    if (position := getattr(request.state, "position", None)) is None:
        raise Unavailable
    return position


def add_routes(app: FastAPI) -> None:
    app.state.position_of = position_of

    @app.get(ROUTE, summary="What became of a session kill")
    async def session_kill(id: str, request: Request) -> Response:  # noqa: A002 (its name in the path)
        found: SessionKills = request.app.state.session_kills
        return await found.answer(id, request)
