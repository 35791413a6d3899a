"""Table `api_keys`: one row a live key; its token's hash is in the vault."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from muster_contracts.api_keys import ApiKeyCreated, ApiKeyRevoked

from services.identity.readmodel import Table
from services.identity.store import Fact
from services.kit.postgres import Connection
from services.kit.times import rfc3339

API_KEYS = Table(
    "api_keys",
    ("org", "name", "permissions", "user", "service", "service_name", "created_at", "expires_at", "version"),
)
EVENTS = (ApiKeyCreated, ApiKeyRevoked)


async def project(connection: Connection, facts: Sequence[tuple[str, Fact]], table: Table = API_KEYS) -> None:
    """Fold these events, in log order, into the rows of their keys."""
    rows: dict[str, dict[str, Any] | None] = {}
    for org, fact in facts:
        event = fact.event
        if isinstance(event, ApiKeyCreated):
            rows[event.key] = row_of(org, event, fact.occurred_at) | {"version": fact.version}
        elif isinstance(event, ApiKeyRevoked):
            rows[event.key] = None
    await table.remove(connection, [key for key, row in rows.items() if row is None])
    await table.save(connection, [row for row in rows.values() if row is not None])


def row_of(org: str, event: ApiKeyCreated, at: datetime) -> dict[str, Any]:
    """The row of a new key, as JSON values."""
    return {
        "id": event.key,
        "org": org,
        "name": event.name,
        "permissions": list(event.permissions),
        "user": event.user,
        "service": event.service.id if event.service else None,
        "service_name": event.service.name if event.service else None,
        "created_at": rfc3339(at),
        "expires_at": rfc3339(event.expires_at),
    }
