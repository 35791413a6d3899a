"""What an administrator does to one person in a dialog of its own: numbers first, then one button.

All of them go the same way: the dialog asks the API for a dry run, the button makes the call, and the row changes
when the API has said so. What sets an act apart is a line of the table `ACTS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import FastAPI
from starlette.responses import Response

from services.console import texts
from services.console.gateway_client import Json, Problem
from services.console.outcomes import commanded, refused
from services.console.routes import Handler, add
from services.console.visit import Visit

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

    def call(self, user: str) -> str:
        return f"/v1/users/{user}/{self.name}"


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
        user = await visit.get(f"/v1/users/{visit.path['user']}")
        effects: Json = {}
        told: texts.Refusal | None = None
        try:
            effects = (await visit.call("POST", act.call(user["id"]), _dry_body(act, user), params=DRY)).body[
                "effects"
            ]
        except Problem as problem:
            if problem.status == 401:  # noqa: PLR2004
                raise
            told = texts.refusal(problem.document)
        return visit.fragment(f"users/{act.name}.html", act=act, user=user, effects=effects, refusal=told)

    return show


def command(act: Act) -> Handler:
    async def run(visit: Visit) -> Response:
        user = await visit.get(f"/v1/users/{visit.path['user']}")
        body = {"reason": visit.form.text("reason") or None} | _body(act, visit)
        try:
            change = await visit.call("POST", act.call(user["id"]), body, headers=once(visit))
        except Problem as problem:
            return await refused(visit, problem, form=f"form-{act.name}")
        said = act.done.format(name=user["name"])
        return commanded(
            visit, change, dialog=f"dialog-{act.name}", said=said, gone=user if act.gone else None
        )

    return run


def once(visit: Visit) -> dict[str, str]:
    """The key that was rendered into the form: pressed twice, it is done once."""
    return {"Idempotency-Key": visit.form.text("key")} if visit.form.text("key") else {}


def _dry_body(act: Act, user: Json) -> Json:
    return {"confirm": user["email"]} if "confirm" in act.fields else {}


def _body(act: Act, visit: Visit) -> Json:
    body: Json = {}
    if "revoke_now" in act.fields:
        body["revoke_now"] = visit.form.is_checked("revoke_now")
    if "confirm" in act.fields:
        body["confirm"] = visit.form.text("confirm")
    return body


def add_pages(app: FastAPI) -> None:
    for act in ACTS:
        path = f"/_/users/{{user}}/{act.name}"
        add(app, "GET", path, dialog(act))
        add(app, "POST", path, command(act))
