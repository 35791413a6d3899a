"""Keys of persons in a real table: fetched at once, remembered for a while, refused under a wrong master key."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.kit import persons
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection, connect
from services.kit.sealing import MasterKeys, WrongKey
from tests.support.identity_log import new_master
from tests.support.servers import PostgresServer


@pytest.fixture
async def connection(postgres_server: PostgresServer) -> AsyncIterator[Connection]:
    name = postgres_server.create_migrated_database("identity")
    connection = await connect(postgres_server.url(name, "identity"))
    yield connection
    await connection.close()
    postgres_server.drop_database(name)


@pytest.fixture
def master() -> MasterKeys:
    return MasterKeys.parse(new_master())


async def store(connection: Connection, keys: PersonKeys, owner: str) -> bytes:
    key = keys.new(owner)
    await connection.execute(
        "INSERT INTO person_keys (id, master, wrapped, created_at) VALUES ($1, $2, $3, now())",
        key.id, key.master, key.wrapped,
    )  # fmt: skip
    return key.sealer.seal(b"hello", "greeting")


async def destroy(connection: Connection, owner: str) -> None:
    await connection.execute("UPDATE person_keys SET wrapped = NULL WHERE id = $1", owner)


async def test_a_stored_key_opens_what_it_sealed_and_others_are_none(
    connection: Connection, master: MasterKeys
):
    sealed = await store(connection, PersonKeys(master), "usr_1")
    await store(connection, PersonKeys(master), "usr_2")
    await destroy(connection, "usr_2")
    found = await PersonKeys(master).fetch(connection, ["usr_1", "usr_2", "usr_3"])
    assert found.keys() == {"usr_1", "usr_2", "usr_3"}
    assert found["usr_1"]
    assert found["usr_1"].open(sealed, "greeting") == b"hello"
    assert (found["usr_2"], found["usr_3"]) == (None, None)


async def test_a_key_is_remembered_until_it_is_forgotten(connection: Connection, master: MasterKeys):
    keys = PersonKeys(master)
    await store(connection, keys, "usr_1")
    await keys.fetch(connection, ["usr_1"])
    await destroy(connection, "usr_1")
    assert (await keys.fetch(connection, ["usr_1"]))["usr_1"] is not None
    keys.forget("usr_1")
    assert await keys.fetch(connection, ["usr_1"]) == {"usr_1": None}


async def test_a_key_is_remembered_for_a_limited_time(
    connection: Connection, master: MasterKeys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(persons, "CACHED_SECONDS", -1.0)
    keys = PersonKeys(master)
    await store(connection, keys, "usr_1")
    await keys.fetch(connection, ["usr_1"])
    await destroy(connection, "usr_1")
    assert await keys.fetch(connection, ["usr_1"]) == {"usr_1": None}


async def test_the_memory_holds_the_keys_used_last(
    connection: Connection, master: MasterKeys, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(persons, "CACHED_KEYS", 2)
    keys = PersonKeys(master)
    for owner in ("usr_1", "usr_2", "usr_3"):
        await store(connection, keys, owner)
    await keys.fetch(connection, ["usr_1"])
    await keys.fetch(connection, ["usr_2"])
    await keys.fetch(connection, ["usr_1"])
    await keys.fetch(connection, ["usr_3"])
    await connection.execute("UPDATE person_keys SET wrapped = NULL")
    found = await keys.fetch(connection, ["usr_1", "usr_2", "usr_3"])
    assert [owner for owner, sealer in found.items() if sealer] == ["usr_1", "usr_3"]


async def test_a_new_key_is_not_remembered_before_it_is_stored(connection: Connection, master: MasterKeys):
    keys = PersonKeys(master)
    keys.new("usr_1")
    assert await keys.fetch(connection, ["usr_1"]) == {"usr_1": None}


async def test_the_canary_lets_the_same_key_and_a_rotated_one_in(connection: Connection):
    old, new = new_master("old"), new_master("new")
    for setting in (old, old, f"{new},{old}", f"{new},{old}"):
        await PersonKeys(MasterKeys.parse(setting)).check_canary(connection)
    assert {row["master"] for row in await connection.fetch("SELECT master FROM canary")} == {"old", "new"}


async def test_the_canary_refuses_another_key_of_the_same_name(connection: Connection):
    await PersonKeys(MasterKeys.parse(new_master())).check_canary(connection)
    with pytest.raises(WrongKey, match="'m1' in MUSTER_KEYS__MASTER is not the one"):
        await PersonKeys(MasterKeys.parse(new_master())).check_canary(connection)


async def test_the_canary_refuses_a_start_without_the_old_key(connection: Connection):
    await PersonKeys(MasterKeys.parse(new_master("old"))).check_canary(connection)
    with pytest.raises(WrongKey, match="'old': add it to MUSTER_KEYS__MASTER"):
        await PersonKeys(MasterKeys.parse(new_master("new"))).check_canary(connection)
    assert [row["master"] for row in await connection.fetch("SELECT master FROM canary")] == ["old"]
