"""Setup Multi Factor Authentication: method, QR code, first code, recovery codes; in a dialog or at sign-in."""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI
from starlette.responses import Response

from services.console.gateway_client import Json, Problem
from services.console.outcomes import refused
from services.console.routes import add
from services.console.visit import Visit, local

FORM = "form-factor"


async def dialog(visit: Visit) -> Response:
    return visit.fragment("account/setup.html")


async def begin(visit: Visit) -> Response:
    """The seed is shown here and never again."""
    try:
        factor = (await visit.call("POST", "/v1/me/factors", {"type": "totp"})).body
    except Problem as problem:
        return await refused(visit, problem, form=FORM)
    return visit.fragment("account/setup_code.html", factor=factor, next=_then(visit))


async def activate(visit: Visit) -> Response:
    """The first code. At sign-in it makes the session whole, with a new token."""
    factor = visit.path["factor"]
    code = visit.form.text("code").replace(" ", "")
    try:
        answer = (await visit.call("POST", f"/v1/me/factors/{factor}/activate", {"code": code})).body
    except Problem as problem:
        return await refused(visit, problem, form=FORM)
    codes = cast("list[str]", answer.get("recovery_codes") or [])
    response = visit.fragment("account/setup_done.html", codes=codes, next=_then(visit))
    if token := answer.get("token"):
        visit.console.cookies.sign_in(
            response, token, cast("Json", answer.get("session") or {}).get("expires_at")
        )
    return response


def _then(visit: Visit) -> str:
    """Where a sign-in goes on; "" in the dialog."""
    given = visit.form.text("next")
    return local(given) if given else ""


def add_pages(app: FastAPI) -> None:
    add(app, "GET", "/_/account/factors/setup", dialog)
    add(app, "POST", "/_/account/factors", begin, signed_in=False)
    add(app, "POST", "/_/account/factors/{factor}/activate", activate, signed_in=False)
