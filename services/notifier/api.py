"""The routes of the notifier: what became of a session kill, and mails that did not arrive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from services.kit.errors import NotFound, Unavailable
from services.kit.http import Query, parameters, read_query
from services.kit.ids import is_id
from services.kit.positions import Opaque
from services.kit.postgres import Pool
from services.notifier import kills, undelivered
from services.notifier.identity import Answer, Identity, IdentityAway

SESSION_KILL, UNDELIVERED = "/v1/session-kills/{id}", "/v1/undelivered-messages"
Find = Callable[[str], Awaitable[dict[str, Any]]]
"""The answer for an organization; raises what makes it a problem."""


class NoParameters(Query):
    """This route takes none."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the routes need; it is at `app.state.reading` while the process runs."""

    pool: Pool
    identity: Identity
    opaque: Opaque
    expected: Sequence[str]

    async def answer(self, request: Request, permission: str, route: str, find: Find) -> Response:
        """Check in the order of every read: 401, 403, and then what `find` checks."""
        try:
            caller = await self.identity.authorize(permission, "GET", route, request.headers)
            if isinstance(caller, Answer):
                return Response(caller.body, caller.status, dict(caller.headers))
            position = await self.identity.position()
        except IdentityAway:
            raise Unavailable(retry_after=1) from None
        request.state.position = sealed = self.opaque.position(caller.org, position)
        return JSONResponse(await find(caller.org), headers={"Muster-Position": sealed})

    async def session_kill(self, request: Request, kill: str) -> Response:
        async def find(org: str) -> dict[str, Any]:
            read_query(request, NoParameters)
            found = await kills.status(self.pool, org, kill, self.expected) if is_id(kill, "kil") else None
            if found is None:
                raise NotFound
            return found

        return await self.answer(request, "events.read", SESSION_KILL, find)

    async def undelivered(self, request: Request) -> Response:
        async def find(org: str) -> dict[str, Any]:
            asked = read_query(request, undelivered.Asked)
            return await undelivered.find(self.pool, self.opaque, org, asked)

        return await self.answer(request, "users.read", UNDELIVERED, find)


async def position_of(request: Request) -> str:
    """Where the log was when this caller had been let in. Raises Unavailable where that is not known."""
    if (position := getattr(request.state, "position", None)) is None:
        raise Unavailable
    return position


def add_routes(app: FastAPI) -> None:
    app.state.position_of = position_of

    @app.get(SESSION_KILL, summary="What became of a session kill")
    async def session_kill(id: str, request: Request) -> Response:  # noqa: A002 (its name in the path)
        reading: Reading = request.app.state.reading
        return await reading.session_kill(request, id)

    @app.get(
        UNDELIVERED,
        summary="Mails with a link that did not arrive",
        openapi_extra=parameters(undelivered.Asked),
    )
    async def messages(request: Request) -> Response:
        reading: Reading = request.app.state.reading
        return await reading.undelivered(request)
