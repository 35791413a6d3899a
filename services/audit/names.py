"""What users, roles and keys are called, learned from events: a record about someone says the name they had.

A name in clear; the row of a person goes when the key of that person does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from muster_contracts.events import Data

from services.audit.entries import Entry
from services.kit.postgres import Connection

_PRIMARY = {
    "user.created": "user", "user.renamed": "user", "user.deleted": "user",
    "role.created": "role", "role.changed": "role", "role.removed": "role",
    "api_key.created": "key", "api_key.revoked": "key",
    "organization.created": "organization", "organization.settings_changed": "organization",
}  # fmt: skip


def learn(entry: Entry, known: dict[str, str]) -> str | None:
    """Return what the entry's target is called at that moment, and take note of a name that it tells."""
    told = _told(entry)
    before = known.get(entry.target_id or "")
    if told and entry.target_id:
        known[entry.target_id] = told
    # A renamed person is told of by the old name, which the sentence puts beside the new one.
    return before or told


def _told(entry: Entry) -> str | None:
    if _PRIMARY.get(entry.type) is None:
        return None
    name: Any = entry.data.get("name")
    if isinstance(name, dict):
        name = cast("Data", name).get("new")
    return name if isinstance(name, str) and name else None


async def fetch(connection: Connection, ids: Iterable[str | None]) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT id, name FROM names WHERE id = ANY($1)", [id_ for id_ in ids if id_ is not None]
    )
    return {row["id"]: row["name"] for row in rows}


async def store(connection: Connection, names: Mapping[str, str], orgs: Mapping[str, str]) -> None:
    """Keep these names; `orgs` says whose each id is."""
    ids = sorted(names)
    await connection.execute(
        "INSERT INTO names (id, org, name) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        ids,
        [orgs[id_] for id_ in ids],
        [names[id_] for id_ in ids],
    )


async def forget(connection: Connection, id_: str) -> None:
    await connection.execute("DELETE FROM names WHERE id = $1", id_)
