"""What an administrator does to one person in a dialog of its own: numbers first, then one button.

All of them go the same way: the dialog asks the API for a dry run, the button makes the call, and the row changes
when the API has said so. What sets an act apart is a line of the table `ACTS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.responses import Response

from services.console import texts
from services.console.forms import Form
from services.console.gateway_client import Answer, Json, Problem
from services.console.outcomes import commanded, refused
from services.console.routes import Handler, add
from services.console.visit import Visit
from services.kit.ids import is_id

DRY = (("dry_run", "true"),)


@dataclass(frozen=True, slots=True)
class Act:
    """One of them.

    Args:
        name: the word in its addresses, and the verb of the API.
        done: what is said when it is done.
        fields: what the API is asked besides the reason.
        gone: the person is not in the table afterwards.
    """

    name: str
    done: str
    fields: tuple[str, ...] = ()
    gone: bool = False

    def path(self, visit: Visit) -> str:
        return f"{person(visit)}/{self.name}"

    @property
    def is_confirmed(self) -> bool:
        """Whether the call holds the address, so that the person has to be known first."""
        return "confirm" in self.fields


ACTS = (
    Act("reset-mfa", "MFA has been reset for {name}."),
    Act(
        "reset-password", "{name} receives a password reset email.",
        fields=("revoke_now",),
    ),
    Act("delete", "{name} has been deleted.", fields=("confirm",), gone=True),
    Act(
        "resend-invitation",
        "The invitation has been sent again to {name}.",
    ),
)  # fmt: skip


def dialog(act: Act) -> Handler:
    async def show(visit: Visit) -> Response:
        user, effects, told = await visit.early
        return visit.fragment(
            f"users/{act.name}.html", act=act, user=user, effects=effects, refusal=told,
            again=_again(visit),
        )  # fmt: skip

    return show


def rehearse(act: Act) -> Callable[[Visit], Awaitable[tuple[Json, Json, texts.Refusal | None]]]:
    """The person, and what the act does to them, or why it is refused."""

    async def early(visit: Visit) -> tuple[Json, Json, texts.Refusal | None]:
        if not act.is_confirmed:
            body = {"revoke_now": not _again(visit)} if "revoke_now" in act.fields else {}
            user, (effects, told) = await asyncio.gather(visit.get(person(visit)), _try(visit, act, body))
            return user, effects, told
        user = await visit.get(person(visit))
        return user, *await _try(visit, act, {"confirm": user["email"]})

    return early


async def _reset_effects(visit: Visit) -> Response:
    """What a reset does with the box as it is now."""
    effects, told = await visit.early
    return visit.fragment("users/reset-effects.html", effects=effects, refusal=told, instead=True)


async def _rehearse_reset(visit: Visit) -> tuple[Json, texts.Refusal | None]:
    reset = next(act for act in ACTS if "revoke_now" in act.fields)
    return await _try(visit, reset, {"revoke_now": visit.request.query_params.get("revoke_now") == "on"})


def _again(visit: Visit) -> bool:
    """Whether a mail is to be sent again: what was taken away the first time is not taken twice."""
    return "again" in visit.request.query_params


async def _try(visit: Visit, act: Act, body: Json) -> tuple[Json, texts.Refusal | None]:
    try:
        return (await visit.call("POST", act.path(visit), body, params=DRY)).body["effects"], None
    except Problem as problem:
        if problem.status in (401, 404):
            raise
        return {}, texts.refusal(problem.document)


def command(act: Act) -> Handler:
    async def run(visit: Visit) -> Response:
        try:
            user, change = await visit.early
        except Problem as problem:
            return await refused(visit, problem, form=f"form-{act.name}")
        said = act.done.format(name=user["name"])
        return commanded(
            visit, change, dialog=f"dialog-{act.name}", said=said, gone=user if act.gone else None
        )

    return run


def perform(act: Act) -> Callable[[Visit], Awaitable[tuple[Json, Answer]]]:
    """The person as the act leaves them, or as they were; and the answer."""

    async def early(visit: Visit) -> tuple[Json, Answer]:
        before = await visit.get(person(visit)) if act.gone else None
        body = {"reason": visit.form.text("reason") or None} | _body(act, visit)
        change = await visit.call("POST", act.path(visit), body, headers=once(visit.form))
        return before or change.body["user"], change

    return early


def person(visit: Visit) -> str:
    """Where the API has the person whom a page is about."""
    return f"/v1/users/{visit.path['user']}"


async def read_person(visit: Visit) -> Json:
    return await visit.get(person(visit))


def once(form: Form) -> dict[str, str]:
    """The key that was rendered into the form: pressed twice, it is done once."""
    key = form.text("key")
    return {"Idempotency-Key": key} if is_id(key, "req") else {}


def _body(act: Act, visit: Visit) -> Json:
    body: Json = {}
    if "revoke_now" in act.fields:
        body["revoke_now"] = visit.form.is_checked("revoke_now")
    if "confirm" in act.fields:
        body["confirm"] = visit.form.text("confirm")
    return body


def add_pages(app: FastAPI) -> None:
    add(app, "GET", "/_/users/{user}/reset-password/effects", _reset_effects, early=_rehearse_reset)
    for act in ACTS:
        path = f"/_/users/{{user}}/{act.name}"
        add(app, "GET", path, dialog(act), early=rehearse(act))
        add(app, "POST", path, command(act), early=perform(act))
