"""Routes about sessions: beginning one, ending one's own, and what other services may ask about them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response

from services.identity.access import Principal, access_guard
from services.identity.command import add_command
from services.identity.lists import ListQuery, by_id
from services.identity.public import Visit, add_public
from services.identity.routes import Call, NoQuery, Route, Services, add_read, register
from services.identity.run import Draft
from services.identity.sessions import account as accounts
from services.identity.sessions import half as halves
from services.identity.sessions import introspection, me
from services.identity.sessions.sign_in import CodeBody, SignInBody, enter_code, sign_in
from services.identity.sessions.start import OTP
from services.identity.users import queries
from services.identity.users.ending import end_sessions
from services.identity.users.reads import session_object
from services.kit.errors import NotFound
from services.kit.http import Body, RequestContext, read_body, read_query
from services.kit.ids import new_id
from services.kit.postgres import Database, Record
from services.kit.sql import named
from services.kit.times import rfc3339

SQL = named(__file__)
Path = dict[str, str]


class Nothing(Body):
    """The body of a command that takes none."""


async def end_own(connection: Database, call: Call[Any], session: str, cause: str) -> Draft:
    """End one of the caller's own sessions. Raises NotFound: it is not theirs, or has ended."""
    account = await accounts.read(connection, call.principal.id)
    chosen = [live for live in account.sessions if live.id == session] if account else []
    if account is None or not chosen:
        raise NotFound
    guard = access_guard(account.user.id)
    return Draft(
        events=end_sessions(account.user.id, chosen, cause, new_id("kil")),
        reads={head: account.heads[head] for head in (guard, session)},
        touches=frozenset({guard}),
    )


async def sign_out(connection: Database, call: Call[Nothing]) -> Draft:
    session = call.principal.session
    return await end_own(connection, call, session.id if session else "", "signed_out")


async def end_session(connection: Database, call: Call[Nothing]) -> Draft:
    return await end_own(connection, call, call.path["session"], "ended_by_user")


async def list_own(connection: Database, principal: Principal, _: Path, __: NoQuery) -> Any:
    """The caller's live sessions, last used first; there are at most a hundred, so one page holds them."""
    rows = await connection.fetch(queries.SQL["sessions"], principal.id, principal.org)
    current = principal.session.id if principal.session else None
    shown = [session_object(dict(row), current) for row in rows]
    count = {"value": len(shown), "exact": True}
    return {"data": shown, "next_cursor": None, "previous_cursor": None, "count": count}


def rule_object(row: Record) -> dict[str, Any]:
    return {
        "id": row["id"], "user": row["user"], "session": row["session"], "network": row["network"],
        "expires_at": rfc3339(row["expires_at"]),
    }  # fmt: skip


def add_routes(app: FastAPI, services: Services) -> None:
    """Sign-in and sign-out, `/v1/me/sessions`, `/v1/ip-rules`, `/v1/introspect`."""

    async def otp(request: Request) -> Response:
        async with services.pool.acquire() as connection:
            half = await halves.half_session(connection, request, OTP)
        read_query(request, NoQuery)
        body = await read_body(request, CodeBody)
        return await enter_code(Visit(services, request, RequestContext.of(request), body), half)

    async def list_rules(connection: Database, principal: Principal, _: Path, asked: ListQuery) -> Any:
        return await by_id(connection, services.opaque, principal.org, asked, SQL["rules"], rule_object)

    begin, out, own = "/v1/sign-in", "/v1/sign-out", "/v1/me/sessions"
    add_public(app, services, Route("POST", begin, change=False, body=SignInBody), sign_in)
    register(app, Route("POST", f"{begin}/otp", change=False, body=CodeBody), otp)
    leave = Route(
        "POST", out, act="session.end", person=True, change=False, enrolling=True, body=Nothing, status=204
    )
    add_command(app, services, leave, sign_out)
    add_read(app, services, Route("GET", own, act="session.read", person=True), list_own)
    end = Route(
        "DELETE", f"{own}/{{session}}", act="session.end", person=True, change=False, body=Nothing, status=204
    )
    add_command(app, services, end, end_session)
    add_read(app, services, Route("GET", "/v1/ip-rules", ("ip_rules.read",)), list_rules, ListQuery)
    introspection.add_routes(app, services)
    me.add_routes(app, services)
