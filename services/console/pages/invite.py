"""Inviting somebody."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from services.console.gateway_client import Json, Problem
from services.console.outcomes import commanded, refused
from services.console.pages.acts import once
from services.console.pages.users import roles_of
from services.console.routes import add
from services.console.visit import Visit

TEXTS = ("username", "phone", "timezone", "role", "reason")


async def dialog(visit: Visit) -> Response:
    return visit.fragment("users/invite.html", roles=await roles_of(visit))


async def invite(visit: Visit) -> Response:
    form = visit.form
    body: Json = {"email": form.text("email"), "name": form.text("name")}
    body |= {name: value for name in TEXTS if (value := form.text(name))}
    if labels := [label.strip() for label in form.text("labels").split(",") if label.strip()]:
        body["labels"] = labels
    try:
        change = await visit.call("POST", "/v1/users", body, headers=once(visit.form))
    except Problem as problem:
        return await refused(visit, problem, form="form-invite")
    words = f"{change.body['user']['name']} has been invited: the link in the mail lives 7 days."
    return commanded(visit, change, dialog="dialog-invite", said=words, is_new=True)


def add_pages(app: FastAPI) -> None:
    add(app, "GET", "/_/invite", dialog)
    add(app, "POST", "/_/invite", invite)
