"""Who is deleted is forgotten in time; the records stay."""

from __future__ import annotations

from muster_contracts.events import Actor, Change
from muster_contracts.organizations import OrganizationSettingsChanged
from muster_contracts.sessions import SessionStarted

from tests.integration.audit.world import START, World


async def due(world: World) -> None:
    await world.pool.execute("UPDATE person_keys SET forget_after = now() WHERE forget_after IS NOT NULL")
    while await world.janitor.forget_one():
        pass


async def everything_stored(world: World) -> str:
    tables = ("lookup", "names", "parked", "orgs")
    rows = [await world.pool.fetch(f"SELECT t::text AS row FROM {table} t") for table in tables]
    return "\n".join(row["row"] for found in rows for row in found)


async def test_a_deleted_person_stays_readable_for_90_days(world: World) -> None:
    log = world.log
    log.create(log.ben, "Ben Miller")
    log.delete(log.ben, "Ben Miller")
    await world.receive()
    row = await world.pool.fetchrow("SELECT * FROM person_keys WHERE id = $1", f"{log.ben}:target")
    assert row is not None
    assert (row["forget_after"] - START).days == 90
    assert await world.janitor.forget_one() is None
    assert (await world.found())[1]["sentence"] == "Ada Owner deleted Ben Miller."


async def test_the_orgs_own_number_of_days_counts(world: World) -> None:
    log = world.log
    log.append(OrganizationSettingsChanged(organization=log.org, audit_identity_days=Change(old=90, new=30)))
    log.create(log.ben, "Ben Miller")
    log.delete(log.ben, "Ben Miller")
    await world.receive()
    row = await world.pool.fetchrow("SELECT forget_after FROM person_keys WHERE id = $1", f"{log.ben}:target")
    assert row is not None
    assert (row["forget_after"] - START).days == 30


async def test_a_forgotten_person_is_readable_nowhere_and_the_evidence_is_unchanged(world: World) -> None:
    log = world.log
    log.create(log.ben, "Ben Miller")
    log.rename(log.ben, "Ben Miller", "Benjamin Miller", reason="Ben Miller asked")
    log.refuse("user.delete", "last_administrator", log.ben)
    log.delete(log.ben, "Benjamin Miller")
    await world.receive()
    before = await world.pool.fetch("SELECT leaf FROM records ORDER BY seq")
    await due(world)
    assert await world.pool.fetch("SELECT leaf FROM records ORDER BY seq") == before
    assert "miller" not in (await everything_stored(world)).lower()
    records = await world.found()
    assert [r["sentence"] for r in records] == [
        "Ada Owner created an erased person as Member.",
        "Ada Owner renamed an erased person.",
        "Ada Owner was not allowed to delete an erased person: the last administrator of an organization stays.",
        "Ada Owner deleted an erased person.",
    ]
    assert records[1]["changes"] == {"name": {"old": None, "new": None}}
    assert records[1]["target"] == {"type": "user", "id": log.ben, "name": None, "erased": True}
    assert records[1]["reason"] is None
    assert await world.found(q="miller") == []
    assert len(await world.found(target=log.ben)) == 4  # that something happened, and when, stays


async def test_who_acted_upon_others_stays_known(world: World) -> None:
    log = world.log
    log.create(log.ada, "Ada Owner")
    log.deactivate(log.ben)
    log.delete(log.ada, "Ada Owner")
    await world.receive()
    await due(world)
    second = (await world.found())[1]
    assert second["actor"] == {"type": "user", "id": log.ada, "name": "Ada Owner"}
    assert second["ip"] == "203.0.113.7"


async def test_sign_ins_and_acts_upon_oneself_go_with_the_person(world: World) -> None:
    log = world.log
    ben = Actor(type="user", id=log.ben, name="Ben Miller")
    started = SessionStarted(user=log.ben, session="ses_1", amr=("pwd",), expires_at=START)
    log.append(started, actor=ben, ip="192.0.2.1")
    log.rename(log.ben, "Ben Miller", "Benny", actor=ben, ip="192.0.2.2")
    log.refuse("session.start", "sign_in_refused", log.ben, actor=Actor(type="anonymous"), ip="192.0.2.3")
    log.delete(log.ben, "Benny")
    await world.receive()
    assert (await world.found())[0]["sentence"] == "Ben Miller signed in."
    assert len(await world.found(ip="192.0.2.0/24")) == 3
    await due(world)
    records = await world.found()
    assert [r["ip"] for r in records[:3]] == [None, None, None]
    assert records[0]["actor"] == {"type": "user", "id": log.ben, "name": None, "erased": True}
    assert await world.found(ip="192.0.2.0/24") == []


async def test_what_comes_late_about_a_forgotten_person_is_recorded_without_the_person(world: World) -> None:
    log = world.log
    created, deleted = log.create(log.ben, "Ben Miller"), log.delete(log.ben, "Ben Miller")
    await world.receive(deleted)
    await due(world)
    await world.receive(created)
    assert (await world.found())[1]["sentence"] == "Ada Owner created an erased person as Member."
    assert "miller" not in (await everything_stored(world)).lower()


async def test_parked_records_of_a_forgotten_person_are_blanked(world: World) -> None:
    log = world.log
    created, deleted = log.create(log.ben, "Ben Miller"), log.delete(log.ben, "Ben Miller")
    await world.receive(created._replace(value=b'{"name":"Ben Miller"}'), deleted)
    await due(world)
    row = await world.pool.fetchrow("SELECT * FROM parked")
    assert row is not None
    assert row["value"] is None
