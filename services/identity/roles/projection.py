"""Table `roles`: one row a role; a built-in one is marked, and its permissions are those of the release."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from muster_contracts.roles import RoleChanged, RoleCreated, RoleEvent, RoleRemoved

from services.identity.readmodel import Table
from services.identity.store import Fact
from services.kit.postgres import Connection
from services.kit.times import rfc3339

ROLES = Table("roles", ("org", "builtin", "name", "description", "permissions", "created_at", "version"))
EVENTS = (RoleEvent,)

Row = dict[str, Any]


async def project(connection: Connection, facts: Sequence[tuple[str, Fact]], table: Table = ROLES) -> None:
    """Fold these events, in log order, into the rows of their roles."""
    mine = [(org, fact, fact.event) for org, fact in facts if isinstance(fact.event, RoleEvent)]
    if not mine:
        return
    loaded = await table.load(connection, sorted({event.role for _, _, event in mine}))
    rows: dict[str, Row | None] = {
        key: {**row, "created_at": rfc3339(row["created_at"])} for key, row in loaded.items()
    }
    for org, fact, event in mine:
        after = evolve(rows.get(event.role), org, event, fact.occurred_at)
        rows[event.role] = after | {"version": fact.version} if after else None
    await table.remove(connection, [key for key, row in rows.items() if row is None])
    await table.save(connection, [row for row in rows.values() if row is not None])


def evolve(row: Row | None, org: str, event: RoleEvent, at: datetime) -> Row | None:
    """The row after this event, as JSON values; None once removed."""
    match event:
        case RoleCreated(role=id_):
            fields = event.model_dump(exclude={"role"}) | {"builtin": event.builtin}
            return fields | {"id": id_, "org": org, "created_at": rfc3339(at)}
        case RoleChanged() if row is not None:
            changes = event.model_dump(exclude={"role"})
            return row | {name: change["new"] for name, change in changes.items()}
        case RoleRemoved():
            return None
        case _:
            return row
