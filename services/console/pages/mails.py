"""Mails that did not arrive, shown on the rows of those who miss them.

They are asked for after the table is there, and by a row after an act: whom they are about is known then, and a
table is a table also while the notifier is away.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from services.console.gateway_client import Away, Json, Problem
from services.console.routes import add
from services.console.visit import Visit

AGAIN = {"invited": "resend-invitation", "active": "reset-password"}
"""By the status of a person, which act sends the mail again that such a person may miss."""


async def marks(visit: Visit) -> Response:
    people = _people(visit)
    missed = [
        {
            "user": found["user"],
            "is_given_up": found["state"] == "abandoned",
            "act": AGAIN[people[found["user"]]],
        }
        for found in await visit.early
        if (found["kind"] == "invitation") == (people.get(found["user"]) == "invited")
    ]
    return visit.fragment("users/mails.html", missed=missed)


async def read(visit: Visit) -> list[Json]:
    """None while nobody can tell: that is no failure of the table."""
    people = _people(visit)
    if not people:
        return []
    params = [*(("user", user) for user in people), ("limit", "200")]
    try:
        return (await visit.get("/v1/undelivered-messages", params))["data"]
    except (Problem, Away):
        return []


def _people(visit: Visit) -> dict[str, str]:
    """Who is asked for, with the status that their row shows."""
    query = visit.request.query_params
    return {user: status for status in AGAIN for user in query.getlist(status)}


def add_pages(app: FastAPI) -> None:
    add(app, "GET", "/_/users/mails", marks, early=read)
