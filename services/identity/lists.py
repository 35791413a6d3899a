"""Short lists of an organization: everything of one table, oldest first, in pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from services.kit.http import Query
from services.kit.pages import Pages, Sort
from services.kit.positions import Opaque
from services.kit.postgres import Database, Record


class ListQuery(Query):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None


async def by_id(
    connection: Database,
    opaque: Opaque,
    org: str,
    asked: ListQuery,
    statement: str,
    shown: Callable[[Record], dict[str, Any]],
) -> dict[str, Any]:
    """One page in the shape of every list.

    Args:
        connection: no transaction needed.
        opaque: seals the cursors.
        org: parameter $1 of the statement; an id that begins with the time it was made gives the order.
        asked: which page.
        statement: our SQL with a column `id` and no `ORDER BY`; its text is the query that cursors belong to.
        shown: a row as the list shows it.
    """
    pages = Pages(opaque, org, statement, [], Sort("id"))
    page = pages.page(asked.cursor, asked.limit, 2)
    rows = await connection.fetch(
        f"SELECT * FROM ({statement}) AS listed WHERE {page.where} "  # noqa: S608 (statements are ours)
        f"ORDER BY {page.order} LIMIT {page.limit + 1}",
        org, *page.args,
    )  # fmt: skip
    count = await connection.fetchval(f"SELECT count(*) FROM ({statement}) AS listed", org)  # noqa: S608
    keys = [[row["id"]] for row in rows]
    came_by_cursor = asked.cursor is not None
    answer = pages.answer(page, [shown(row) for row in rows], keys, came_by_cursor=came_by_cursor)
    return answer | {"count": {"value": count, "exact": True}}
