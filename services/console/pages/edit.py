"""The dialog "Edit User": one save for everything, of which only what differs is sent.

Each field comes with the value that it had when the dialog was opened. Somebody else's save meanwhile is shown
field by field, and is kept wherever this form did not touch it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from fastapi import FastAPI
from starlette.responses import Response

from services.console import texts
from services.console.forms import Form
from services.console.gateway_client import Answer, Json, Problem
from services.console.outcomes import commanded, refused
from services.console.pages.acts import DRY, once, person, read_person
from services.console.pages.users import roles_of
from services.console.routes import add
from services.console.visit import Visit

FIELDS = ("name", "username", "phone", "timezone", "labels", "role", "active")
FORM = "form-edit"


def shown(user: Json) -> dict[str, str]:
    """A person as the fields of the form show them."""
    return {
        "name": user["name"],
        "username": user["username"] or "",
        "phone": user["phone"] or "",
        "timezone": user["timezone"] or "",
        "labels": ", ".join(user["labels"]),
        "role": user["role"]["id"],
        "active": "" if user["status"] == "inactive" else "on",
    }


def typed(form: Form) -> dict[str, str]:
    """The fields that the form holds; a box that is not ticked is not sent, so its old value tells of it."""
    return {name: form.text(name) for name in FIELDS if f"was_{name}" in form}


def patch(mine: dict[str, str], was: dict[str, str]) -> Json:
    """The fields that differ, as the API wants them."""
    changed = {name: value for name, value in mine.items() if value != was[name]}
    body: Json = {}
    for name, value in changed.items():
        match name:
            case "active":
                body[name] = value == "on"
            case "labels":
                body[name] = [label.strip() for label in value.split(",") if label.strip()]
            case "name" | "role":
                body[name] = value
            case _:
                body[name] = value or None
    return body


async def dialog(visit: Visit) -> Response:
    user, roles = await asyncio.gather(visit.early, roles_of(visit))
    return _form(visit, user, roles, shown(user), "users/edit.html")


async def deactivation(visit: Visit) -> Response:
    """What unticking "Active" does, in numbers, before anybody saves."""
    try:
        effects: Json = await visit.early
    except Problem as problem:
        if problem.status == 401:  # noqa: PLR2004
            raise
        return visit.fragment("users/effects.html", effects={}, refusal=texts.refusal(problem.document))
    return visit.fragment("users/effects.html", effects=effects, refusal=None) if effects else Response("")


async def _ask_effects(visit: Visit) -> Json:
    if visit.request.query_params.get("active") == "on":
        return {}
    return (await visit.call("POST", f"{person(visit)}/deactivate", {}, params=DRY)).body["effects"]


async def save(visit: Visit) -> Response:
    try:
        change: Answer = await visit.early
    except Problem as problem:
        if problem.code == "version_conflict":
            return await _conflict(visit, problem)
        return await refused(visit, problem, form=FORM)
    return commanded(visit, change, dialog="dialog-edit", said=_said(change, _changed(visit.form)))


async def _save(visit: Visit) -> Answer:
    form = visit.form
    body = _changed(form)
    if reason := form.text("reason"):
        body["reason"] = reason
    return await visit.call("PATCH", person(visit), body, headers=once(form) | stands_on(form))


def stands_on(form: Form) -> dict[str, str]:
    """The version of the person that the form began with."""
    version = form.text("version")
    return {"If-Match": f'"{version}"'} if re.fullmatch(r"[0-9]{1,18}", version) else {}


def _changed(form: Form) -> Json:
    mine = typed(form)
    return patch(mine, _was(form, mine))


def _was(form: Form, mine: dict[str, str]) -> dict[str, str]:
    return {name: form.text(f"was_{name}") for name in mine}


def _said(change: Answer, body: Json) -> str:
    name = change.body["user"]["name"]
    if not change.body["events"]:
        return f"Nothing was changed for {name}."
    if "active" in body:
        return f"{name} has been {'reactivated' if body['active'] else 'deactivated'}."
    return f"{name} has been saved."


async def _conflict(visit: Visit, problem: Problem) -> Response:
    """The form again, on the newest version: theirs where I changed nothing, mine where I did, both told."""
    mine = typed(visit.form)
    was = _was(visit.form, mine)
    user, roles = await asyncio.gather(read_person(visit), roles_of(visit))
    theirs = shown(user)
    touched = {name: value for name, value in mine.items() if value != was[name]}
    clashes = {name for name in touched if theirs[name] != was[name]}
    merged = theirs | touched
    changes = [_told(change) for change in problem.document.get("changes") or ()]
    headers = {"HX-Retarget": f"#{FORM}", "HX-Reswap": "outerHTML"}
    return _form(
        visit, user, roles, merged, "users/edit_form.html", headers, conflict={"changes": changes}, clashes=clashes,
        reason=visit.form.text("reason"),
    )  # fmt: skip


def _told(change: Json) -> Json:
    """One change of somebody else's in words: who, when, and old and new value of each field."""
    fields = cast("dict[str, dict[str, Any]]", change.get("fields") or {})
    values = [
        (texts.FIELDS.get(name, name), texts.field_value(both.get("old")), texts.field_value(both.get("new")))
        for name, both in fields.items()
    ]
    by = cast("Json", change.get("by") or {})
    return {"what": texts.event(change["type"]), "at": change["at"], "by": by.get("name"), "fields": values}


def _form(
    visit: Visit,
    user: Json,
    roles: list[Json],
    fields: dict[str, str],
    template: str,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Response:
    if not any(role["id"] == user["role"]["id"] for role in roles):
        roles = [user["role"], *roles]
    values: Json = {"conflict": None, "clashes": set[str](), "reason": ""} | more
    return visit.fragment(
        template, headers, user=user, fields=fields, theirs=shown(user), roles=roles, **values
    )


def add_pages(app: FastAPI) -> None:
    add(app, "GET", "/_/users/{user}/edit", dialog, early=read_person)
    add(app, "POST", "/_/users/{user}/edit", save, early=_save)
    add(app, "GET", "/_/users/{user}/deactivation", deactivation, early=_ask_effects)
