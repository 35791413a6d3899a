"""Pages behind the links of mails, and the one that asks for such a mail.

A link's token is behind `#`, which no browser sends: a script puts it into the form, and only the form's POST
uses it up.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from services.console import texts
from services.console.gateway_client import Json, Problem
from services.console.routes import add
from services.console.visit import Visit

INVITATION, RESET, FORGOT = "/invitation", "/reset-password", "/forgot-password"


async def show_invitation(visit: Visit) -> Response:
    return _page(visit, "links/invitation.html")


async def accept(visit: Visit) -> Response:
    form = visit.form
    body: Json = {"token": form.text("token"), "password": form.secret("password")}
    if name := form.text("name"):
        body["name"] = name
    try:
        user = (await visit.call("POST", "/v1/invitations/accept", body)).body["user"]
    except Problem as problem:
        return _page(visit, "links/invitation.html", problem)
    return _done(visit, f"Welcome, {user['name']}.", "Your account is ready. Sign in with your new password.")


async def show_reset(visit: Visit) -> Response:
    return _page(visit, "links/reset.html")


async def reset(visit: Visit) -> Response:
    body = {"token": visit.form.text("token"), "password": visit.form.secret("password")}
    try:
        await visit.call("POST", "/v1/password-resets/complete", body)
    except Problem as problem:
        return _page(visit, "links/reset.html", problem)
    return _done(
        visit,
        "Your password has been changed.",
        "All your sessions have ended. Sign in with the new password.",
    )


async def show_forgot(visit: Visit) -> Response:
    return _page(visit, "links/forgot.html")


async def forgot(visit: Visit) -> Response:
    asked = {"organization": visit.form.text("organization"), "email": visit.form.text("email")}
    try:
        await visit.call("POST", "/v1/password-resets", asked)
    except Problem as problem:
        return _page(visit, "links/forgot.html", problem)
    return _done(
        visit, "Look into your mailbox.",
        "If this address belongs to an active account, a mail with a link is on its way. The link works once.",
    )  # fmt: skip


def _page(visit: Visit, template: str, problem: Problem | None = None) -> Response:
    """The form, after a refusal with what was typed (a password is typed again)."""
    form = visit.form
    kept = {name: form.text(name) for name in ("token", "name", "organization", "email")}
    if problem is None:
        kept["organization"] = visit.request.query_params.get("organization", "")
    told = texts.refusal(problem.document) if problem else None
    return visit.page(template, problem.status if problem else 200, kept=kept, refusal=told)


def _done(visit: Visit, title: str, text: str) -> Response:
    return visit.page("links/done.html", title=title, text=text)


def add_pages(app: FastAPI) -> None:
    for path, show, take in (
        (INVITATION, show_invitation, accept), (RESET, show_reset, reset), (FORGOT, show_forgot, forgot),
    ):  # fmt: skip
        add(app, "GET", path, show, signed_in=False)
        add(app, "POST", path, take, signed_in=False)
