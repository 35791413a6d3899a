"""What a form within a page gets back: the changed row and a word, the question who it is, or why not.

All of these are answered with 200: each is a part of the page that says so, and a browser would note any other
status as a failure of the page itself.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from services.console import texts
from services.console.gateway_client import Answer, Json, Problem
from services.console.visit import Visit, events

KEEP = {"HX-Reswap": "none"}
"""The form stays; only what is named in the answer changes."""


def commanded(
    visit: Visit, change: Answer, *, dialog: str, said: str, gone: Json | None = None, is_new: bool = False
) -> Response:
    """A command was followed: the row as the API has it now, a word, and the dialog closes.

    Args:
        visit: whose answer this is.
        change: the API's answer.
        dialog: id of the dialog that closes.
        said: what happened, for the word and for who listens.
        gone: the person, where there is no row any more.
        is_new: the table is read again, since there is a row more.
    """
    user = change.body.get("user")
    happened: dict[str, Any] = {"users": {}} if gone or is_new else {"user": {}}
    happened["done"] = {"dialog": dialog}  # last: what is in the dialog listens no more
    is_shown = "muster-row" in visit.request.headers
    return visit.fragment(
        "users/done.html", KEEP | events(**happened), user=user if is_shown else None, said=said,
        position=change.position, about=(user or gone or {}).get("id"),
    )  # fmt: skip


def said(visit: Visit, words: str, **happened: Any) -> Response:
    """Something else was done."""
    return visit.fragment("said.html", KEEP | events(**happened), said=words)


async def refused(visit: Visit, problem: Problem, *, form: str) -> Response:
    """The form stays as it is; beside it stands why, or the question who it is.

    Raises:
        Problem: the session is over, which is no matter of this form.
    """
    if problem.status == 401 and problem.code == "unauthenticated":  # noqa: PLR2004
        raise problem
    if problem.code == "confirmation_required":
        return await ask_who_it_is(visit, form)
    headers = {"HX-Retarget": f"#{form} [data-slot]", "HX-Reswap": "innerHTML"}
    support = await support_of(visit)
    return visit.fragment("refused.html", headers, refusal=texts.refusal(problem.document), support=support)


async def ask_who_it_is(visit: Visit, form: str) -> Response:
    """The dialog that confirms the session; the form is sent again when that is done."""
    mfa: Json = visit.me.get("mfa") or {}
    has_factor = bool(mfa.get("factors"))
    headers = {"HX-Retarget": "#dialogs", "HX-Reswap": "beforeend"}
    return visit.fragment("confirm.html", headers, has_factor=has_factor, form=form)


async def support_of(visit: Visit) -> str | None:
    """Whom the organization names for questions, for who may read that."""
    if not visit.may("organization.read"):
        return None
    try:
        return (await visit.get("/v1/organization")).get("support_contact")
    except Problem:
        return None
