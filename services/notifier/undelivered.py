"""Mails with a link that did not arrive: for whom to send it again.

Of each person the newest such mail counts. One that was not sent because nobody needs it any more (the link is
used or void, the person may not have it) is no matter. Source: table `messages`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from services.kit.http import Query
from services.kit.pages import Page, Pages, Sort
from services.kit.positions import Opaque
from services.kit.postgres import Pool, Record
from services.kit.sql import named
from services.kit.times import rfc3339

SQL = named(__file__)
MOST = 200


class Asked(Query):
    """Of these people; of everyone when nobody is named."""

    user: Annotated[tuple[Annotated[str, Field(max_length=40)], ...], Field(max_length=MOST)] = ()
    limit: Annotated[int, Field(ge=1, le=MOST)] = 50
    cursor: Annotated[str, Field(max_length=2000)] | None = None


async def find(pool: Pool, opaque: Opaque, org: str, asked: Asked) -> dict[str, Any]:
    """One page, newest first: `data`, `next_cursor`, `previous_cursor`, `count`."""
    newest_first = Sort("queued_at", descending=True, cast="timestamptz", nullable=False)
    tie = Sort("id", descending=True, nullable=False)
    pages = Pages(opaque, org, sorted(asked.user), [newest_first], tie)
    page = pages.page(asked.cursor, asked.limit, 3)
    people = list(asked.user)
    async with pool.acquire() as connection:
        rows = await connection.fetch(_listing(page), org, people, *page.args)
        count = await connection.fetchval(f"SELECT count(*) FROM ({SQL['found']}) f", org, people)  # noqa: S608 # ours
    keys = [[row["queued_at"].isoformat(), row["id"]] for row in rows]
    answer = pages.answer(page, [_shown(row) for row in rows], keys, came_by_cursor=asked.cursor is not None)
    return answer | {"count": {"value": count, "exact": True}}


def _listing(page: Page) -> str:
    return (
        f"SELECT * FROM ({SQL['found']}) f WHERE {page.where}"  # noqa: S608 # ours
        f" ORDER BY {page.order} LIMIT {page.limit + 1}"
    )


def _shown(row: Record) -> dict[str, Any]:
    """Without the address and the words of a server, which are personal; `failed` is tried again by itself."""
    return {
        "id": row["id"],
        "user": row["user"],
        "kind": row["kind"],
        "channel": row["channel"],
        "state": "abandoned" if row["state"] == "abandoned" else "failed",
        "error": row["error"],
        "queued_at": rfc3339(row["queued_at"]),
    }
