"""Reading the log: rows of `events` as the envelopes that are published, and the way into such a row.

What an event says about persons is stored sealed, in two parts: `target` under the key of the person that it
is about, `actor` under the key of who did it. A part is bound to its event and place and opens nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muster_contracts import registry
from muster_contracts.envelope import Envelope
from muster_contracts.errors import UnknownEvent
from muster_contracts.events import Data
from muster_contracts.personal import Parts, join

from services.kit.persons import PersonKeys
from services.kit.postgres import Database, Record
from services.kit.sealing import Sealer, WrongKey
from services.kit.sql import named

SQL = named(__file__)
SOURCE = "/muster/identity"
AUTH_TYPES = {
    "user": "app_user",
    "service": "api_key",
    "system": "system",
    "operator": "user",
    "anonymous": "unauthenticated",
}

Sealers = dict[str, Sealer | None]


class UnreadableEvent(Exception):
    """A row of the log that this code cannot read: it is older than the row, or lacks the right keys."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"the event at position {position} cannot be read: {reason}")
        self.position = position


@dataclass(frozen=True, slots=True)
class Sealed:
    """An event's data as the row keeps it; a part is None where there is nothing in it."""

    open: Data
    target: bytes | None
    actor: bytes | None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log; `epoch` is raised when it was restored from a backup."""

    position: int
    epoch: int


def seal(event_id: str, parts: Parts, target: Sealer | None, actor: Sealer | None) -> Sealed:
    """Seal the personal parts of an event under the keys of its persons.

    Args:
        event_id: what the parts are bound to.
        parts: of `muster_contracts.personal.split`.
        target: of the person that the event is about; None: destroyed, and with it what it would seal.
        actor: of who did it, likewise.
    """
    return Sealed(
        parts.open,
        target.seal_json(parts.target, f"{event_id}:target") if target and parts.target else None,
        actor.seal_json(parts.actor, f"{event_id}:actor") if actor and parts.actor else None,
    )


async def head(connection: Database) -> Head:
    """Where the log ends now."""
    row = await connection.fetchrow(SQL["head"])
    return Head(row["position"], row["epoch"]) if row else Head(0, 0)


async def read(connection: Database, keys: PersonKeys, after: int, limit: int) -> list[Envelope]:
    """Return events in log order, oldest first; positions are dense and none comes late.

    Args:
        connection: no transaction needed.
        keys: of the persons; asked once for the page.
        after: position already handled; 0 for the start.
        limit: at most this many.

    Raises:
        UnreadableEvent: a type that this code does not know, or a part that its key does not open.

    Source: table `events`, written only by the store.
    """
    return await envelopes(connection, keys, await connection.fetch(SQL["read"], after, limit))


async def read_stream(
    connection: Database, keys: PersonKeys, stream: str, from_version: int, limit: int
) -> list[Envelope]:
    """Return the events of one stream from a version (`ce_sequence`) on; else as `read`."""
    return await envelopes(
        connection, keys, await connection.fetch(SQL["read_stream"], stream, from_version, limit)
    )


async def position_before(connection: Database, milliseconds: int) -> int:
    """The last position that was recorded longer ago than that; 0 where all is younger."""
    return await connection.fetchval(SQL["position_before"], milliseconds / 1000) or 0


async def envelopes(connection: Database, keys: PersonKeys, rows: Sequence[Record]) -> list[Envelope]:
    """Return the events in these rows of `events`; raises UnreadableEvent as `read` does."""
    owners = {row[column] for row in rows for column in ("target_key", "actor_key")} - {None}
    sealers = await keys.fetch(connection, owners)
    return [envelope(row, sealers) for row in rows]


def envelope(row: Record, sealers: Sealers) -> Envelope:
    """Return the event in a row of `events`.

    Args:
        row: with all columns.
        sealers: of the row's `target_key` and `actor_key`; None: destroyed, what it sealed shows as erased.

    Raises:
        UnreadableEvent: see `read`.
    """
    try:
        return _envelope(row, sealers)
    except (UnknownEvent, WrongKey) as error:
        raise UnreadableEvent(row["position"], str(error)) from error
    except (LookupError, ValueError, TypeError) as error:
        raise UnreadableEvent(row["position"], type(error).__name__) from error


def _envelope(row: Record, sealers: Sealers) -> Envelope:
    type_, version, data = row["type"], row["schema_version"], row["open"]
    kind = registry.find(type_, version)
    return Envelope(
        id=row["id"],
        source=SOURCE,
        type=type_,
        version=version,
        subject=row["stream"],
        partition_key=row["org"] if kind.topic.key == "organization" else data["user"],
        sequence=row["version"],
        time=row["occurred_at"],
        recorded_time=row["recorded_at"],
        correlation_id=row["request_id"] or None,
        causation_id=row["causation_id"],
        traceparent=row["traceparent"],
        auth_type="api_key" if row["key_id"] else AUTH_TYPES.get(row["actor_type"], row["actor_type"]),
        auth_id=row["actor_id"],
        data_classification="internal" if row["target"] is None and row["actor"] is None else "personal",
        org=row["org"],
        action=row["action"],
        position=row["position"],
        epoch=row["epoch"],
        data=join(type_, version, data, _part(row, "target", sealers), _part(row, "actor", sealers)),
    )


def _part(row: Record, name: str, sealers: Sealers) -> Data | None:
    owner, sealed = row[f"{name}_key"], row[name]
    if owner is None:
        return {}
    sealer = sealers[owner]
    if sealer is None:
        return None
    return sealer.open_json(sealed, f"{row['id']}:{name}") if sealed is not None else {}
