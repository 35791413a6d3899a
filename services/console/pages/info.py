"""The dialog "User Info": Info, Sessions, Timeline, each with an address of its own."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.responses import Response

from services.console import texts
from services.console.gateway_client import Json, Problem
from services.console.outcomes import commanded, refused, said
from services.console.pages.acts import DRY, once, person, read_person
from services.console.routes import add
from services.console.visit import Visit

TABS = (("info", "Info"), ("sessions", "Sessions"), ("timeline", "Timeline"))
TIMELINE_ROWS = "25"


async def dialog(visit: Visit) -> Response:
    return visit.fragment("users/info.html", tabs=TABS, **await _info(visit))


async def info(visit: Visit) -> Response:
    return visit.fragment("users/info_tab.html", **await _info(visit))


async def _info(visit: Visit) -> Json:
    user, live = await asyncio.gather(visit.early, _live(visit))
    return {"user": user, "live": live}


async def _live(visit: Visit) -> list[Json] | None:
    if not visit.may("sessions.read"):
        return None
    return (await visit.get(f"{person(visit)}/sessions"))["data"]


async def sessions(visit: Visit) -> Response:
    user, live = await visit.early
    return visit.fragment("users/sessions_tab.html", user=user, sessions=live["data"])


async def _read_sessions(visit: Visit) -> tuple[Json, Json]:
    return await asyncio.gather(read_person(visit), visit.get(f"{person(visit)}/sessions"))


async def timeline(visit: Visit) -> Response:
    user = visit.path["user"]
    cursor = visit.request.query_params.get("cursor", "")
    params = [("limit", TIMELINE_ROWS), *([("cursor", cursor)] if cursor else [])]
    page = await visit.get(f"/v1/users/{user}/timeline", params)
    template = "users/timeline_rows.html" if cursor else "users/timeline_tab.html"
    return visit.fragment(template, user_id=user, rows=page["data"], cursor=page["next_cursor"])


async def ending(visit: Visit) -> Response:
    """The question before sessions are ended, with what that does."""
    user = await visit.get(f"/v1/users/{visit.path['user']}")
    told: texts.Refusal | None = None
    effects: Json = {}
    try:
        answer = await visit.call("DELETE", f"/v1/users/{user['id']}/sessions", {}, params=DRY)
        effects = answer.body["effects"]
    except Problem as problem:
        if problem.status == 401:  # noqa: PLR2004
            raise
        told = texts.refusal(problem.document)
    return visit.fragment("users/end_sessions.html", user=user, effects=effects, refusal=told)


async def end_all(visit: Visit) -> Response:
    user = await visit.get(f"/v1/users/{visit.path['user']}")
    body = {"reason": visit.form.text("reason") or None}
    try:
        change = await visit.call(
            "DELETE", f"/v1/users/{user['id']}/sessions", body, headers=once(visit.form)
        )
    except Problem as problem:
        return await refused(visit, problem, form="form-end-sessions")
    words = f"All sessions of {user['name']} have been ended."
    return commanded(visit, change, dialog="dialog-end-sessions", said=words)


async def end_one(visit: Visit) -> Response:
    user, session = visit.path["user"], visit.path["session"]
    try:
        await visit.call("DELETE", f"/v1/users/{user}/sessions/{session}", headers=once(visit.form))
    except Problem as problem:
        return await refused(visit, problem, form=f"form-end-{session}")
    return said(visit, "The session has been ended.", user={"id": user})


def add_pages(app: FastAPI) -> None:
    user = "/_/users/{user}"
    add(app, "GET", f"{user}/info", dialog, early=read_person)
    add(app, "GET", f"{user}/info/info", info, early=read_person)
    add(app, "GET", f"{user}/info/sessions", sessions, early=_read_sessions)
    add(app, "GET", f"{user}/info/timeline", timeline)
    add(app, "GET", f"{user}/end-sessions", ending)
    add(app, "POST", f"{user}/end-sessions", end_all)
    add(app, "POST", f"{user}/sessions/{{session}}/end", end_one)
