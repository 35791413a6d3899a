"""The relay on a real database and a real broker: whatever dies, nothing is skipped and no order is lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence

import pytest
from muster_contracts.envelope import Record
from muster_contracts.events import Change
from muster_contracts.users import UserRenamed

from services.identity.directory import Directory
from services.identity.relay import IdentityLog
from services.kit.leader import LeadershipLost, Timing
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection
from services.kit.relay import PAGE, Health, Positioned, Relay, take_over
from services.kit.sealing import MasterKeys
from tests.support.identity_log import new_master
from tests.support.identity_place import (
    DIRECTORY,
    USERS,
    Place,
    open_place,
    positions,
    renaming,
    sequences,
    until,
)
from tests.support.plain_kafka import Read
from tests.support.servers import KafkaServer, PostgresServer


@pytest.fixture
async def place(postgres_server: PostgresServer, kafka_server: KafkaServer) -> AsyncIterator[Place]:
    async with open_place(postgres_server, kafka_server) as place:
        yield place


async def test_a_stranger_reads_each_event_with_exactly_the_promised_headers(place: Place):
    user = await place.log.create_user()
    before = time.time() * 1000
    last = await place.log.append(
        UserRenamed(user=user, name=Change(old="Ada Lovelace", new="Ada King")), reason="she married"
    )
    async with place.relay().running():
        await place.published(last)
    created, renamed = await place.read(USERS, lambda found: len(found) == 2)

    assert created.key == renamed.key == user
    assert set(renamed.headers) == {
        "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_dataschema", "ce_subject", "ce_partitionkey",
        "ce_sequence", "ce_time", "ce_recordedtime", "ce_correlationid", "ce_authtype", "ce_authid",
        "ce_dataclassification", "ce_org", "ce_action", "ce_position", "ce_epoch", "content-type",
    }  # fmt: skip
    assert renamed.headers["ce_type"] == "muster.user.renamed"
    assert renamed.headers["ce_source"] == "/muster/identity"
    assert renamed.headers["ce_sequence"] == "2"
    assert renamed.headers["ce_position"] == str(last)
    assert renamed.headers["ce_authtype"] == "app_user"
    assert renamed.headers["ce_dataclassification"] == "personal"
    assert renamed.timestamp >= before - 1000
    assert json.loads(renamed.value or b"") == {
        "user": user,
        "name": {"old": "Ada Lovelace", "new": "Ada King"},
        "actor": {"type": "user", "id": place.log.admin, "name": "Grace Hopper"},
        "ip": "203.0.113.7",
        "user_agent": "curl/8",
        "reason": "she married",
    }


async def test_events_of_many_users_keep_their_order_and_come_once(place: Place):
    users = [await place.log.create_user(f"Person {n}") for n in range(20)]
    last = 0
    async with place.relay().running():
        for n in range(10):
            last = await place.log.append(*_renamings(users, n))
        await place.published(last)
    records = await place.read(USERS, lambda found: len(found) >= last)
    assert sorted(int(r.headers["ce_position"]) for r in records) == list(range(1, last + 1))
    assert all(numbers == list(range(1, 12)) for numbers in sequences(records).values())


async def test_a_long_log_is_published_page_after_page_in_order_and_once(place: Place):
    users, last = [await place.log.create_user() for _ in range(10)], 0
    for n in range(25):
        last = await place.log.append(*(renaming(user, f"{n}") for user in users * 10))
    assert last > 2 * PAGE
    async with place.relay().running():
        await place.published(last)
    records = await place.read(USERS, lambda found: len(found) >= last)
    assert sorted(positions(records)) == list(range(1, last + 1))
    assert all(numbers == list(range(1, 252)) for numbers in sequences(records).values())


async def test_a_page_larger_than_a_batch_arrives_in_order(place: Place):
    user = await place.log.create_user()
    long = "x" * 400_000
    last = await place.log.append(*(renaming(user, f"{long}{n}") for n in range(6)))
    async with place.relay().running():
        await place.published(last)
    records = await place.read(USERS, lambda found: len(found) >= last)
    assert sequences(records) == {user: list(range(1, 8))}


async def test_a_broker_that_is_killed_and_comes_back_gets_everything_in_order(place: Place):
    users = [await place.log.create_user() for _ in range(5)]
    relay, last = place.relay(), 0
    async with relay.running():
        for n in range(3):
            await place.log.append(*_renamings(users, n))
            place.kafka.kill()
            for more in range(20):
                await place.log.append(*_renamings(users, more))
            assert not (await relay.health()).ready
            place.kafka.start()
            last = await place.log.append(*_renamings(users, 99))
            await place.published(last, 60)
        assert (await relay.health()).ready
    records = await place.read(USERS, lambda found: len(set(positions(found))) >= last)
    assert sorted(positions(records)) == list(range(1, last + 1))
    assert all(numbers == sorted(numbers) for numbers in sequences(records).values())


async def test_a_relay_that_starts_while_kafka_is_down_says_so_and_begins_when_it_is_back(place: Place):
    place.kafka.stop()
    relay = place.relay()
    try:
        last = await place.log.rename(await place.log.create_user(), "Ada King")
        async with relay.running():
            await until(lambda: _fails(relay))
            health = await relay.health()
            assert (health.ready, health.kafka) == (False, False)
            place.kafka.start()
            await place.published(last)
            await until(lambda: _is_ready(relay))
    finally:
        if not (await place.relay().health()).kafka:
            place.kafka.start()


async def test_a_lost_database_connection_ends_the_term_and_skips_nothing(place: Place):
    users, last = [await place.log.create_user() for _ in range(5)], 0
    async with place.relay().running():
        for n in range(3):
            await place.published(await place.log.append(*_renamings(users, n)))
            await place.log.connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'identity' AND datname = current_database()"
            )
            last = await place.log.append(*_renamings(users, n))
        await place.published(last)
    records = await place.read(USERS, lambda found: len(set(positions(found))) >= last)
    assert sorted(positions(records)) == list(range(1, last + 1))


async def test_a_leader_of_an_earlier_term_cannot_move_the_cursor(place: Place):
    old = await take_over(place.log.connection, "identity")
    await old.move(place.log.connection, 3)
    new = await take_over(place.log.connection, "identity")
    assert (new.position, new.epoch) == (3, old.epoch + 1)
    with pytest.raises(LeadershipLost):
        await old.move(place.log.connection, 4)
    assert await place.cursor() == 3


async def test_of_two_relays_one_leads_and_the_other_takes_over_when_it_ends(place: Place):
    first, second = place.relay(), place.relay()
    async with second.running():
        async with first.running():
            await until(lambda: _both_placed(first, second))
        last = await place.log.rename(await place.log.create_user(), "Ada King")
        await place.published(last)


async def test_an_unreadable_event_stops_the_relay_and_nothing_behind_it_is_published(place: Place):
    before = await place.log.rename(await place.log.create_user(), "Ada King")
    bad = await place.log.rename(await place.log.create_user(), "Ada Byron") - 1
    await place.log.connection.execute("UPDATE events SET type = 'user.unheard_of' WHERE position = $1", bad)
    relay = place.relay()
    async with relay.running():
        await until(lambda: _fails(relay))
        health = await relay.health()
        assert not health.ready
        assert f"position {bad} cannot be read: unknown event user.unheard_of" in (health.problem or "")
        assert await place.cursor() == bad - 1, "what comes before it has gone out"
        await place.log.connection.execute("UPDATE events SET type = 'user.created' WHERE position = $1", bad)
        await place.published(bad + 1)
    assert before < bad


async def test_a_missing_position_is_never_passed_over(place: Place):
    await place.log.create_user()
    last = await place.log.create_user()
    await place.log.connection.execute("DELETE FROM events WHERE position = 1")
    relay = place.relay()
    async with relay.running():
        await until(lambda: _fails(relay))
        assert "position 1 cannot be read" in ((await relay.health()).problem or "")
    assert await place.cursor() == 0
    assert last


async def test_another_master_key_is_refused_by_the_canary(place: Place):
    await place.log.keys.check_canary(place.log.connection)
    relay = place.relay(master=new_master())
    await place.log.create_user()
    async with relay.running():
        await until(lambda: _fails(relay))
        assert "MUSTER_KEYS__MASTER" in ((await relay.health()).problem or "")
    assert await place.cursor() == 0


async def test_the_directory_holds_the_newest_state_and_a_tombstone_for_the_deleted(place: Place):
    ada, bob = await place.log.create_user(), await place.log.create_user("Bob")
    await place.log.rename(ada, "Ada King")
    async with place.relay().running():
        await place.published(await place.log.delete(bob))
    records = await place.read(DIRECTORY, lambda found: {ada, bob} <= {r.key for r in found})
    newest = {record.key: record for record in records}
    assert newest[bob].value is None
    for record in newest.values():
        assert record.headers == {"content-type": "application/json", "ce_org": place.log.org}
    state = json.loads(newest[ada].value or b"")
    assert state.pop("created_at").endswith("Z")
    assert state == {
        "id": ada, "email": f"{ada}@acme.example", "name": "Ada King", "username": None, "phone": None,
        "timezone": None, "role": {"id": place.log.role.id, "name": "Member"}, "status": "active",
        "mfa": {"status": "not_enabled", "factors": []}, "labels": ["blue"], "password_changed_at": None,
        "version": 2, "organization": place.log.org, "epoch": 1,
    }  # fmt: skip


async def test_a_new_leader_writes_the_directory_again_and_once_more_later(place: Place):
    ada, bob = await place.log.create_user(), await place.log.create_user("Bob")
    last = await place.log.delete(bob)
    async with place.relay().running():
        await place.published(last)
    async with place.relay(again_seconds=0.5).running():
        records = await place.read(DIRECTORY, lambda found: len(found) >= 6)
    assert [[record.value is None for record in records if record.key == user] for user in (ada, bob)] == [
        [False] * 3,
        [True] * 3,
    ]


async def test_what_an_overtaken_leader_delivers_late_is_written_again(place: Place):
    """The first leader is slow between reading a state and publishing it, and does not hear that it leads no more."""
    ada = await place.log.create_user()
    slow = Slow(PersonKeys(MasterKeys.parse(place.log.master)), Directory())
    deaf = Timing(heartbeat=60.0, frozen=1.0)
    first = Relay(place.url, place.kafka.bootstrap, slow, name="identity", timing=deaf)
    async with first.running():
        await asyncio.wait_for(slow.has_read.wait(), 30)
        async with place.relay().running():
            last = await place.log.rename(ada, "Ada King")
            await place.published(last)
            slow.goes_on.set()
            records = await place.read(DIRECTORY, lambda found: _versions(found)[-3:] == [2, 1, 2])
    assert _versions(records)[0] == 2  # written by the second one before the first has published
    assert await place.log.connection.fetchval("SELECT overtaken FROM relay_cursor") is None


async def test_a_tombstone_goes_out_once_more_later(place: Place):
    ada = await place.log.create_user()
    async with place.relay(again_seconds=0.5).running():
        await place.published(1)  # a new leader would tell a deletion that it finds as well
        await place.published(await place.log.delete(ada))
        records = await place.read(DIRECTORY, lambda found: _tombstones(found) >= 2)
    assert _tombstones(records) == 2


async def test_a_user_whose_row_is_gone_without_a_deletion_gets_no_tombstone(place: Place):
    ada = await place.log.create_user()
    await place.log.connection.execute("DELETE FROM users WHERE id = $1", ada)
    relay = place.relay()
    async with relay.running():
        await until(lambda: _fails(relay))
        assert "neither a row nor a deletion" in ((await relay.health()).problem or "")
    assert await place.cursor() == 0


class Slow(IdentityLog):
    """Reads the state of a page and waits before it is published."""

    def __init__(self, keys: PersonKeys, directory: Directory) -> None:
        super().__init__(keys, directory)
        self.has_read, self.goes_on = asyncio.Event(), asyncio.Event()

    async def beside(self, connection: Connection, page: Sequence[Positioned]) -> list[Record]:
        records = await super().beside(connection, page)
        self.has_read.set()
        await self.goes_on.wait()
        return records


def _versions(records: list[Read]) -> list[int]:
    return [json.loads(record.value or b"")["version"] for record in records]


def _tombstones(records: list[Read]) -> int:
    return sum(record.value is None for record in records)


def _renamings(users: list[str], n: int) -> list[UserRenamed]:
    return [renaming(user, f"Person {n}") for user in users]


async def _fails(relay: Relay) -> bool:
    return (await relay.health()).problem is not None


async def _is_ready(relay: Relay) -> bool:
    return (await relay.health()).ready


async def _both_placed(*relays: Relay) -> bool:
    states: list[Health] = [await relay.health() for relay in relays]
    return {state.role for state in states if state.ready} == {"leading", "standing_by"}
