"""A long log, made quickly: the rows that commands would have led to, copied in, some 20,000 a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import asyncpg

from services.identity.log import Sealers
from services.kit.ids import new_id
from services.kit.persons import PersonKeys
from services.kit.sealing import MasterKeys
from tests.bench.place import Muster, rename
from tests.support.identity import Org, Place

CHUNK = 10_000
_PARTS = ("target", "actor")
_HEADS = """
WITH last AS (SELECT stream, max(version) AS version FROM events WHERE stream = ANY($1) GROUP BY stream),
     users AS (UPDATE users u SET version = l.version FROM last l WHERE u.id = l.stream)
UPDATE heads h SET version = l.version FROM last l WHERE h.id = l.stream
"""


async def fill(running: Muster, place: Place, org: Org, people: list[str], until: int) -> None:
    """Rename these people by one command, then again and again by rows, until the log is as long as that."""
    await rename(place, org, people, f"Someone {time.monotonic_ns()}")
    connection = await asyncpg.connect(running.settings.databases.identity_owner.get_secret_value())
    made = await _Maker.prepare(running, connection, people)
    for first in range(made.position + 1, until + 1, CHUNK):
        rows = list(made.rows(first, min(CHUNK, until + 1 - first)))
        async with connection.transaction():
            await connection.copy_records_to_table("events", records=rows, columns=made.columns)
            await connection.execute("UPDATE log_head SET position = $1", first + len(rows) - 1)
            await connection.execute(_HEADS, people)
    await connection.execute("VACUUM ANALYZE events, users, heads")  # else it is done amid the measurement
    await connection.close()


class _Maker:
    """Makes a row after the last rename of each person, with its parts sealed for its own id."""

    def __init__(self, found: list[asyncpg.Record], sealers: Sealers, position: int) -> None:
        self.columns, self.position = list(found[0].keys()), position
        self._sealers = sealers
        self._last = [dict(row) for row in found]
        self._plain = [[self._open(row, part) for part in _PARTS] for row in self._last]

    @classmethod
    async def prepare(cls, running: Muster, connection: Any, people: list[str]) -> _Maker:
        found = await connection.fetch(
            "SELECT DISTINCT ON (stream) * FROM events WHERE stream = ANY($1) ORDER BY stream, version DESC",
            people,
        )
        keys = PersonKeys(MasterKeys.parse(running.settings_of("identity").keys.master.get_secret_value()))
        owners = {row[f"{part}_key"] for row in found for part in _PARTS}
        position = await connection.fetchval("SELECT position FROM log_head")
        return cls(found, await keys.fetch(connection, owners), position)

    def rows(self, first: int, count: int) -> Iterator[tuple[Any, ...]]:
        for position in range(first, first + count):
            number = position % len(self._last)
            row, id_ = self._last[number], new_id("evt")
            row |= {"position": position, "id": id_, "version": row["version"] + 1}
            for part, plain in zip(_PARTS, self._plain[number], strict=True):
                row[part] = self._sealer(row, part).seal(plain, f"{id_}:{part}")
            yield tuple(row.values())

    def _open(self, row: dict[str, Any], part: str) -> bytes:
        return self._sealer(row, part).open(row[part], f"{row['id']}:{part}")

    def _sealer(self, row: dict[str, Any], part: str) -> Any:
        return self._sealers[row[f"{part}_key"]]
