"""Identity's database, filled by hand, beside a Kafka with all topics: where the relay works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from muster_contracts.events import Change
from muster_contracts.topics import ALL
from muster_contracts.users import UserRenamed

from services.identity.directory import Directory
from services.identity.relay import IdentityLog
from services.kit import topics
from services.kit.persons import PersonKeys
from services.kit.postgres import connect
from services.kit.relay import Relay
from services.kit.sealing import MasterKeys
from tests.support.identity_log import LogWriter
from tests.support.plain_kafka import Read, read_until
from tests.support.servers import KafkaServer, PostgresServer

USERS, DIRECTORY = "muster.users", "muster.directory"


@dataclass
class Place:
    url: str
    admin_url: str
    kafka: KafkaServer
    log: LogWriter

    def relay(self, *, again_seconds: float = 3600, master: str | None = None) -> Relay:
        keys = PersonKeys(MasterKeys.parse(master or self.log.master))
        source = IdentityLog(keys, Directory(again_seconds))
        return Relay(self.url, self.kafka.bootstrap, source, name="identity")

    async def cursor(self) -> int:
        return await self.log.connection.fetchval("SELECT position FROM relay_cursor") or 0

    async def published(self, position: int, seconds: float = 30) -> None:
        """Wait until the cursor is there."""
        await until(lambda: self._is_past(position), seconds)

    async def read(self, topic: str, enough: Callable[[list[Read]], Any]) -> list[Read]:
        return await read_until(self.kafka.bootstrap, [topic], self.log.org, enough)

    async def _is_past(self, position: int) -> bool:
        return await self.cursor() >= position


@asynccontextmanager
async def open_place(postgres: PostgresServer, kafka: KafkaServer) -> AsyncIterator[Place]:
    await topics.create(kafka.bootstrap, ALL)
    name = postgres.create_migrated_database("identity")
    connection = await connect(postgres.url(name))
    try:
        yield Place(
            postgres.url(name, "identity"), postgres.url(name), kafka, await LogWriter(connection).begin()
        )
    finally:
        await connection.close()
        postgres.drop_database(name)


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


def renaming(user: str, name: str) -> UserRenamed:
    return UserRenamed(user=user, name=Change(old=None, new=name))


def positions(records: list[Read]) -> list[int]:
    """Of the first occurrence of each event, in the order of reading."""
    seen: dict[str, int] = {}
    for record in records:
        seen.setdefault(record.headers["ce_id"], int(record.headers["ce_position"]))
    return list(seen.values())


def sequences(records: list[Read]) -> dict[str, list[int]]:
    """Stream → sequence of the first occurrence of each event, in the order of the partition."""
    found: dict[str, dict[int, None]] = {}
    for record in records:
        found.setdefault(record.headers["ce_subject"], {})[int(record.headers["ce_sequence"])] = None
    return {stream: list(numbers) for stream, numbers in found.items()}
