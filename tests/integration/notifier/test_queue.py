"""The queue and the courier on a real database and a real mail server."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from muster_contracts.events import Change
from muster_contracts.users import UserEmailChanged

from services.notifier.outbox import MAX_ATTEMPTS, Outcome
from tests.integration.notifier.world import World, deleted, invitation, mfa_reset, record, until


async def invite(world: World, **user: Any) -> str:
    """Queue an invitation and return the user."""
    id_ = world.identity.add_user(**({"status": "invited"} | user))
    await world.take_in(invitation(id_, world.identity.add_link(id_)))
    return id_


async def test_an_invitation_arrives_with_its_link_in_html_and_text(world: World):
    user = await invite(world)
    assert await world.deliver()
    [mail] = world.mailbox.mails
    [token] = [link["token"] for link in world.identity.links.values()]
    assert mail["To"] == f"Ben Miller <{user}@acme.example>"
    assert mail["Subject"] == "You are invited to Acme"
    assert f"http://127.0.0.1:8801/invitation#{token}" in world.mailbox.texts()[0].splitlines()
    assert token in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "Ada Owner has made an account for you" in world.mailbox.texts()[0]
    assert world.mailbox.recipients == [[f"{user}@acme.example"]]


async def test_what_became_of_a_message_is_a_dense_stream_that_names_its_cause(world: World):
    user = world.identity.add_user()
    cause = mfa_reset(user)
    await world.take_in(cause)
    world.mailbox.answers = ["451 try later"]
    await world.deliver()
    await world.make_due()
    await world.deliver()
    told = await world.told()
    assert [(e.type, e.sequence) for e in told] == [
        ("message.queued", 1), ("message.failed", 2), ("message.sent", 3),
    ]  # fmt: skip
    headers = {name: value.decode() for name, value in cause.headers}
    for envelope in told:
        assert envelope.source == "/muster/notifier"
        assert envelope.subject == envelope.data["message"]
        assert envelope.subject.startswith("msg_")
        assert envelope.partition_key == user
        assert (envelope.org, envelope.action) == (headers["ce_org"], headers["ce_action"])
        assert envelope.causation_id == envelope.data["cause_event"] == headers["ce_id"]
        assert envelope.correlation_id == headers["ce_correlationid"]
        assert envelope.position is None
        assert envelope.data["kind"] == "mfa_reset"
    assert [e.data["to"] for e in told] == [None, f"{user}@acme.example", f"{user}@acme.example"]
    assert told[1].data["error"] == "451 try later"


async def test_the_queue_never_holds_a_token_and_nothing_personal_once_it_is_sent(world: World):
    user = await invite(world)
    [token] = [link["token"] for link in world.identity.links.values()]
    before = await world.raw()
    await world.deliver()
    row = await world.message()
    raw = await world.raw()
    assert row["sealed"] is None
    assert row["state"] == "sent"
    for secret in (token, f"{user}@acme.example", "Ben Miller", "Ada Owner"):
        assert secret not in before
        assert secret not in raw


async def test_nothing_is_sent_twice_when_an_event_comes_again(world: World):
    user = world.identity.add_user(status="invited")
    event = invitation(user, world.identity.add_link(user))
    await world.take_in(event, event)
    await world.take_in(event)
    await world.deliver()
    await world.deliver()
    assert len(world.mailbox.mails) == 1
    assert await world.types() == ["message.queued", "message.sent"]


async def test_a_lost_connection_after_the_dot_is_unknown_and_sent_again_with_the_same_id(world: World):
    await invite(world)
    world.mailbox.hang_up = 1
    await world.deliver()
    assert (await world.message())["state"] == "unknown"
    await world.make_due()
    await world.deliver()
    assert (await world.message())["state"] == "sent"
    first, second = world.mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert world.mailbox.texts()[0] == world.mailbox.texts()[1]
    assert await world.types() == ["message.queued", "message.failed", "message.sent"]


async def test_messages_behind_a_lost_connection_are_not_lost_and_not_counted(world: World):
    await invite(world)
    await invite(world)
    world.mailbox.hang_up = 1
    assert not await world.deliver()
    rows = await world.pool.fetch("SELECT state, attempts FROM messages ORDER BY attempts")
    assert [(row["state"], row["attempts"]) for row in rows] == [("failed", 0), ("unknown", 1)]
    await world.make_due()
    assert await world.deliver()
    assert {row["state"] for row in await world.pool.fetch("SELECT state FROM messages")} == {"sent"}


async def test_a_batch_travels_over_one_connection(world: World):
    for _ in range(5):
        await invite(world)
    await world.deliver()
    assert len(world.mailbox.mails) == 5
    assert world.mailbox.connections == 1


async def test_a_refused_recipient_is_given_up_and_the_others_get_theirs(world: World):
    refused = await invite(world)
    await invite(world)
    world.mailbox.on_rcpt[f"{refused}@acme.example"] = "550 no such mailbox"
    await world.deliver()
    rows = await world.pool.fetch('SELECT "user", state, error FROM messages')
    assert {(row["user"] == refused, row["state"], row["error"]) for row in rows} == {
        (True, "abandoned", "refused_550"),
        (False, "sent", None),
    }


async def test_a_temporary_refusal_is_tried_ten_times(world: World):
    await invite(world)
    world.mailbox.answers = ["452 mailbox full"] * 20
    for _ in range(MAX_ATTEMPTS + 2):
        await world.make_due()
        await world.deliver()
    row = await world.message()
    assert (row["state"], row["attempts"], row["error"]) == ("abandoned", MAX_ATTEMPTS, "refused_452")
    assert row["sealed"] is None
    expected = ["message.queued", *["message.failed"] * (MAX_ATTEMPTS - 1), "message.abandoned"]
    assert await world.types() == expected


async def test_an_outage_of_the_mail_server_uses_up_no_attempt_and_is_told_once(world: World):
    await invite(world)
    await world.mailbox.stop()
    for _ in range(MAX_ATTEMPTS + 2):
        await world.make_due()
        assert not await world.deliver()
    row = await world.message()
    assert (row["state"], row["attempts"], row["error"]) == ("failed", 0, "server_away")
    await world.mailbox.start()
    await world.make_due()
    assert await world.deliver()
    assert await world.types() == ["message.queued", "message.failed", "message.sent"]


async def test_the_courier_catches_up_by_itself_when_mail_server_and_identity_return(world: World):
    await world.mailbox.stop()
    world.identity.away = True
    await invite(world)
    running = asyncio.create_task(world.courier.run())
    try:
        await until(
            lambda: world.pool.fetchval("SELECT count(*) FROM messages WHERE error = 'identity_away'")
        )
        world.identity.away = False
        await world.make_due()
        await until(lambda: world.pool.fetchval("SELECT count(*) FROM messages WHERE error = 'server_away'"))
        await world.mailbox.start()
        await world.make_due()
        await until(lambda: world.pool.fetchval("SELECT count(*) FROM messages WHERE state = 'sent'"))
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert len(world.mailbox.mails) == 1


@pytest.mark.parametrize("status", ["inactive", "active"])
async def test_an_invitation_goes_to_nobody_who_is_no_longer_invited(world: World, status: str):
    user = await invite(world)
    world.identity.users[user]["status"] = status
    await world.deliver()
    row = await world.message()
    assert (row["state"], row["error"]) == ("abandoned", f"person_{status}")
    assert world.mailbox.mails == []


async def test_nothing_goes_to_an_inactive_user(world: World):
    user = world.identity.add_user(status="inactive")
    await world.take_in(mfa_reset(user))
    await world.deliver()
    assert (await world.message())["error"] == "person_inactive"
    assert world.mailbox.mails == []


async def test_nothing_goes_to_a_deleted_user(world: World):
    user = await invite(world)
    del world.identity.users[user]
    await world.deliver()
    assert (await world.message())["error"] == "person_gone"
    assert await world.types() == ["message.queued", "message.abandoned"]


async def test_a_link_that_is_no_longer_open_is_not_sent(world: World):
    await invite(world)
    world.identity.links.clear()
    await world.deliver()
    assert (await world.message())["error"] == "link_closed"
    assert world.mailbox.mails == []


async def test_nothing_is_sent_after_it_has_expired(world: World):
    user = world.identity.add_user(status="invited")
    link = world.identity.add_link(user)
    await world.take_in(invitation(user, link, expires_at=datetime.now(UTC) - timedelta(seconds=1)))
    await world.deliver()
    assert (await world.message())["error"] == "expired"
    assert world.mailbox.mails == []


async def test_a_retry_is_due_at_the_latest_when_it_expires(world: World):
    await invite(world)
    await world.pool.execute("UPDATE messages SET attempts = 8, expires_at = now() + interval '9 minutes'")
    world.mailbox.answers = ["451 later"]
    await world.deliver()
    row = await world.message()
    assert row["due_at"] == row["expires_at"]


async def test_a_mail_goes_to_the_address_of_the_moment_it_is_sent(world: World):
    user = await invite(world)
    world.identity.users[user]["email"] = "new@acme.example"
    await world.deliver()
    assert world.mailbox.recipients == [["new@acme.example"]]


async def test_a_changed_address_is_told_to_the_old_and_the_new_one(world: World):
    user = world.identity.add_user(email="new@acme.example")
    change = Change(old="old@acme.example", new="new@acme.example")
    await world.take_in(record(UserEmailChanged(user=user, email=change)))
    assert "old@acme.example" not in await world.raw()
    await world.deliver()
    told = {
        to[0]: mail["Subject"] for to, mail in zip(world.mailbox.recipients, world.mailbox.mails, strict=True)
    }
    assert told == {
        "new@acme.example": "This is now your address at Acme",
        "old@acme.example": "Your address at Acme was changed",
    }
    away = world.mailbox.texts()[world.mailbox.recipients.index(["old@acme.example"])]
    assert "n…@acme.example" in away
    assert "new@acme.example" not in away  # who reads the old mailbox may be a stranger


async def test_an_address_outside_ascii_is_written_to(world: World):
    await invite(world, email="zoë@acme.example")
    await world.deliver()
    assert world.mailbox.recipients == [["zoë@acme.example"]]


async def test_t64_a_person_cannot_name_themself_into_the_headers(world: World):
    user = await invite(world, name="Ben\r\nBcc: all@acme.example\r\n\r\nbody")
    await world.deliver()
    [mail] = world.mailbox.mails
    assert mail["Bcc"] is None
    assert world.mailbox.recipients == [[f"{user}@acme.example"]]


async def test_a_mail_that_cannot_be_written_does_not_hold_up_the_others(world: World):
    broken = await invite(world)
    del world.identity.users[broken]["organization"]["slug"]
    await invite(world)
    await world.deliver()
    rows = await world.pool.fetch("SELECT state, error FROM messages ORDER BY state")
    assert [(row["state"], row["error"]) for row in rows] == [("failed", "not_written"), ("sent", None)]


async def test_two_couriers_never_send_the_same_message(world: World):
    for _ in range(30):
        await invite(world)
    batches = await asyncio.gather(*(world.outbox.claim(10) for _ in range(6)))
    claimed = [message.id for batch in batches for message in batch]
    assert len(claimed) == len(set(claimed)) == 30


async def test_a_dead_courier_loses_its_lease_and_can_finish_nothing(world: World):
    await invite(world)
    [dead] = await world.outbox.claim(10)
    assert await world.outbox.claim(10) == []
    await world.make_due()
    [alive] = await world.outbox.claim(10)
    assert not await world.outbox.finish(dead, Outcome("abandoned", "too_late"))
    assert await world.outbox.finish(alive, Outcome("sent", to="x@acme.example"))
    assert await world.types() == ["message.queued", "message.sent"]
    assert alive.attempts == 2


async def test_a_deleted_persons_messages_become_unreadable_once_the_relay_has_passed(world: World):
    user = await invite(world)
    await world.deliver()
    await world.take_in(deleted(user, 2))
    assert await world.persons.destroy_erased() == []
    assert (await world.told())[0].data["to"] == f"{user}@acme.example"
    await world.pool.execute("INSERT INTO relay_cursor SELECT 'notifier', position, 1 FROM log_head")
    assert await world.persons.destroy_erased() == [user]
    for envelope in await world.told():
        assert envelope.data["to"] is None
        assert envelope.erased


async def test_whoever_is_deleted_before_any_message_never_gets_a_key(world: World):
    user = world.identity.add_user(status="invited")
    await world.take_in(deleted(user, 2))
    await world.take_in(invitation(user, world.identity.add_link(user), sequence=1))
    await world.deliver()
    assert await world.pool.fetchval("SELECT count(*) FROM person_keys WHERE wrapped IS NOT NULL") == 0
    assert (await world.message())["error"] == "person_gone"


async def test_a_key_is_destroyed_after_a_week_even_if_nothing_is_published(world: World):
    user = await invite(world)
    await world.take_in(deleted(user, 2))
    await world.pool.execute("UPDATE person_keys SET forgotten_at = now() - interval '8 days'")
    assert await world.persons.destroy_erased() == [user]


async def test_the_log_takes_no_update(world: World):
    import asyncpg

    await invite(world)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.pool.execute("UPDATE log SET type = 'x'")


async def test_positions_of_the_log_are_dense_in_commit_order_under_many_writers(world: World):
    await asyncio.gather(*(invite(world) for _ in range(40)))
    await asyncio.gather(*(world.deliver() for _ in range(4)))
    positions = [
        row["position"] for row in await world.pool.fetch("SELECT position FROM log ORDER BY position")
    ]
    assert positions == list(range(1, 81))
    assert json.dumps(positions)


async def test_a_server_that_hangs_up_at_one_recipient_keeps_nobody_behind_it_waiting(world: World):
    first = await invite(world)
    await invite(world)
    world.mailbox.on_rcpt[f"{first}@acme.example"] = "421 not for this one"
    await world.pool.execute("UPDATE messages SET due_at = now() - interval '1 h' WHERE \"user\" = $1", first)
    assert not await world.deliver()
    rows = await world.pool.fetch('SELECT "user" = $1 AS first, state, attempts FROM messages', first)
    assert {tuple(row) for row in rows} == {(True, "failed", 1), (False, "failed", 0)}
    await world.pool.execute('UPDATE messages SET due_at = now() WHERE "user" <> $1', first)
    assert await world.deliver()
    rows = await world.pool.fetch('SELECT "user" = $1 AS first, state FROM messages', first)
    assert {tuple(row) for row in rows} == {(True, "failed"), (False, "sent")}
