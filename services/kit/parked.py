"""Poison: records that cannot be applied however often they are read; put aside, listed, tried again.

Parking happens in the transaction that moves on past the record, so nothing is lost and nothing waits.

Source: table `parked` of the service's own database (`consumer.sql`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import asyncpg
from muster_contracts.envelope import Envelope, from_record
from muster_contracts.errors import Undecodable, UnknownEvent
from muster_contracts.topics import ATTEMPTS, ORGANIZATIONS, USERS

from services.kit.postgres import Connection, Pool, Record

FROM_IDENTITY = frozenset({USERS.name, ORGANIZATIONS.name, ATTEMPTS.name})
"""Topics that identity's relay alone writes to: a position that others name says nothing of its log."""
_NUMBER = re.compile(rb"[0-9]{1,18}")
Headers = tuple[tuple[str, bytes | None], ...]

DATA_ERRORS = (
    Undecodable,
    UnknownEvent,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
)
"""What a record can be guilty of. All else (connections, deadlocks, rights, a missing table) is ours."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A record as it came; partition, offset and timestamp are None where it was fetched from identity."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    partition: int | None = None
    offset: int | None = None
    timestamp_ms: int | None = None

    def position(self) -> int | None:
        """The record's place in identity's log, if it comes from there and its header can be read."""
        for name, value in self.headers if self.topic in FROM_IDENTITY else ():
            if name == "ce_position" and value is not None and _NUMBER.fullmatch(value):
                return int(value)
        return None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A record that could be read."""

    envelope: Envelope
    raw: Raw


def decode(records: Iterable[Raw]) -> tuple[list[Decoded], list[tuple[Raw, Exception]]]:
    """The readable ones in their order, and the poison with what is wrong with each."""
    good: list[Decoded] = []
    bad: list[tuple[Raw, Exception]] = []
    for raw in records:
        try:
            good.append(Decoded(from_record(raw.topic, raw.key, raw.value, raw.headers), raw))
        except DATA_ERRORS as error:
            bad.append((raw, error))
    return good, bad


def describe(error: Exception) -> str:
    """What went wrong, without any value of the record: a database's message would repeat it."""
    if isinstance(error, asyncpg.PostgresError):
        place = error.constraint_name or error.column_name or error.table_name or ""
        return f"{type(error).__name__} {error.sqlstate} {place}".rstrip()
    if isinstance(error, (Undecodable, UnknownEvent)):
        return f"{type(error).__name__}: {error}".replace("\0", "")[:500]
    return type(error).__name__


async def park(connection: Connection, poison: Iterable[tuple[Raw, Exception]]) -> None:
    """Put records aside; call it in the transaction that moves on past them."""
    await connection.executemany(
        'INSERT INTO parked (topic, partition, "offset", key, value, headers, position, error)'
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [
            (r.topic, r.partition, r.offset, r.key, r.value, _to_json(r.headers), r.position(), describe(e))
            for r, e in poison
        ],
    )


async def forget(connection: Connection, persons: list[str]) -> None:
    """Blank what is parked under these record keys; whoever erases a person calls it."""
    await connection.execute(
        "UPDATE parked SET value = NULL, headers = '[]', resolved_at = coalesce(resolved_at, now())"
        " WHERE key = ANY($1) AND value IS NOT NULL",
        [person.encode() for person in persons],
    )


async def is_asked(pool: Pool) -> bool:
    """Whether somebody wants any of them tried again."""
    return await pool.fetchval(
        "SELECT EXISTS (SELECT FROM parked WHERE retry_at IS NOT NULL AND resolved_at IS NULL)"
    )


async def asked_again(connection: Connection, limit: int) -> list[tuple[int, Raw]]:
    """Parked records that somebody wants tried again, oldest first, locked for this transaction."""
    rows = await connection.fetch(
        "SELECT * FROM parked WHERE retry_at IS NOT NULL AND resolved_at IS NULL"
        " ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED",
        limit,
    )
    return [(row["id"], raw_of(row)) for row in rows]


async def resolved(connection: Connection, id_: int) -> None:
    await connection.execute(
        "UPDATE parked SET resolved_at = now(), retry_at = NULL, key = NULL, value = NULL, headers = '[]'"
        " WHERE id = $1",
        id_,
    )


async def failed_again(connection: Connection, id_: int, error: Exception) -> None:
    await connection.execute(
        "UPDATE parked SET retry_at = NULL, error = $2 WHERE id = $1", id_, describe(error)
    )


def raw_of(row: Record) -> Raw:
    return Raw(
        row["topic"], row["key"], row["value"], _from_json(row["headers"]), row["partition"], row["offset"]
    )


def _to_json(headers: Headers) -> list[Any]:
    # A header's name may hold what PostgreSQL cannot keep as text (NUL, half a surrogate pair).
    return [
        [_name(name), None if value is None else base64.b64encode(value).decode()] for name, value in headers
    ]


def _name(name: str) -> str:
    return name.encode("utf-8", "replace").decode().replace("\0", "?")


def _from_json(headers: Any) -> Headers:
    return tuple((name, None if value is None else base64.b64decode(value)) for name, value in headers)
