"""Order, gaps, repeats and poison: what comes in leads to its effect once, and to nothing else."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from muster_contracts.envelope import Record
from muster_contracts.errors import Undecodable
from muster_contracts.kills import SessionKillConfirmed
from muster_contracts.users import UserRenamed

from services.kit.consumer import Consumer
from services.kit.ids import new_id
from services.kit.parked import Raw
from services.notifier import streams
from services.notifier.intake import TOPICS
from tests.integration.notifier.world import World, deactivated, decoded, mfa_reset, record


def renamed(user: str, sequence: int) -> Record:
    return record(UserRenamed.model_validate({"user": user, "name": {"old": "a", "new": "b"}}), sequence)


async def place(world: World, stream: str) -> tuple[int, int | None]:
    row = await world.pool.fetchrow("SELECT sequence, missing_to FROM streams WHERE id = $1", stream)
    assert row is not None
    return row["sequence"], row["missing_to"]


async def close_gaps(world: World) -> None:
    for gap in await streams.gaps(world.pool, 10):
        await world.intake.close(gap)


def consumer(world: World) -> Consumer:
    return Consumer("nowhere:1", TOPICS, "notifier", world.pool, world.intake.apply)


def at(place: int, record: Record) -> Raw:
    return Raw(record.topic, record.key, record.value, tuple(record.headers), 0, place, place)


async def test_the_first_sequence_seen_is_the_base(world: World):
    user = world.identity.add_user()
    await world.take_in(renamed(user, 41), renamed(user, 42))
    assert await place(world, user) == (42, None)


async def test_a_gap_holds_up_its_stream_and_no_other(world: World):
    user, other = world.identity.add_user(), world.identity.add_user()
    await world.take_in(renamed(user, 1), mfa_reset(user, 3), mfa_reset(other, 1))
    assert await place(world, user) == (1, 3)
    assert (await world.message())["user"] == other


async def test_what_is_missing_is_fetched_from_identity_and_applied_in_order(world: World):
    user = world.identity.add_user()
    log = [renamed(user, 1), mfa_reset(user, 2), renamed(user, 3), mfa_reset(user, 4)]
    world.identity.log[user] = log
    await world.take_in(log[0], log[2])
    await world.take_in(log[3])
    assert await world.types() == []
    await close_gaps(world)
    assert await place(world, user) == (4, None)
    causes = [envelope.causation_id for envelope in await world.told()]
    assert causes == [dict(each.headers)["ce_id"].decode() for each in (log[1], log[3])]
    assert f"/internal/events?subject={user}&from=2" in world.identity.asked


async def test_a_gap_is_kept_while_identity_is_away(world: World):
    user = world.identity.add_user()
    await world.take_in(renamed(user, 1), renamed(user, 3))
    world.identity.away = True
    await close_gaps(world)
    assert await place(world, user) == (1, 3)
    assert await streams.gaps(world.pool, 10) == []  # put off
    world.identity.away = False
    world.identity.log[user] = [renamed(user, n) for n in (1, 2, 3)]
    await world.pool.execute("UPDATE streams SET retry_at = now()")
    await close_gaps(world)
    assert await place(world, user) == (3, None)


async def test_what_identity_gives_back_only_in_part_leaves_the_rest_of_the_gap(world: World):
    user = world.identity.add_user()
    await world.take_in(renamed(user, 1), renamed(user, 9))
    world.identity.log[user] = [renamed(user, n) for n in (1, 2, 3, 5)]
    await close_gaps(world)
    assert await place(world, user) == (3, 9)


async def test_an_event_that_comes_again_changes_nothing(world: World):
    user = world.identity.add_user()
    events = [renamed(user, 1), mfa_reset(user, 2), renamed(user, 3)]
    for _ in range(3):
        await world.take_in(*events)
    await world.take_in(events[1])
    assert await place(world, user) == (3, None)
    assert await world.types() == ["message.queued"]
    assert await world.pool.fetchval("SELECT count(*) FROM kills") == 1


async def test_poison_is_parked_and_the_events_around_it_take_effect(world: World):
    user = world.identity.add_user()
    good, poison = mfa_reset(user, 1), mfa_reset(user, 2)._replace(value=b'{"user": 7')
    await consumer(world).process([at(0, good), at(1, poison)])
    assert await world.types() == ["message.queued"]
    assert await world.pool.fetchval("SELECT count(*) FROM parked") == 1


async def test_behind_poison_the_stream_goes_on_and_the_poison_is_parked_once(world: World):
    user = world.identity.add_user()
    events = [renamed(user, 1), mfa_reset(user, 2)._replace(value=b"{}"), mfa_reset(user, 3)]
    world.identity.log[user] = events
    await consumer(world).process([at(n, event) for n, event in enumerate(events)])
    assert await place(world, user) == (1, 3)
    await close_gaps(world)
    assert await place(world, user) == (3, None)
    assert await world.types() == ["message.queued"]
    assert await world.pool.fetchval("SELECT count(*) FROM parked") == 1


async def test_what_was_parked_takes_effect_when_it_is_tried_again(world: World):
    user = world.identity.add_user()
    event = mfa_reset(user, 2)
    await world.take_in(renamed(user, 1), renamed(user, 2), renamed(user, 3))
    await world.pool.execute(
        "INSERT INTO parked (topic, key, value, headers, error, retry_at) VALUES ($1, $2, $3, $4, 'x', now())",
        event.topic, event.key, event.value,
        [[name, base64.b64encode(value).decode()] for name, value in event.headers],
    )  # fmt: skip
    assert await consumer(world).retry_parked() == 1
    assert await world.types() == ["message.queued"]


async def test_a_type_of_a_newer_release_is_passed_over_but_its_kill_is_ordered(world: World):
    user, kill = world.identity.add_user(), new_id("kil")
    strange = replace(decoded(deactivated(user, 1, kill)).envelope, type="user.suspended")
    async with world.pool.acquire() as connection, connection.transaction():
        await world.intake.apply(connection, [replace(decoded(renamed(user, 1)), envelope=strange)])
    assert await world.pool.fetchval("SELECT cause FROM kills WHERE id = $1", kill) == "user.suspended"


async def test_a_receipt_in_anothers_name_is_refused(world: World):
    user, kill = world.identity.add_user(), new_id("kil")
    await world.take_in(deactivated(user, 1, kill))
    event = SessionKillConfirmed.model_validate(
        {"kill": kill, "service": "billing", "ended": 1, "at": "2026-11-24T12:00:00Z"}
    )
    receipt = record(event, subject=new_id("evt"), partition_key=user, source="/crm")
    with pytest.raises(Undecodable):
        await world.take_in(receipt)
