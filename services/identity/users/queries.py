"""The table of people: search, filters, any sort order, keyset pages. Source: tables users and roles.

Every order has an index that gives it (migration 0003), so that a page of a hundred thousand people is found
in milliseconds; free text is found by trigrams.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from muster_contracts.events import Ref
from pydantic import Field, StringConstraints

from services.identity.users.projection import searchable
from services.identity.users.view import user_object
from services.kit.errors import NotFound
from services.kit.http import Query
from services.kit.ids import is_id
from services.kit.pages import Page, Pages, Sort, parse_sort
from services.kit.positions import Opaque
from services.kit.postgres import Connection, Database, Record
from services.kit.sql import named
from services.kit.times import QueryMoment

SQL = named(__file__)
EXACT_UP_TO, FOUND_UP_TO = 10_000, 2_000
"""Above so many, or so many that a text finds, the count is a guess, and says so: counting a hundred thousand rows,
or reading all their texts, takes longer than a page.
"""


# NUL cannot be in any text of the database, so nothing could match it.
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Texts = Annotated[tuple[Text, ...], Field(max_length=50)]


class PageQuery(Query):
    limit: int = Field(default=50, ge=1, le=200)
    cursor: Annotated[str, Field(max_length=4000)] | None = None


class ListQuery(PageQuery):
    """Repeated values are alternatives, different filters all hold."""

    q: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")] | None = None
    role: Texts = ()
    status: Annotated[tuple[Literal["active", "inactive", "invited"], ...], Field(max_length=50)] = ()
    mfa: Annotated[tuple[Literal["enabled", "not_enabled"], ...], Field(max_length=50)] = ()
    label: Texts = ()
    last_sign_in: Literal["never"] | None = None
    last_sign_in_before: QueryMoment | None = None
    created_since: QueryMoment | None = None
    sort: Annotated[str, Field(max_length=200)] | None = None


MFA = "(CASE WHEN u.factors <> '[]'::jsonb OR u.recovery_codes > 0 THEN 'enabled' ELSE 'not_enabled' END)"
NEVER = "coalesce(u.last_sign_in_at, '{}infinity'::timestamptz)"
COLUMNS = {
    "name": Sort("left(u.search, 200)", nullable=False),
    "email": Sort("lower(u.email)", nullable=False),
    "username": Sort("lower(u.username)"),
    "role": Sort("r.name", nullable=False),
    "status": Sort("u.status", nullable=False),
    "mfa": Sort(MFA, nullable=False),
    "created_at": Sort("u.created_at", cast="timestamptz", nullable=False),
    "last_sign_in_at": Sort(NEVER, cast="timestamptz", nullable=False),
    "password_changed_at": Sort("u.password_changed_at", cast="timestamptz"),
}
DEFAULT_SORT = "-created_at"


@dataclass(slots=True)
class _Where:
    """Conditions on `u`, with their arguments; the first one is always the organization."""

    org: str
    terms: list[str] = field(default_factory=lambda: ["u.org = $1"])
    args: list[Any] = field(default_factory=list[Any])

    def __post_init__(self) -> None:
        self.args.append(self.org)

    def add(self, term: str, value: Any) -> None:
        self.args.append(value)
        self.terms.append(term.replace("?", f"${len(self.args)}"))

    def __str__(self) -> str:
        return " AND ".join(self.terms)


async def find(connection: Connection, opaque: Opaque, org: str, query: ListQuery) -> dict[str, Any]:
    """One page: `data` (users), `next_cursor`, `previous_cursor`, `count`.

    Raises:
        Invalid, CursorMismatch: the sort order or the cursor is none of ours, or belongs to another query.
    """
    sorts = [_nulls_last(sort) for sort in parse_sort(query.sort, COLUMNS, DEFAULT_SORT)]
    asked = query.model_dump(mode="json", exclude={"limit", "cursor"})
    pages = Pages(opaque, org, asked, sorts, Sort("u.id", sorts[0].descending, nullable=False))
    async with connection.transaction():
        # A plan for these very values: one for all of them would read the wrong index half of the time.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        where = await _where(connection, org, query)
        page = pages.page(query.cursor, query.limit, len(where.args) + 1)
        rows = await connection.fetch(_listing(where, page, [*sorts, pages.tie]), *where.args, *page.args)
        count = await _count(connection, where, FOUND_UP_TO if query.q else EXACT_UP_TO)
    keys = [[row[f"key_{n}"] for n in range(len(sorts) + 1)] for row in rows]
    answer = pages.answer(page, [_shown(row) for row in rows], keys, came_by_cursor=query.cursor is not None)
    return answer | {"count": count}


async def get(connection: Database, org: str, user: str) -> dict[str, Any]:
    """The user as shown. Raises NotFound: unknown, deleted, or of another organization."""
    row = await connection.fetchrow(SQL["user"], user, org) if is_id(user, "usr") else None
    if row is None:
        raise NotFound
    return _shown(row)


async def check_exists(connection: Database, org: str, user: str) -> None:
    """Raises NotFound, as `get` does."""
    if not (is_id(user, "usr") and await connection.fetchval(SQL["exists"], user, org)):
        raise NotFound


def _shown(row: Record) -> dict[str, Any]:
    return user_object(dict(row), Ref(id=row["role"], name=row["role_name"]))


def _nulls_last(sort: Sort) -> Sort:
    return replace(sort, column=sort.column.replace("{}", "-" if sort.descending else ""))


def _listing(where: _Where, page: Page, terms: list[Sort]) -> str:
    keys = ", ".join(f"({term.column})::text AS key_{n}" for n, term in enumerate(terms))
    end = f"ORDER BY {page.order} LIMIT {page.limit + 1}"
    if terms[0].column != COLUMNS["role"].column:
        return (
            f"SELECT u.*, r.name AS role_name, {keys} FROM users u JOIN roles r ON r.id = u.role "  # noqa: S608
            f"WHERE {where} AND {page.where} {end}"
        )
    # By role: a page of each, then the first of all these; sorting everybody by a joined name takes too long. For a
    # range the order by role is no constant, so that the index of roles gives it, and not that of ids, role by role.
    own = end.replace(terms[0].column, "u.role")
    each = f"SELECT u.* FROM users u WHERE u.role BETWEEN r.id AND r.id AND {where} AND {page.where} {own}"  # noqa: S608
    return (
        f"SELECT u.*, r.name AS role_name, {keys} "  # noqa: S608
        f"FROM roles r CROSS JOIN LATERAL ({each}) u WHERE r.org = $1 {end}"
    )


async def _count(connection: Database, where: _Where, most: int) -> dict[str, Any]:
    """How many match: counted up to a bound, beyond it as the planner guesses."""
    matching = f"SELECT 1 FROM users u WHERE {where}"  # noqa: S608
    bounded = f"SELECT count(*) FROM ({matching} LIMIT {most + 1}) x"  # noqa: S608
    found: int = await connection.fetchval(bounded, *where.args)
    if found <= most:
        return {"value": found, "exact": True}
    plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {matching}", *where.args))
    return {"value": max(found, round(plan[0]["Plan"]["Plan Rows"])), "exact": False}


async def _where(connection: Database, org: str, query: ListQuery) -> _Where:
    where = _Where(org)
    await _add_text(connection, where, query.q or "")
    if query.role:
        roles = [row["id"] for row in await connection.fetch(SQL["roles_named"], org, query.role)]
        where.add("u.role = ANY(?::text[])", roles)
    if query.status:
        where.add("u.status = ANY(?::text[])", query.status)
    if query.mfa:
        where.add(f"{MFA} = ANY(?::text[])", query.mfa)
    if query.label:
        where.add("u.labels && ?::text[]", query.label)
    if query.last_sign_in:
        where.add(f"{NEVER.format('')} = ?::text::timestamptz", "infinity")
    if query.last_sign_in_before:
        where.add(f"{NEVER.format('')} < ?::timestamptz", query.last_sign_in_before)
    if query.created_since:
        where.add("u.created_at >= ?::timestamptz", query.created_since)
    return where


async def _add_text(connection: Database, where: _Where, q: str) -> None:
    """Free text: every word somewhere in name, e-mail or username; an id: the person whom it leads to."""
    id_ = q.strip().lower()
    if is_id(id_, id_[:3]):
        where.add("u.id = ANY(?::text[])", await _people_of(connection, id_))
        return
    for word in searchable(q).split():
        where.add(r"u.search LIKE ? ESCAPE '\'", f"%{_escaped(word)}%")


async def _people_of(connection: Database, id_: str) -> list[str]:
    statement = LEADS_TO_PEOPLE.get(id_[:3])
    if statement is None:
        return [id_]
    return [row["id"] for row in await connection.fetch(SQL[statement], id_)]


LEADS_TO_PEOPLE = {
    "ses": "of_stream", "key": "of_stream", "att": "of_stream", "evt": "of_event", "req": "of_request",
    "act": "of_action", "kil": "of_kill", "fac": "of_factor", "ipr": "of_rule", "lnk": "of_link",
}  # fmt: skip


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
