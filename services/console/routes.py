"""The way of one request: cookies, form and its token, `/v1/me` for pages of a signed-in person, then the page.

What goes wrong is told here once: a person without a session is led to the sign-in, everything else becomes a
page or, within one, a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.console import forms
from services.console.csrf import FIELD, HEADER, Forged
from services.console.failures import failure
from services.console.forms import BadForm
from services.console.gateway_client import Away, Caller, Problem
from services.console.session import new_visitor
from services.console.visit import HOME, SIGN_IN, START, Console, Visit

Handler = Callable[[Visit], Awaitable[Response]]
LONGEST_AGENT = 512
NEXT_STEP = {
    "second_factor_required": f"{SIGN_IN}/code",
    "enrollment_required": f"{SIGN_IN}/enroll",
}


def add(
    app: FastAPI,
    method: str,
    path: str,
    handler: Handler,
    *,
    signed_in: bool = True,
    early: Callable[[Visit], Awaitable[Any]] | None = None,
) -> None:
    """Serve a page or a part of one.

    Args:
        app: ours.
        method: GET, or POST of a form with a token.
        path: what begins with `/_/` is a part of a page.
        handler: makes the answer.
        signed_in: whether it needs a whole session; `visit.me` is there then.
        early: calls of the API that do not depend on `visit.me`, and are made meanwhile; the handler awaits
            `visit.early` for their answer.
    """

    async def endpoint(request: Request) -> Response:
        visit = open_visit(app.state.console, request)
        try:
            if visit.is_fragment and request.headers.get("sec-fetch-mode") == "navigate":
                # A link of somebody's: parts are asked for by our pages alone.
                return RedirectResponse(START, 303)
            if method == "POST":
                await _take_form(visit)
            if signed_in:
                await _meet(visit, early)
            response = await handler(visit)
        except (Problem, Away, Forged, BadForm) as error:
            response = _lead_on(visit, error) or failure(visit, error)
        if visit.caller.token is None and visit.console.cookies.visitor not in request.cookies:
            visit.console.cookies.remember_visitor(response, visit.visitor)
        return response

    app.add_route(path, endpoint, methods=[method])


def open_visit(console: Console, request: Request) -> Visit:
    client = request.client
    address = console.addresses.of(
        client.host if client else None, request.headers.getlist("x-forwarded-for")
    )
    caller = Caller(
        token=console.cookies.token(request),
        address=str(address) if address else None,
        user_agent=request.headers.get("user-agent", "")[:LONGEST_AGENT],
    )
    visitor = request.cookies.get(console.cookies.visitor) or new_visitor()
    return Visit(console, request, caller, visitor)


async def _take_form(visit: Visit) -> None:
    visit.form = await forms.read(visit.request)
    shown = visit.form.secret(FIELD) or visit.request.headers.get(HEADER, "")
    known = visit.caller.token or visit.request.cookies.get(visit.console.cookies.visitor)
    visit.console.csrf.check(visit.request, shown, known)


async def _meet(visit: Visit, early: Callable[[Visit], Awaitable[Any]] | None) -> None:
    """Find out who asks. Raises Problem, Away."""
    if visit.caller.token is None:
        raise Problem(401, {"code": "unauthenticated"})
    if early is None:
        visit.me = await visit.get("/v1/me")
        return
    visit.early = begun = asyncio.ensure_future(early(visit))
    try:
        visit.me = await visit.get("/v1/me")
    except (Problem, Away):
        await asyncio.wait([begun])
        begun.exception()  # who asks cannot be told: that comes first
        raise


def _lead_on(visit: Visit, error: Exception) -> Response | None:
    """Where the browser goes on when the session is none, or half of one."""
    if not isinstance(error, Problem) or error.status != 401:  # noqa: PLR2004
        return None
    if step := NEXT_STEP.get(error.code):
        return visit.redirect(step)
    if error.code != "unauthenticated":
        return None
    back = visit.came_from()
    response = visit.redirect(SIGN_IN if back in (HOME, START) else f"{SIGN_IN}?next={quote(back)}")
    if visit.caller.token is not None:
        visit.console.cookies.sign_out(response)
    return response
