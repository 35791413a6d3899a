"""What users, roles and keys are called, learned from events: a record about someone says the name they had.

A name in clear; the row of a person goes when the key of that person does. A name is known in its own
organization only: whoever tries something on an id of another one does not learn whose it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from muster_contracts.events import Data

from services.audit.entries import Entry
from services.kit.postgres import Connection

Names = dict[tuple[str, str], str]
"""Organization and id → name."""

_PRIMARY = {
    "user.created": "user", "user.renamed": "user", "user.deleted": "user",
    "role.created": "role", "role.changed": "role", "role.removed": "role",
    "api_key.created": "key", "api_key.revoked": "key",
    "organization.created": "organization", "organization.settings_changed": "organization",
}  # fmt: skip


def learn(entry: Entry, known: Names) -> str | None:
    """Return what the entry's target is called at that moment, and take note of a name that it tells."""
    if not entry.target_id:
        return None
    told, place = _told(entry), (entry.org, entry.target_id)
    before = known.get(place)
    if told:
        known[place] = told
    # A renamed person is told of by the old name, which the sentence puts beside the new one.
    return before or told


def _told(entry: Entry) -> str | None:
    if _PRIMARY.get(entry.type) is None:
        return None
    name: Any = entry.data.get("name")
    if isinstance(name, dict):
        name = cast("Data", name).get("new")
    return name if isinstance(name, str) and name else None


async def fetch(connection: Connection, wanted: Iterable[tuple[str, str | None]]) -> Names:
    """The names of these (organization, id), as far as they are known."""
    places = [(org, id_) for org, id_ in wanted if id_ is not None]
    rows = await connection.fetch(
        "SELECT org, id, name FROM names JOIN unnest($1::text[], $2::text[]) AS w (org, id) USING (org, id)",
        [org for org, _ in places],
        [id_ for _, id_ in places],
    )
    return {(row["org"], row["id"]): row["name"] for row in rows}


async def store(connection: Connection, names: Names) -> None:
    """Keep these names."""
    places = sorted(names, key=lambda place: place[1])
    await connection.execute(
        "INSERT INTO names (id, org, name) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name WHERE names.org = excluded.org",
        [id_ for _, id_ in places],
        [org for org, _ in places],
        [names[place] for place in places],
    )


async def forget(connection: Connection, id_: str) -> None:
    await connection.execute("DELETE FROM names WHERE id = $1", id_)
