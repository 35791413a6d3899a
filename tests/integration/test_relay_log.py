"""Pages of the log, as the relay and identity's internal routes read them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.identity import log
from services.identity.log import Head, UnreadableEvent
from services.kit.persons import PersonKeys
from services.kit.postgres import connect
from services.kit.sealing import MasterKeys, WrongKey
from tests.support.identity_log import LogWriter, new_master
from tests.support.identity_place import renaming
from tests.support.servers import PostgresServer


@pytest.fixture
async def writer(postgres_server: PostgresServer) -> AsyncIterator[LogWriter]:
    name = postgres_server.create_migrated_database("identity")
    connection = await connect(postgres_server.url(name))
    yield await LogWriter(connection).begin()
    await connection.close()
    postgres_server.drop_database(name)


async def test_pages_follow_each_other_in_log_order(writer: LogWriter):
    users = [await writer.create_user() for _ in range(3)]
    last = await writer.append(*(renaming(user, "Ada") for user in users))
    pages = [await log.read(writer.connection, writer.keys, after, 4) for after in (0, 4, 6)]
    assert [[event.position for event in page] for page in pages] == [[1, 2, 3, 4], [5, 6], []]
    assert await log.head(writer.connection) == Head(position=last, epoch=1)


async def test_a_stream_is_read_from_a_version_on(writer: LogWriter):
    ada, bob = await writer.create_user(), await writer.create_user()
    await writer.append(renaming(ada, "A"), renaming(bob, "B"), renaming(ada, "C"))
    found = await log.read_stream(writer.connection, writer.keys, ada, 2, 10)
    assert [(event.sequence, event.data["name"]["new"]) for event in found] == [(2, "A"), (3, "C")]


async def test_the_events_of_a_person_whose_key_is_destroyed_are_still_read(writer: LogWriter):
    ada = await writer.create_user()
    await writer.rename(ada, "Ada King")
    await writer.destroy_key(ada)
    created, renamed = await log.read(writer.connection, writer.keys, 0, 10)
    assert (created.data["email"], created.erased, renamed.data["name"]) == (
        None,
        True,
        {"old": None, "new": None},
    )
    assert renamed.stamp().actor.name == "Grace Hopper"


async def test_a_missing_master_key_stops_the_reading(writer: LogWriter):
    await writer.create_user()
    strangers = PersonKeys(MasterKeys.parse(new_master("other")))
    with pytest.raises(WrongKey):
        await log.read(writer.connection, strangers, 0, 10)


async def test_a_damaged_part_is_unreadable(writer: LogWriter):
    await writer.create_user()
    await writer.connection.execute("UPDATE events SET target = target || '\\x00'::bytea")
    with pytest.raises(UnreadableEvent, match="position 1 "):
        await log.read(writer.connection, writer.keys, 0, 10)
