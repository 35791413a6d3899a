"""One's own account: profile, password, sessions, second factor."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from services.console.gateway_client import Json, Problem
from services.console.outcomes import refused, said
from services.console.routes import add
from services.console.visit import ACCOUNT, Visit

PROFILE = ("name", "phone", "timezone")


async def page(visit: Visit) -> Response:
    sessions = (await visit.get("/v1/me/sessions"))["data"]
    return visit.page("account/page.html", sessions=sessions)


async def save_profile(visit: Visit) -> Response:
    form = visit.form
    body: Json = {n: form.text(n) or None for n in PROFILE if form.text(n) != form.text(f"was_{n}")}
    if "name" in body:
        body["name"] = form.text("name")
    try:
        visit.me = (await visit.call("PATCH", "/v1/me", body)).body
    except Problem as problem:
        return await refused(visit, problem, form="form-profile")
    return visit.fragment("account/profile_saved.html", said="Your profile has been saved.")


async def change_password(visit: Visit) -> Response:
    form = visit.form
    body = {"current_password": form.secret("current_password"), "password": form.secret("password")}
    try:
        await visit.call("POST", "/v1/me/password", body)
    except Problem as problem:
        return await refused(visit, problem, form="form-password")
    words = "Your password has been changed. All your other sessions have ended."
    return said(visit, words, reset={"form": "form-password"}, sessions={})


async def sessions(visit: Visit) -> Response:
    live = (await visit.get("/v1/me/sessions"))["data"]
    return visit.fragment("account/sessions.html", sessions=live)


async def end_session(visit: Visit) -> Response:
    session = visit.path["session"]
    try:
        await visit.call("DELETE", f"/v1/me/sessions/{session}")
    except Problem as problem:
        return await refused(visit, problem, form=f"form-end-{session}")
    return said(visit, "The session has been ended.", sessions={})


async def security(visit: Visit) -> Response:
    """The card about the second factor, as it is now."""
    return visit.fragment("account/mfa.html")


async def remove_factor(visit: Visit) -> Response:
    factor = visit.path["factor"]
    try:
        await visit.call("DELETE", f"/v1/me/factors/{factor}")
    except Problem as problem:
        return await refused(visit, problem, form=f"form-remove-{factor}")
    return said(visit, "The second factor has been removed.", factors={})


async def renew_codes(visit: Visit) -> Response:
    try:
        answer = await visit.call("POST", "/v1/me/recovery-codes")
    except Problem as problem:
        return await refused(visit, problem, form="form-codes")
    headers = {"HX-Retarget": "#dialogs", "HX-Reswap": "beforeend"}
    return visit.fragment("account/codes.html", headers, codes=answer.body["recovery_codes"])


def add_pages(app: FastAPI) -> None:
    add(app, "GET", ACCOUNT, page)
    add(app, "POST", "/_/account/profile", save_profile)
    add(app, "POST", "/_/account/password", change_password)
    add(app, "GET", "/_/account/sessions", sessions)
    add(app, "POST", "/_/account/sessions/{session}/end", end_session)
    add(app, "GET", "/_/account/mfa", security)
    add(app, "POST", "/_/account/factors/{factor}/remove", remove_factor)
    add(app, "POST", "/_/account/recovery-codes", renew_codes)
