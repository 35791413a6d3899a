"""What happened to a person, as rows for people: from identity's own log, without addresses."""

from __future__ import annotations

from typing import Any

from muster_contracts.envelope import Envelope

from services.identity import log
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection
from services.kit.times import rfc3339

MOST = 50


def row_of(envelope: Envelope) -> dict[str, Any]:
    """An event as `{id, type, at, actor{id,name}, reason, fields{name:{old,new}}}`; erased values are null."""
    data = envelope.data
    fields = {
        name: {"old": value["old"], "new": value["new"]}
        for name, value in data.items()
        if isinstance(value, dict) and value.keys() >= {"old", "new"}
    }
    actor = data["actor"]
    return {
        "id": envelope.id,
        "type": envelope.type,
        "at": rfc3339(envelope.time),
        "actor": {"id": actor["id"], "name": actor["name"]},
        "reason": data.get("reason"),
        "fields": fields,
    }


async def changes_since(
    connection: Connection, keys: PersonKeys, user: str, version: int
) -> list[dict[str, Any]]:
    """What happened to a person after `version`, oldest first: `changes[]` of a stale `If-Match`.

    Source: table `events`, stream `usr_…`.
    """
    envelopes = await log.read_stream(connection, keys, user, version + 1, MOST)
    rows = [row_of(envelope) for envelope in envelopes]
    return [{"type": r["type"], "at": r["at"], "by": r["actor"], "fields": r["fields"]} for r in rows]
