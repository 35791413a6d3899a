"""Finding records: filters become one WHERE, pages are keysets, what is shown comes from the records.

Source: tables `lookup` (to find) and `records` (to show).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from services.audit import leaves
from services.audit.entries import DONE, READ
from services.audit.keys import Keys
from services.audit.leaves import Readable
from services.audit.lookup import fold
from services.kit.errors import Invalid
from services.kit.http import Query
from services.kit.ids import looks_like_id
from services.kit.pages import Page, Pages, Sort, parse_sort
from services.kit.positions import Opaque
from services.kit.postgres import Pool
from services.kit.times import QueryMoment

# NUL cannot be in any text of the database, so nothing could match it.
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Texts = Annotated[tuple[Text, ...], Field(max_length=50)]
EXACT_UP_TO = 10_000
SORTS = {
    "occurred_at": Sort("occurred_at", cast="timestamptz", nullable=False),
    "seq": Sort("seq", cast="bigint", nullable=False),
}


class Filters(Query):
    """What records are wanted: repeated values are alternatives, different filters all hold."""

    actor: Texts = ()
    target: Texts = ()
    type: Texts = ()
    outcome: Annotated[tuple[Literal["done", "refused", "failed"], ...], Field(max_length=50)] = ()
    ip: Texts = ()
    q: Text | None = None
    since: QueryMoment | None = None
    until: QueryMoment | None = None
    min_position: Annotated[str, Field(max_length=200)] | None = None

    def asked(self) -> list[str]:
        """Names of the filters that were given, for the record of the reading; values may be personal."""
        return sorted(self.model_fields_set - {"min_position", "limit", "cursor"})


class ListQuery(Filters):
    sort: str | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=2000)] | None = None


async def find(pool: Pool, keys: Keys, opaque: Opaque, org: str, query: ListQuery) -> dict[str, Any]:
    """One page: `data` (readable records), `next_cursor`, `previous_cursor`, `count`."""
    where, args = _where(org, query)
    sorts = parse_sort(query.sort, SORTS, "-seq")
    if len(sorts) > 1:
        raise Invalid("sort takes occurred_at or seq")
    asked = query.model_dump(mode="json", exclude={"limit", "cursor", "min_position"})
    pages = Pages(opaque, org, asked, sorts, Sort("seq", sorts[0].descending, "bigint", nullable=False))
    page = pages.page(query.cursor, query.limit, len(args) + 1)
    async with pool.acquire() as connection:
        rows = await connection.fetch(_listing(where, page), *args, *page.args)
        count = await connection.fetchval(_counting(where, EXACT_UP_TO + 1), *args)
    records = await _open(pool, keys, [row["leaf"] for row in rows])
    column = sorts[0].column
    values = [[_value(row[column]), row["seq"]] for row in rows]
    answer = pages.answer(page, records, values, came_by_cursor=query.cursor is not None)
    return answer | {"count": {"value": min(count, EXACT_UP_TO), "exact": count <= EXACT_UP_TO}}


async def get(pool: Pool, keys: Keys, org: str, id_: str) -> Readable | None:
    leaf = await pool.fetchval("SELECT leaf FROM records WHERE id = $1 AND org = $2", id_, org)
    return (await _open(pool, keys, [leaf]))[0] if leaf else None


async def count(pool: Pool, org: str, filters: Filters) -> int:
    where, args = _where(org, filters)
    return await pool.fetchval(_counting(where, None), *args)


async def _open(pool: Pool, keys: Keys, found: Iterable[bytes]) -> list[Readable]:
    records = [leaves.parse(leaf) for leaf in found]
    wanted = {key for record in records for key in leaves.keys_of(record)}
    async with pool.acquire() as connection:
        sealers = await keys.existing(connection, wanted)
    return [leaves.read(record, sealers) for record in records]


def _listing(where: str, page: Page) -> str:
    return (
        "SELECT seq, occurred_at, leaf FROM lookup JOIN records USING (org, seq)"  # noqa: S608 # ours
        f" WHERE {where} AND {page.where} ORDER BY {page.order} LIMIT {page.limit + 1}"
    )


def _counting(where: str, limit: int | None) -> str:
    bound = "" if limit is None else f" LIMIT {limit}"
    return f"SELECT count(*) FROM (SELECT 1 FROM lookup WHERE {where}{bound}) AS found"  # noqa: S608 # ours


def _value(value: Any) -> Any:
    return value if isinstance(value, int) else value.isoformat()


class _Terms:
    """What has to hold, as SQL and its arguments."""

    def __init__(self, org: str) -> None:
        self.sql, self.args = ["org = $1"], list[Any]([org])

    def add(self, term: str, value: Any) -> None:
        self.args.append(value)
        self.sql.append(term.replace("?", f"${len(self.args)}"))

    def one_of(self, column: str, values: Sequence[str]) -> None:
        """With one value an index gives the order of the page as well."""
        if len(values) == 1:
            self.add(f"{column} = ?", values[0])
        elif values:
            self.add(f"{column} = ANY(?)", list(values))

    def holds(self, q: str) -> None:
        words = fold(q).split()
        if q.strip() and not words:
            self.sql.append("false")  # accents alone: no text has any left
        for word in words:
            if looks_like_id(word):
                self.add("ids @> ARRAY[?]", word)
            else:
                self.add("text LIKE ?", f"%{_escaped(word)}%")


def _where(org: str, filters: Filters) -> tuple[str, list[Any]]:
    terms = _Terms(org)
    terms.one_of("actor", filters.actor)
    terms.one_of("type", filters.type)
    terms.one_of("outcome", filters.outcome)
    if not filters.type:  # a refused reading is a refusal like any other
        terms.add(f"(type <> ? OR outcome <> '{DONE}')", READ)
    if filters.outcome and DONE not in filters.outcome:
        terms.sql.append(f"outcome <> '{DONE}'")  # in the words of the index of what was not done
    if filters.target:
        either = "(target = ANY(?) OR person = ANY(?) AND person IS DISTINCT FROM target)"
        terms.add(either, list(filters.target))
    if filters.ip:
        terms.add("ip <<= ANY(?::inet[])", [_network(text) for text in filters.ip])
    if filters.q:
        terms.holds(filters.q)
    if filters.since:
        terms.add("occurred_at >= ?", filters.since)
    if filters.until:
        terms.add("occurred_at < ?", filters.until)
    return " AND ".join(terms.sql), terms.args


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise Invalid(
            "ip takes an address or a network",
            errors=[{"pointer": "/ip", "code": "ip", "detail": "such as 203.0.113.7 or 203.0.113.0/24"}],
        ) from None


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
