"""The read model that finds records: in clear, one row per record, made again when a person is forgotten.

Source and sink: table `lookup`; what is shown comes from the records themselves.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from services.audit.leaves import Readable
from services.audit.sentences import sentence
from services.kit.postgres import Connection

COLUMNS = ("org", "seq", "type", "outcome", "occurred_at", "actor", "target", "person", "ip", "text", "ids")
_LONGEST = 4_000


def row(record: Readable) -> tuple[Any, ...]:
    """The row of a record, by `COLUMNS`."""
    return (
        record.org,
        record.seq,
        record.type,
        record.outcome,
        datetime.fromisoformat(record.occurred_at),
        record.actor_id,
        record.target_id,
        record.person,
        address(record.data.get("ip")),
        _text(record),
        _ids(record),
    )


async def add(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table("lookup", records=rows, columns=COLUMNS)


async def replace(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows anew whose record can no longer be read in full: what is personal in them goes."""
    await connection.executemany(
        "UPDATE lookup SET ip = $3, text = $4 WHERE org = $1 AND seq = $2",
        [(r[0], r[1], r[8], r[9]) for r in rows],
    )


def address(text: Any) -> IPv4Address | IPv6Address | None:
    """An IP address without its zone; None for what is none."""
    return _parse(text.partition("%")[0]) if isinstance(text, str) else None


@lru_cache(maxsize=1024)
def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def fold(text: str) -> str:
    """Without case and accents, as both sides of a search are compared."""
    if text.isascii():
        return text.lower()
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def _text(record: Readable) -> str:
    reason = record.data.get("reason")
    parts = (sentence(record), reason, record.actor_name, record.target_name, record.type, record.code)
    return fold(" ".join(filter(None, parts)))[:_LONGEST]


def _ids(record: Readable) -> list[str]:
    """The ids by which the record is found: whole, for in the text they would be most of its index."""
    found = (
        record.id, record.event_id, record.actor_id, record.target_id, record.person, record.request_id,
        record.session_id,
    )  # fmt: skip
    return list(dict.fromkeys(filter(None, found)))
