"""Session kills: verified, ordered, confirmed, and ordered again while somebody is late."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import pytest
from muster_contracts.envelope import Record
from muster_contracts.kills import SessionKillConfirmed
from muster_contracts.sessions import SessionEnded

from services.kit.ids import new_id
from services.notifier import kills
from tests.integration.notifier.world import ORG, World, deactivated, record

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def kill(world: World, *sessions: str, live: tuple[str, ...] = ()) -> tuple[str, str]:
    """Deactivate a user, and return user and kill."""
    user, id_ = world.identity.add_user(), new_id("kil")
    world.identity.kills[id_] = {"kill": id_, "user": user, "sessions": list(sessions), "live": list(live)}
    await world.take_in(deactivated(user, 1, id_))
    return user, id_


def receipt(user: str, kill: str, service: str, ended: int = 2) -> Record:
    event = SessionKillConfirmed(kill=kill, service=service, ended=ended, at=AT)
    return record(event, subject=new_id("evt"), partition_key=user, source=f"/{service}")


async def test_an_order_names_user_sessions_cause_and_deadline(world: World):
    user, id_ = await kill(world, "ses_1", "ses_2")
    await world.kills().order_wanted()
    [order] = await world.told()
    assert (order.type, order.source, order.subject, order.sequence) == (
        "session_kill.ordered", "/muster/notifier", id_, 1,
    )  # fmt: skip
    assert order.partition_key == user
    assert order.org == ORG
    deadline = datetime.fromisoformat(order.data.pop("deadline_at"))
    assert deadline > order.time
    del order.data["actor"]
    assert order.data == {
        "kill": id_, "user": user, "sessions": ["ses_1", "ses_2"], "cause": "user.deactivated",
        "ip": None, "user_agent": None, "reason": None,
    }  # fmt: skip
    assert f"/internal/kills/{id_}?user={user}" in world.identity.asked


async def test_it_is_ordered_also_when_no_session_lived(world: World):
    await kill(world)
    await world.kills().order_wanted()
    assert [order.data["sessions"] for order in await world.told()] == [[]]


async def test_one_kill_in_several_events_is_ordered_once(world: World):
    user, id_ = await kill(world, "ses_1")
    ended = SessionEnded(user=user, session="ses_1", cause="deactivated", kill=id_)
    await world.take_in(record(ended))
    await world.kills().order_wanted()
    await world.kills().order_wanted()
    assert await world.types() == ["session_kill.ordered"]


async def test_a_session_that_still_lives_is_an_alarm_and_nothing_is_ordered_before_it_is_gone(world: World):
    _, id_ = await kill(world, "ses_1", live=("ses_1",))
    await world.kills().order_wanted()
    assert await world.types() == []
    world.identity.kills[id_]["live"] = []
    await world.pool.execute("UPDATE kills SET due_at = now()")
    await world.kills().order_wanted()
    assert await world.types() == ["session_kill.ordered"]


async def test_a_kill_waits_for_identity(world: World):
    await kill(world, "ses_1")
    world.identity.away = True
    await world.kills().order_wanted()
    assert await world.types() == []
    row = await world.pool.fetchrow("SELECT attempts, due_at > now() AS later FROM kills")
    assert row is not None
    assert (row["attempts"], row["later"]) == (1, True)
    world.identity.away = False
    await world.pool.execute("UPDATE kills SET due_at = now()")
    await world.kills().order_wanted()
    assert await world.types() == ["session_kill.ordered"]


async def test_two_processes_write_one_order(world: World):
    await kill(world, "ses_1")
    rows = await world.pool.fetch("SELECT * FROM kills")
    one, two = world.kills(), world.kills()
    await one._write_order(rows[0], ["ses_1"])
    await two._write_order(rows[0], ["ses_1"])
    assert await world.types() == ["session_kill.ordered"]


async def test_receipts_are_kept_per_service_and_the_first_counts(world: World):
    user, id_ = await kill(world, "ses_1")
    await world.kills().order_wanted()
    await world.take_in(receipt(user, id_, "billing", 2), receipt(user, id_, "crm", 0))
    await world.take_in(receipt(user, id_, "billing", 0))
    found = await kills.status(world.pool, ORG, id_, ())
    assert found is not None
    assert found["services"] == [
        {"name": "billing", "status": "confirmed", "at": "2026-11-24T12:00:00.000000Z", "ended": 2},
        {"name": "crm", "status": "confirmed", "at": "2026-11-24T12:00:00.000000Z", "ended": 0},
    ]
    assert (found["kill"], found["user"]) == (id_, user)
    assert found["ordered_at"].endswith("Z")


async def test_a_receipt_for_what_nobody_ordered_is_poison(world: World):
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await world.take_in(receipt(world.identity.add_user(), new_id("kil"), "billing"))


async def test_what_is_late_is_ordered_again_with_the_same_kill_and_the_next_sequence(world: World):
    user, id_ = await kill(world, "ses_1")
    worker = world.kills("billing", "crm")
    await worker.order_wanted()
    await world.take_in(receipt(user, id_, "crm"))
    await worker.order_late()
    assert len(await world.told()) == 1
    await world.pool.execute("UPDATE kills SET deadline_at = now() - interval '1 second'")
    waiting = await kills.status(world.pool, ORG, id_, ("billing", "crm"))
    assert waiting
    assert {s["name"]: s["status"] for s in waiting["services"]} == {"billing": "late", "crm": "confirmed"}
    await worker.order_late()
    await worker.order_late()
    first, second = await world.told()
    assert (first.subject, first.sequence) == (id_, 1)
    assert (second.subject, second.sequence) == (id_, 2)
    assert first.id != second.id
    assert second.data["sessions"] == ["ses_1"]
    await world.take_in(receipt(user, id_, "billing"))
    await world.pool.execute("UPDATE kills SET deadline_at = now() - interval '1 second'")
    await worker.order_late()
    assert len(await world.told()) == 2


async def test_nobody_is_late_where_nobody_is_expected(world: World):
    await kill(world, "ses_1")
    await world.kills().order_wanted()
    await world.pool.execute("UPDATE kills SET deadline_at = now() - interval '1 second'")
    await world.kills().order_late()
    assert len(await world.told()) == 1


async def test_a_kill_of_another_organization_is_not_there(world: World):
    _, id_ = await kill(world, "ses_1")
    assert await kills.status(world.pool, new_id("org"), id_, ()) is None
    assert await kills.status(world.pool, ORG, new_id("kil"), ()) is None
