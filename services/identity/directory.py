"""The topic `muster.directory`: the current state of each user, and a tombstone for each one deleted.

A frozen leader of the relay may wake up and deliver a last batch, older than what its successor has written.
Readers ignore a lower version and whatever follows a tombstone, but a compacted topic keeps the last record
of a key. So the leader writes those users again as soon as the one that woke up tells of it. Lest it dies before:
a new leader writes again what changed around its cursor and the tombstones of a week, at once and an hour later;
and every tombstone goes out once more after an hour.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from muster_contracts.directory import DirectoryUser, directory_record, tombstone
from muster_contracts.envelope import Record
from muster_contracts.events import Ref

from services.identity.users.view import user_object
from services.kit.postgres import Connection
from services.kit.postgres import Record as Row
from services.kit.relay import PAGE, Publish
from services.kit.sql import named

SQL = named(__file__)
LOOK_BACK = 10_000
"""Positions before the cursor whose users a new leader writes again."""
TOMBSTONE_DAYS = 7
AGAIN_SECONDS = 3600.0
CHUNK = 500


class UserMissing(Exception):
    """A user has neither a row nor a deletion: a tombstone would be a lie that no reader could undo."""


class Directory:
    """Writes users to the topic, and remembers what has to be written once more."""

    def __init__(self, again_seconds: float = AGAIN_SECONDS) -> None:
        self._again_seconds = again_seconds
        self._again: deque[tuple[float, list[str]]] = deque()

    async def begin(self, connection: Connection, after: int, publish: Publish) -> None:
        """Write what a new leader has to, given the position of its cursor."""
        deleted = [
            row["stream"] for row in await connection.fetch(SQL["deleted_lately"], after, TOMBSTONE_DAYS)
        ]
        await _write(connection, [*await _changed(connection, after - LOOK_BACK, after), *deleted], publish)
        self._again.clear()
        # The last batch of the one before may hold a page that this one has not come to yet.
        self._remember([*await _changed(connection, after - LOOK_BACK, after + PAGE), *deleted])

    async def states(self, connection: Connection, users: Iterable[str]) -> list[Record]:
        """The state of these users as it is now, to be written; it may be newer than the event that led here.

        Raises:
            UserMissing: see there.
        """
        records = [record for chunk in _chunks(users) for record in await _states(connection, chunk)]
        self._remember([record.key.decode() for record in records if record.value is None])
        return records

    async def write_changed(self, connection: Connection, after: int, until: int, publish: Publish) -> None:
        """Write everybody who changed between two positions."""
        await _write(connection, await _changed(connection, after, until), publish)

    async def write_all(self, connection: Connection, publish: Publish) -> None:
        """Write everybody, for a topic that is empty; tombstones are not missed there."""
        after = ""
        while users := [row["id"] for row in await connection.fetch(SQL["everybody"], after, CHUNK)]:
            await _write(connection, users, publish)
            after = users[-1]

    async def write_again(self, connection: Connection, publish: Publish) -> None:
        """Write what is due once more."""
        while self._again and self._again[0][0] <= time.monotonic():
            await _write(connection, self._again[0][1], publish)
            self._again.popleft()

    def _remember(self, users: list[str]) -> None:
        if users:
            self._again.append((time.monotonic() + self._again_seconds, users))


async def _write(connection: Connection, users: Iterable[str], publish: Publish) -> None:
    for chunk in _chunks(users):
        await publish(await _states(connection, chunk))


def _chunks(users: Iterable[str]) -> Iterator[list[str]]:
    wanted = list(dict.fromkeys(users))
    return (wanted[start : start + CHUNK] for start in range(0, len(wanted), CHUNK))


async def _states(connection: Connection, users: list[str]) -> list[Record]:
    living = {row["id"]: _record(row) for row in await connection.fetch(SQL["users"], users)}
    gone = await _tombstones(connection, [user for user in users if user not in living])
    return [*living.values(), *gone]


async def _changed(connection: Connection, after: int, until: int) -> list[str]:
    return [row["stream"] for row in await connection.fetch(SQL["changed"], after, until)]


async def _tombstones(connection: Connection, users: list[str]) -> list[Record]:
    if not users:
        return []
    rows = await connection.fetch(SQL["deleted"], users)
    found = {row["stream"]: tombstone(row["stream"], row["org"]) for row in rows}
    if missing := sorted(set(users) - found.keys()):
        raise UserMissing(f"{missing[0]} has neither a row nor a deletion: run `muster rebuild users`")
    return list(found.values())


def _record(row: Row) -> Record:
    user = user_object(dict(row), Ref(id=row["role"], name=row["role_name"]))
    return directory_record(
        DirectoryUser.model_validate(user | {"organization": row["org"], "epoch": row["epoch"]})
    )
