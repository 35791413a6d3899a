"""Tables that are filled from the log: rows in and out as plain objects, many in one statement.

A read model is named by its table, so that a rebuild may fill another table of the same shape beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.kit.postgres import Connection, Record


@dataclass(frozen=True, slots=True)
class Table:
    """A table with key `id`, and its other columns; names are ours, never a caller's text."""

    name: str
    columns: tuple[str, ...]

    async def load(self, connection: Connection, ids: Sequence[str]) -> dict[str, Record]:
        """The rows with these ids, by id, locked: two events about one person need not share a head (a rename,
        a sign-in), and the process that folds its own second must see what the first made of the row.
        """
        rows = await connection.fetch(
            f"SELECT * FROM {self.name} WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE",  # noqa: S608
            ids,
        )
        return {row["id"]: row for row in rows}

    async def save(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Insert or replace whole rows (JSON values; times as RFC 3339)."""
        if not rows:
            return
        names = ", ".join(f'"{column}"' for column in ("id", *self.columns))
        changes = ", ".join(f'"{column}" = excluded."{column}"' for column in self.columns)
        await connection.execute(
            f"INSERT INTO {self.name} ({names}) SELECT {names} "  # noqa: S608
            f"FROM jsonb_populate_recordset(NULL::{self.name}, $1::jsonb) "
            f"ON CONFLICT (id) DO UPDATE SET {changes}",
            rows,
        )

    async def remove(self, connection: Connection, ids: Sequence[str]) -> None:
        if ids:
            await connection.execute(f"DELETE FROM {self.name} WHERE id = ANY($1::text[])", ids)  # noqa: S608
