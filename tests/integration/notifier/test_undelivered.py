"""Whom to send a mail again: the newest mail with a link of each person, when it did not arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from muster_contracts.credentials import PasswordChanged, PasswordResetRequested

from services.kit.errors import Invalid
from services.kit.ids import new_id
from services.kit.positions import CursorMismatch, Opaque
from services.notifier import undelivered
from services.notifier.outbox import MAX_ATTEMPTS
from tests.integration.notifier.world import ORG, World, invitation, mfa_reset, record

OPAQUE = Opaque(bytes(32))
REFUSED = "550 5.1.1 no such mailbox"


async def find(world: World, org: str = ORG, **asked: Any) -> dict[str, Any]:
    return await undelivered.find(world.pool, OPAQUE, org, undelivered.Asked.model_validate(asked))


async def told(world: World, **asked: Any) -> list[tuple[str, str, str]]:
    found = (await find(world, **asked))["data"]
    return [(each["user"], each["kind"], each["state"]) for each in found]


async def invite(world: World, *answers: str, status: str = "invited") -> str:
    user = world.identity.add_user(status=status)
    await send(world, invitation(user, world.identity.add_link(user)), *answers)
    return user


async def send(world: World, event: Any, *answers: str) -> None:
    """Take an event in and try its mail once; the mail server answers so."""
    world.mailbox.answers = list(answers)
    await world.take_in(event)
    await world.deliver()


def reset(user: str, link: str) -> Any:
    expires = datetime.now(UTC) + timedelta(days=1)
    event = PasswordResetRequested(
        user=user,
        by_admin=True,
        revoked=True,
        link=link,
        expires_at=expires,
        email="b@acme.example",
        kill=None,
    )
    return record(event)


async def test_a_mail_that_was_refused_is_told_without_address_and_words(world: World):
    user = await invite(world, REFUSED)
    assert await invite(world)
    found = await find(world)
    (only,) = found["data"]
    assert only.keys() == {"id", "user", "kind", "channel", "state", "error", "queued_at"}
    assert (only["user"], only["kind"], only["channel"]) == (user, "invitation", "email")
    assert (only["state"], only["error"]) == ("abandoned", "refused_550")
    assert found["count"] == {"value": 1, "exact": True}


async def test_one_that_is_tried_again_is_told_as_failed_also_while_it_is_being_tried(world: World):
    user = await invite(world, "451 try later")
    assert await told(world) == [(user, "invitation", "failed")]
    await world.make_due()
    await world.outbox.claim(1)
    assert await told(world) == [(user, "invitation", "failed")]


async def test_the_first_try_is_no_failure(world: World):
    user = world.identity.add_user(status="invited")
    await world.take_in(invitation(user, world.identity.add_link(user)))
    assert await told(world) == []
    await world.outbox.claim(1)
    assert await told(world) == []


async def test_tries_that_are_used_up_end_as_abandoned(world: World):
    user = await invite(world, *["451 try later"] * MAX_ATTEMPTS)
    for _ in range(MAX_ATTEMPTS):
        await world.make_due()
        await world.deliver()
    assert await told(world) == [(user, "invitation", "abandoned")]


async def test_sent_again_and_arrived_it_is_told_no_more(world: World):
    user = await invite(world, REFUSED)
    await send(world, invitation(user, world.identity.add_link(user), sequence=2))
    assert await told(world) == []
    await send(world, invitation(user, world.identity.add_link(user), sequence=3), REFUSED)
    assert await told(world) == [(user, "invitation", "abandoned")]


async def test_a_new_password_misses_no_link(world: World):
    user = world.identity.add_user()
    await send(world, reset(user, world.identity.add_link(user, "reset")), REFUSED)
    assert await told(world) == [(user, "reset_by_admin", "abandoned")]
    await send(world, record(PasswordChanged(user=user, kill=new_id("kil")), 2))
    assert await told(world) == []


async def test_a_mail_that_nobody_needs_is_no_matter(world: World):
    gone = world.identity.add_user(status="invited")
    await send(world, invitation(gone, new_id("lnk")))  # its link is closed
    await invite(world, status="inactive")
    notice = world.identity.add_user()
    await send(world, mfa_reset(notice), REFUSED)
    assert await told(world) == []


async def test_only_those_of_the_organization_and_of_whom_is_asked(world: World):
    one, two = await invite(world, REFUSED), await invite(world, REFUSED)
    assert await told(world, user=[one, new_id("usr")]) == [(one, "invitation", "abandoned")]
    assert {user for user, _, _ in await told(world)} == {one, two}
    assert (await find(world, org=new_id("org")))["data"] == []


async def test_pages_are_newest_first_and_belong_to_their_query(world: World):
    made = [await invite(world, REFUSED) for _ in range(3)]
    first = await find(world, limit=2)
    assert [each["user"] for each in first["data"]] == [made[2], made[1]]
    assert first["previous_cursor"] is None
    second = await find(world, limit=2, cursor=first["next_cursor"])
    assert [each["user"] for each in second["data"]] == [made[0]]
    assert second["next_cursor"] is None
    back = await find(world, limit=2, cursor=second["previous_cursor"])
    assert back["data"] == first["data"]
    with pytest.raises(CursorMismatch):
        await find(world, cursor=first["next_cursor"], user=[made[0]])
    with pytest.raises(Invalid):
        await find(world, cursor="x")
