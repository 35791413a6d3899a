"""Keyset pages: stable while rows are added, in any sort order, forwards and back.

SQL orders by `(column IS NULL), column, …, id`, so that nulls come last in both directions of sorting.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.kit.errors import Invalid
from services.kit.positions import Opaque


@dataclass(frozen=True, slots=True)
class Sort:
    column: str
    """An SQL expression of ours, never a caller's text."""
    descending: bool = False
    cast: str = "text"
    """SQL type that the value of a cursor is cast to."""
    nullable: bool = True
    """False lets an index give the order, and find a page by its first row."""


def parse_sort(text: str | None, columns: dict[str, Sort], default: str) -> list[Sort]:
    """Read `-created_at,name` against the sortable columns.

    Raises:
        Invalid: a column that cannot be sorted by.
    """
    chosen: list[Sort] = []
    for part in (text or default).split(","):
        name = part.removeprefix("-")
        if name not in columns:
            raise Invalid(f"sort knows {', '.join(sorted(columns))}")
        known = columns[name]
        chosen.append(Sort(known.column, part.startswith("-"), known.cast, known.nullable))
    return chosen


@dataclass(frozen=True, slots=True)
class Page:
    """What to append to a query so that it answers one page; `limit` rows and one more are asked for."""

    where: str
    order: str
    args: list[Any]
    limit: int
    backwards: bool


@dataclass(frozen=True, slots=True)
class Pages:
    """Pages of one list: its sort order (a unique column last is added) and the query that cursors belong to."""

    opaque: Opaque
    org: str
    query: Any
    sorts: list[Sort]
    tie: Sort

    def page(self, cursor: str | None, limit: int, first_arg: int) -> Page:
        """The page after (or before) `cursor`; `first_arg` is the number of the first free SQL parameter."""
        direction, values = "next", None
        if cursor is not None:
            read = self.opaque.read_cursor(self.org, self.query, cursor)
            direction, values = read[0], read[1:]
        backwards = direction == "previous"
        terms = [*self.sorts, self.tie]
        order = ", ".join(_order(term, backwards) for term in terms)
        where, args = "true", []
        if values is not None:
            where, args = _after(terms, values, backwards, first_arg)
        return Page(where, order, args, limit, backwards)

    def answer(self, page: Page, rows: list[Any], keys: list[list[Any]], *, came_by_cursor: bool) -> Any:
        """The rows of the page in list order, with `next_cursor` and `previous_cursor`.

        Args:
            page: what was asked.
            rows: at most `limit` + 1 answers, in the order of the query.
            keys: the sort values of each row (JSON values), id last.
            came_by_cursor: whether a page before (or after, going back) is known to exist.
        """
        more = len(rows) > page.limit
        rows, keys = rows[: page.limit], keys[: page.limit]
        if page.backwards:
            rows, keys = rows[::-1], keys[::-1]
        has_next = came_by_cursor if page.backwards else more
        has_previous = more if page.backwards else came_by_cursor
        return {
            "data": rows,
            "next_cursor": self._cursor("next", keys[-1]) if keys and has_next else None,
            "previous_cursor": self._cursor("previous", keys[0]) if keys and has_previous else None,
        }

    def _cursor(self, direction: str, values: list[Any]) -> str:
        return self.opaque.cursor(self.org, self.query, [direction, *values])


def _order(term: Sort, backwards: bool) -> str:
    order = f"{term.column} {'DESC' if term.descending != backwards else 'ASC'}"
    if not term.nullable:
        return order
    return f"({term.column}) IS NULL {'DESC' if backwards else 'ASC'}, {order}"


def _after(terms: list[Sort], values: list[Any], backwards: bool, first_arg: int) -> tuple[str, list[Any]]:
    """Rows that sort after these values: equal in the first terms, greater in the next, for each length."""
    if not any(t.nullable for t in terms) and len({t.descending for t in terms}) == 1:
        return _after_row(terms, values, backwards, first_arg)
    alternatives: list[str] = []
    equal: list[str] = []
    args: list[Any] = []
    for term, value in zip(terms, values, strict=True):
        parameter = f"${first_arg + len(args)}::text::{term.cast}"
        args.append(None if value is None else str(value))
        greater = f"{term.column} {'<' if term.descending != backwards else '>'} {parameter}"
        if value is None:
            step = f"({term.column}) IS NOT NULL" if backwards else "false"
        else:
            step = greater if backwards else f"({greater} OR ({term.column}) IS NULL)"
        alternatives.append(" AND ".join([*equal, step]))
        equal.append(f"({term.column}) IS NOT DISTINCT FROM {parameter}")
    return "(" + " OR ".join(f"({a})" for a in alternatives) + ")", args


def _after_row(
    terms: list[Sort], values: list[Any], backwards: bool, first_arg: int
) -> tuple[str, list[Any]]:
    """The same where one comparison of rows says it, which an index can follow."""
    columns = ", ".join(t.column for t in terms)
    parameters = ", ".join(f"${first_arg + n}::text::{t.cast}" for n, t in enumerate(terms))
    args = [str(value) for _, value in zip(terms, values, strict=True)]
    return f"({columns}) {'<' if terms[0].descending != backwards else '>'} ({parameters})", args
