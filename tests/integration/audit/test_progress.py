"""Progress, holes and how they are healed."""

from __future__ import annotations

from services.kit.ids import new_id
from tests.integration.audit.world import Log, World, opened
from tests.support.servers import PostgresServer


def people(log: Log, count: int) -> None:
    for number in range(count):
        log.create(new_id("usr"), f"Person {number}")


async def test_progress_is_the_largest_position_without_a_hole_before_it(world: World) -> None:
    people(world.log, 6)
    records = world.log.records
    await world.receive(records[1], records[2], records[5])
    assert world.progress.position == 0
    await world.receive(records[0])
    assert world.progress.position == 3
    await world.receive(records[4], records[3])
    assert world.progress.position == 6


async def test_progress_survives_a_restart(postgres_server: PostgresServer, audit_database: str) -> None:
    url, log, master = postgres_server.url(audit_database, "audit"), Log(), "m1:" + "A" * 43 + "="
    people(log, 3)
    async with opened(url, log, master) as first:
        await first.receive()
    async with opened(url, log, master) as second:
        assert second.progress.position == 3


async def test_a_new_audit_starts_from_identitys_log_by_pages(world: World) -> None:
    people(world.log, 1_203)
    await world.healer.start_new()
    assert world.fake.pages == [500, 500, 203]
    assert world.progress.position == 1_203
    assert await world.pool.fetchval("SELECT count(*) FROM records") == 1_203
    await world.receive(*world.log.records[:20])  # Kafka brings them too
    assert await world.pool.fetchval("SELECT count(*) FROM records") == 1_203


async def test_a_lost_tail_is_healed_when_it_is_a_minute_late(world: World) -> None:
    people(world.log, 2)
    await world.healer.start_new()
    people(world.log, 3)
    await world.healer.heal_tail()
    assert world.progress.position == 2  # it may be on its way
    people(world.log, 1)
    await world.healer.heal_tail()
    assert world.progress.position == 5  # what was there a minute ago, not what has just come


async def test_what_cannot_be_read_from_identity_is_parked_and_passed(world: World) -> None:
    people(world.log, 3)
    world.log.records[1] = world.log.records[1]._replace(value=b'{"no":"event"}')
    await world.healer.start_new()
    assert world.progress.position == 3
    row = await world.pool.fetchrow("SELECT position, partition FROM parked")
    assert row is not None
    assert (row["position"], row["partition"]) == (2, None)


async def test_a_log_that_was_restored_is_read_again(world: World) -> None:
    log = world.log
    people(log, 5)
    await world.healer.start_new()
    del log.records[3:]  # the backup was older
    log.epoch = 2
    people(log, 1)
    await world.healer.heal_tail()
    assert world.progress.epoch == 2
    assert world.progress.position == 4
    assert await world.pool.fetchval("SELECT count(*) FROM records") == 6  # what was seen stays
    people(log, 1)
    await world.receive(log.records[4])
    assert world.progress.position == 5


async def test_identity_is_told_how_far_audit_has_come(world: World) -> None:
    people(world.log, 2)
    await world.healer.start_new()
    await world.healer.tick()
    assert world.fake.reported == [2]
