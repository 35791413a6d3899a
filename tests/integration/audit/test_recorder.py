"""What is recorded, once and for ever."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

from services.audit import leaves
from services.kit.ids import new_id
from services.kit.postgres import connect
from tests.integration.audit.world import Log, World, raw
from tests.support.servers import PostgresServer


async def test_every_event_and_refusal_is_one_record_with_seq_dense_from_0(world: World) -> None:
    log = world.log
    log.create(log.ben, "Ben Miller")
    log.deactivate(log.ben, reason="left the company")
    log.refuse("user.delete", "last_administrator", log.ada)
    await world.receive()
    records = await world.found()
    assert [r["seq"] for r in records] == [0, 1, 2]
    assert [r["type"] for r in records] == ["user.created", "user.deactivated", "user.delete"]
    assert [r["outcome"] for r in records] == ["done", "done", "refused"]
    second = records[1]
    assert second["sentence"] == "Ada Owner deactivated Ben Miller."
    assert second["actor"] == {"type": "user", "id": log.ada, "name": "Ada Owner"}
    assert second["target"] == {"type": "user", "id": log.ben, "name": "Ben Miller"}
    assert (second["ip"], second["user_agent"]) == ("203.0.113.7", "Browser/1")
    assert second["reason"] == "left the company"
    assert second["changes"] == {"status": {"old": "active", "new": "inactive"}}
    assert second["occurred_at"] == "2026-11-24T08:00:02.000000Z"
    assert records[2]["code"] == "last_administrator"


async def test_an_event_that_comes_again_makes_no_second_record(world: World) -> None:
    first = world.log.create(world.log.ben, "Ben Miller")
    await world.receive(first)
    await world.receive(first, first)
    await asyncio.gather(*(world.receive(first) for _ in range(4)))
    assert [r["seq"] for r in await world.found()] == [0]


async def test_writers_of_one_org_at_the_same_time_leave_no_gap(world: World) -> None:
    for number in range(120):
        world.log.create(new_id("usr"), f"Person {number}")
    parts = [world.log.records[n : n + 15] for n in range(0, 120, 10)]  # they overlap
    await asyncio.gather(*(world.receive(*part) for part in parts))
    rows = await world.pool.fetch("SELECT seq FROM records WHERE org = $1 ORDER BY seq", world.log.org)
    assert [row["seq"] for row in rows] == list(range(120))


async def test_orgs_count_apart(world: World) -> None:
    other = Log()
    await world.receive(world.log.create(new_id("usr"), "A"), other.create(new_id("usr"), "B"))
    rows = await world.pool.fetch("SELECT org, seq FROM records")
    assert {(row["org"], row["seq"]) for row in rows} == {(world.log.org, 0), (other.org, 0)}


async def test_t22_who_tries_something_on_a_foreign_id_does_not_learn_whose_it_is(world: World) -> None:
    other = Log()
    known = other.create(other.ben, "Ben Elsewhere")
    foreign = world.log.refuse("mfa.reset", "permission_missing", other.ben)
    await world.receive(known, foreign)  # in one batch
    await world.receive(world.log.refuse("mfa.reset", "permission_missing", other.ben))
    await world.receive(other.rename(other.ben, "Ben Elsewhere", "Ben Renamed"))
    records = await world.found()
    assert [r["target"] for r in records] == [{"type": "user", "id": other.ben, "name": None}] * 2
    assert "Ben" not in json.dumps(records)
    kept = await world.pool.fetch("SELECT org, name FROM names")
    assert [tuple(row) for row in kept] == [(other.org, "Ben Renamed")]


async def test_the_services_role_can_insert_and_read_records_and_nothing_else(
    world: World, postgres_server: PostgresServer, audit_database: str
) -> None:
    await world.receive(world.log.create(world.log.ben, "Ben Miller"))
    connection = await connect(postgres_server.url(audit_database, "audit"))
    try:
        for statement in (
            "UPDATE records SET leaf = ''",
            "DELETE FROM records",
            "TRUNCATE records",
            "DROP TABLE records",
            "ALTER TABLE records ADD COLUMN x int",
            "SELECT 1 FROM records FOR UPDATE",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        held = await connection.fetch(
            "SELECT privilege_type FROM information_schema.role_table_grants"
            " WHERE table_name = 'records' AND grantee = 'audit'"
        )
        assert {row["privilege_type"] for row in held} == {"SELECT", "INSERT"}
        assert await connection.fetchval("SELECT count(*) FROM records") == 1
    finally:
        await connection.close()


async def test_no_personal_field_stands_readable_in_the_evidence(world: World) -> None:
    log = world.log
    log.create(log.ben, "Ben Miller")
    log.rename(log.ben, "Ben Miller", "Benjamin Miller", reason="married")
    log.refuse("session.start", "sign_in_refused", log.ben)
    await world.receive()
    stored = b"".join(row["leaf"] for row in await world.pool.fetch("SELECT leaf FROM records"))
    for personal in (b"Miller", b"acme.example", b"203.0.113.7", b"Browser", b"married", b"Ada"):
        assert personal not in stored


async def test_a_leaf_is_canonical_json_of_all_that_is_stored(world: World) -> None:
    await world.receive(world.log.create(world.log.ben, "Ben Müller"))
    row = await world.pool.fetchrow("SELECT * FROM records")
    assert row is not None
    leaf = leaves.parse(row["leaf"])
    again = json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert again == row["leaf"]
    assert (leaf["org"], leaf["seq"], leaf["id"]) == (row["org"], row["seq"], row["id"])
    assert leaf["event"]["position"] == row["position"] == 1


async def test_a_sealed_part_does_not_open_in_another_record(world: World) -> None:
    log = world.log
    await world.receive(log.create(log.ben, "Ben"), log.rename(log.ben, "Ben", "Benny"))
    rows = await world.pool.fetch("SELECT leaf FROM records ORDER BY seq")
    first, second = (leaves.parse(row["leaf"]) for row in rows)
    async with world.pool.acquire() as connection:
        sealers = await world.keys.existing(connection, leaves.keys_of(first))
    with pytest.raises(Exception, match="does not open"):
        leaves.read(second | {"sealed_target": first["sealed_target"]}, sealers)


async def test_a_type_of_a_newer_release_is_recorded_too(world: World) -> None:
    record = world.log.deactivate(world.log.ben)
    replaced = {b"muster.user.deactivated": b"muster.user.suspended"}
    headers = [(name, replaced.get(value, value)) for name, value in record.headers]
    headers = [
        (name, b"urn:muster:schema:user.suspended:1" if name == "ce_dataschema" else value)
        for name, value in headers
    ]
    await world.receive(record._replace(headers=headers))
    (found,) = await world.found()
    assert found["type"] == "user.suspended"
    assert found["sentence"] == f"Ada Owner: user.suspended {world.log.ben}."
    assert found["changes"] == {"status": {"old": "active", "new": "inactive"}}
    assert b"inactive" not in await world.pool.fetchval("SELECT leaf FROM records")


async def test_hostile_texts_are_recorded_or_parked_and_never_stop_the_rest(world: World) -> None:
    log = world.log
    for name in (
        "{actor}{target.__class__}",
        "Robert'); DROP TABLE records;--",
        "\u202e evil",
        "%_\\",
        "💥" * 200,
    ):
        log.create(new_id("usr"), name)
    log.deactivate(log.ben, ip="not an address")
    log.deactivate(log.ben, ip="fe80::1%eth0")
    await world.receive()
    assert len(await world.found()) == len(log.records)


async def test_a_record_that_cannot_be_read_is_parked_and_counts_as_progress(world: World) -> None:
    log = world.log
    good, bad, last = log.create(log.ben, "Ben"), log.deactivate(log.ben), log.deactivate(log.ben)
    await world.receive(good, bad._replace(value=b"{}"), last)
    assert world.progress.position == 3
    assert await world.pool.fetchval("SELECT count(*) FROM parked") == 1
    assert [r["seq"] for r in await world.found()] == [0, 1]


async def test_another_service_cannot_take_an_events_place(world: World) -> None:
    event = world.log.deactivate(world.log.ben)
    id_ = dict(event.headers)["ce_id"]
    forged = raw(event)
    headers = {
        "ce_specversion": b"1.0", "ce_id": id_, "ce_source": b"/muster/identity", "ce_sequence": b"1",
        "ce_type": b"muster.session_kill.confirmed", "ce_dataschema": b"urn:muster:schema:session_kill.confirmed:1",
        "ce_subject": b"evt_1", "ce_partitionkey": forged.key, "ce_time": b"2026-11-24T07:00:00Z",
        "ce_org": world.log.org.encode(), "ce_position": b"1", "content-type": b"application/json",
    }  # fmt: skip
    value = {"kill": "kil_1", "service": "crm", "ended": 1, "at": "2026-11-24T07:00:00Z"}
    receipt = event._replace(
        topic="muster.session-receipts", headers=list(headers.items()), value=json.dumps(value).encode()
    )
    await world.receive(receipt)
    assert world.progress.position == 0
    await world.receive(event)
    assert world.progress.position == 1
    assert [r["type"] for r in await world.found()] == ["session_kill.confirmed", "user.deactivated"]
    assert (await world.found())[0]["sentence"] == "crm confirmed that it ended 1 sessions."
