"""Who sets up a second factor: someone signed in, or someone whose half session waits for just that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from muster_contracts.events import Actor

from services.identity.access import HalfSession, Principal, bearer, find_half_session
from services.identity.attempts import RECORDED, Attempt
from services.identity.credentials.proofs import CodeRefused
from services.identity.public import Visit, refuse
from services.identity.routes import (
    NoQuery,
    Route,
    Services,
    origin_of,
    principal_of,
    refusal,
    register,
)
from services.identity.run import Origin
from services.identity.sessions import account as accounts
from services.identity.sessions.account import Account
from services.identity.sessions.start import ENROLL
from services.kit.errors import MusterError, Unauthenticated
from services.kit.http import Body, RequestContext, read_body, read_query
from services.kit.postgres import Database


@dataclass(frozen=True, slots=True)
class Enrolling:
    """Who it is, with either of both credentials; read anew for each try."""

    account: Account
    principal: Principal | None
    half: HalfSession | None

    @property
    def session(self) -> str:
        """What an enrollment is bound to."""
        if self.half:
            return self.half.id
        return self.principal.session.id if self.principal and self.principal.session else ""

    @property
    def may_add(self) -> bool:
        """Whether one more factor may be added: beside one that counts only after a proof of it."""
        return not self.account.user.factors or bool(self.principal and self.principal.confirmed)

    def origin(self, visit: Visit[Any]) -> Origin:
        if self.principal:
            return origin_of(self.principal, visit.context)
        user, reads = self.account.user, self.half.reads if self.half else {}
        actor = Actor(type="user", id=user.id, name=user.name)
        return visit.origin(user.org, self.account.now, actor, self.session, reads)


async def enrolling(connection: Database, request: Request) -> Enrolling:
    """Who calls; both kinds of credential are looked at anew.

    Raises:
        Unauthenticated: nobody any more.
    """
    principal, half = await _credential(connection, request)
    account = await accounts.read(connection, half.user if half else principal.id if principal else "")
    if account is None:
        raise Unauthenticated
    return Enrolling(account, principal, half)


async def _credential(connection: Database, request: Request) -> tuple[Principal | None, HalfSession | None]:
    half = await find_half_session(connection, bearer(request.headers.get("authorization")))
    if half and half.next == ENROLL:
        return None, half
    return await principal_of(connection, request, enrolling=True), None


def add_enrolling(
    app: FastAPI, services: Services, route: Route, serve: Callable[[Visit[Any]], Awaitable[Response]]
) -> None:
    """Serve a route that both may call; `serve` is called once and asks `enrolling` who it is."""

    async def endpoint(request: Request) -> Response:
        context = RequestContext.of(request)
        async with services.pool.acquire() as connection:
            principal, half = await _credential(connection, request)
        try:
            if principal:
                route.admit(principal)
            read_query(request, NoQuery)
            body = await read_body(request, route.body)
            return await serve(Visit(services, request, context, body))
        except MusterError as error:
            if principal and error.kind in RECORDED:
                return await refusal(services, principal, route, request, error)
            if error.kind not in RECORDED and not isinstance(error, CodeRefused):
                raise
            visit = Visit(services, request, context, Body())
            return await refuse(visit, *_refused(visit, route, principal, half), error)

    register(app, route, endpoint)


def _refused(
    visit: Visit[Any], route: Route, principal: Principal | None, half: HalfSession | None
) -> tuple[Origin, Attempt]:
    if principal:
        return origin_of(principal, visit.context), Attempt(route.act, principal.id)
    if half is None:
        raise Unauthenticated
    origin = visit.origin(half.org, half.now, Actor(type="user", id=half.user), half.id)
    return origin, Attempt(route.act, half.user)
