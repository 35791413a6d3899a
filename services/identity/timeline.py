"""What happened to a person, as rows for people: from identity's own log, without addresses."""

from __future__ import annotations

from typing import Any

from muster_contracts.envelope import Envelope

from services.identity import log
from services.kit.pages import Pages, Sort
from services.kit.persons import PersonKeys
from services.kit.positions import Opaque
from services.kit.postgres import Database
from services.kit.times import rfc3339

MOST = 50
LAST_SEQUENCE = 2**31 - 1
EXACT_UP_TO = 1_000
NEWEST_FIRST = Sort("position", descending=True, cast="bigint", nullable=False)


def row_of(envelope: Envelope) -> dict[str, Any]:
    """An event as `{id, type, at, actor{id,name}, reason, fields{name:{old,new}}}`.

    Erased values are null, and an erased actor says so (`"erased": true`).
    """
    data = envelope.data
    fields: dict[str, Any] = {
        name: value for name, value in data.items() if isinstance(value, dict) and {"old", "new"} <= {*value}
    }
    actor = data["actor"]
    return {
        "id": envelope.id,
        "type": envelope.type,
        "at": rfc3339(envelope.time),
        "actor": {name: actor[name] for name in ("id", "name", "erased") if name in actor},
        "reason": data.get("reason"),
        "fields": fields,
    }


async def changes_since(
    connection: Database, keys: PersonKeys, user: str, version: int
) -> list[dict[str, Any]]:
    """What happened to a person after `version`, oldest first: `changes[]` of a stale `If-Match`.

    Source: table `events`, stream `usr_…`.
    """
    after = min(version, LAST_SEQUENCE - 1)  # what a client says that it has seen may be any number
    envelopes = await log.read_stream(connection, keys, user, after + 1, MOST)
    rows = [row_of(envelope) for envelope in envelopes]
    return [{"type": r["type"], "at": r["at"], "by": r["actor"], "fields": r["fields"]} for r in rows]


async def page_of(
    connection: Database,
    keys: PersonKeys,
    opaque: Opaque,
    org: str,
    user: str,
    cursor: str | None,
    limit: int,
) -> dict[str, Any]:
    """A page of what happened to a person and of what they did to others, newest first.

    Raises:
        Invalid, CursorMismatch: the cursor is none of ours, or of another person's timeline.

    Source: table `events`; refused attempts are audit's, not the timeline's.
    """
    pages = Pages(opaque, org, ["timeline", user], [], NEWEST_FIRST)
    page = pages.page(cursor, limit, 3)
    end = f"AND {page.where} ORDER BY {page.order} LIMIT {limit + 1}"
    found = await connection.fetch(
        f"(SELECT * {_ON} {end}) UNION ALL (SELECT * {_BY} {end}) ORDER BY {page.order} LIMIT {limit + 1}",
        user, org, *page.args,
    )  # fmt: skip
    rows = [row_of(envelope) for envelope in await log.envelopes(connection, keys, found)]
    most = EXACT_UP_TO + 1
    counted = f"SELECT 1 {_ON} LIMIT {most}) UNION ALL (SELECT 1 {_BY} LIMIT {most}"
    count = await connection.fetchval(f"SELECT count(*) FROM (({counted})) x", user, org)  # noqa: S608
    answer = pages.answer(page, rows, [[row["position"]] for row in found], came_by_cursor=cursor is not None)
    return answer | {"count": {"value": min(count, EXACT_UP_TO), "exact": count <= EXACT_UP_TO}}


_ON = "FROM events WHERE target_user = $1 AND org = $2 AND type <> 'attempt.refused'"
_BY = (
    "FROM events WHERE actor_id = $1 AND org = $2 AND type <> 'attempt.refused'"
    " AND target_user IS DISTINCT FROM $1"
)
