"""The users table: what is asked stands in the address, so that Back, a reload and a copied link show the same."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.responses import Response

from services.console.gateway_client import Json, Problem
from services.console.routes import add
from services.console.visit import HOME, Visit
from services.kit.ids import is_id
from services.kit.times import rfc3339

COLUMNS = (
    ("name", "Name"),
    ("email", "Email"),
    ("role", "Role"),
    ("status", "Status"),
    ("last_sign_in_at", "Last sign-in"),
    ("created_at", "Created"),
)
NEWEST_FIRST = frozenset({"last_sign_in_at", "created_at"})
DEFAULT_SORT = "-created_at"
SIZES = ("25", "50", "100", "200")
DEFAULT_SIZE = "50"
FILTERS = ("q", "role", "status", "mfa", "label", "last_sign_in")
TABLE = "/_/users/table"


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address of this page asks for; `first` is the number of the page's first row."""

    q: str = ""
    role: str = ""
    status: str = ""
    mfa: str = ""
    label: str = ""
    last_sign_in: str = ""
    sort: str = DEFAULT_SORT
    limit: str = DEFAULT_SIZE
    cursor: str = ""
    first: int = 1

    @classmethod
    def of(cls, query: QueryParams) -> Asked:
        given = {name: query.get(name, "").strip() for name in (*FILTERS, "cursor")}
        sort, limit, first = query.get("sort", ""), query.get("limit", ""), query.get("first", "")
        return cls(
            **given,
            sort=sort if sort.removeprefix("-") in dict(COLUMNS) else DEFAULT_SORT,
            limit=limit if limit in SIZES else DEFAULT_SIZE,
            first=_number(first) if given["cursor"] else 1,
        )

    def query(self, **changes: Any) -> str:
        """The query of an address that asks the same, with these changes; only what is no default is in it."""
        asked = replace(self, **changes)
        values = {name: getattr(asked, name) for name in (*FILTERS, "sort", "limit", "cursor", "first")}
        usual = {"sort": DEFAULT_SORT, "limit": DEFAULT_SIZE, "first": 1}
        kept = {name: value for name, value in values.items() if value and value != usual.get(name)}
        return f"?{urlencode(kept)}" if kept else ""

    def sorted_by(self, column: str) -> str:
        """The query of the same rows in the order that a click on this column gives."""
        first, second = (f"-{column}", column) if column in NEWEST_FIRST else (column, f"-{column}")
        return self.query(sort=second if self.sort == first else first, cursor="", first=1)

    def direction(self, column: str) -> str | None:
        if self.sort.removeprefix("-") != column:
            return None
        return "descending" if self.sort.startswith("-") else "ascending"

    @property
    def is_filtered(self) -> bool:
        return any(getattr(self, name) for name in FILTERS)

    def params(self, now: datetime) -> list[tuple[str, str]]:
        """The query of `GET /v1/users` that answers this."""
        names = ("q", "role", "status", "mfa", "label", "sort", "limit", "cursor")
        params = [(name, value) for name in names if (value := getattr(self, name))]
        if self.last_sign_in == "never":
            params.append(("last_sign_in", "never"))
        elif re.fullmatch(r"[0-9]{1,4}", self.last_sign_in):
            # The start of a day: a cursor belongs to the very same filter.
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
            params.append(("last_sign_in_before", rfc3339(midnight - timedelta(days=int(self.last_sign_in)))))
        return params


def _number(text: str) -> int:
    """A number that is not absurd; 1 for anything else."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,7}", text) else 1


@dataclass(frozen=True, slots=True)
class Found:
    """A page of people, and where its neighbors are."""

    rows: list[Json]
    total: int
    is_exact: bool
    first: int
    before: str | None
    after: str | None

    @property
    def last(self) -> int:
        return self.first + len(self.rows) - 1


async def find(visit: Visit) -> Found:
    """Raises Problem: a filter that the API does not know, or the missing permission."""
    asked = Asked.of(visit.request.query_params)
    page = await visit.get("/v1/users", asked.params(datetime.now(UTC)))
    rows: list[Json] = page["data"]
    size, before, after = int(asked.limit), page["previous_cursor"], page["next_cursor"]
    return Found(
        rows, page["count"]["value"], page["count"]["exact"], asked.first if asked.cursor else 1,
        before and asked.query(cursor=before, first=max(1, asked.first - size)),
        after and asked.query(cursor=after, first=asked.first + len(rows)),
    )  # fmt: skip


async def table(visit: Visit) -> Response:
    """The table alone. What was typed replaces the address, what was chosen is a step of its own for Back."""
    asked = Asked.of(visit.request.query_params)
    is_typed = visit.request.headers.get("hx-trigger") == "q"
    where = {"HX-Replace-Url" if is_typed else "HX-Push-Url": HOME + asked.query()}
    if "again" in visit.request.query_params:
        where = {}
    return visit.fragment("users/table.html", where, **await values(visit, asked))


async def page(visit: Visit) -> Response:
    asked = Asked.of(visit.request.query_params)
    asked_for = visit.request.query_params.get("user", "")
    shown, roles = await asyncio.gather(values(visit, asked), roles_of(visit))
    return visit.page(
        "users/page.html", roles=roles, open_user=asked_for if is_id(asked_for, "usr") else None, **shown
    )


async def values(visit: Visit, asked: Asked) -> Json:
    """What the table shows; a filter that cannot be followed is told in it."""
    shown: Json = {"asked": asked, "columns": COLUMNS, "found": None, "refusal": None}
    try:
        shown["found"] = await visit.early
    except Problem as problem:
        if problem.status != 400:  # noqa: PLR2004
            raise
        shown["refusal"] = problem.detail
    return shown


async def roles_of(visit: Visit) -> list[Json]:
    """The roles of the organization, none for who may not read them."""
    return (await visit.get("/v1/roles", [("limit", "200")]))["data"] if visit.may("roles.read") else []


def add_pages(app: FastAPI) -> None:
    add(app, "GET", HOME, page, early=find)
    add(app, "GET", TABLE, table, early=find)
