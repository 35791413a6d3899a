"""A mail that cannot be delivered shows on the row, with "Send again"."""

from __future__ import annotations

from itertools import count

from playwright.async_api import Route, expect

from tests.console.desk import USERS, Desk
from tests.e2e.client import Json, wait_until
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import RUN, Org, Person
from tests.e2e.place import Place

LOST = "Mail not delivered"
NUMBERS = count(1)


def undelivered(org: Org, user: str) -> list[str]:
    found = org.owner.client.get("/v1/undelivered-messages", user=user)["data"]
    return [each["state"] for each in found]


def lose(org: Org, user: str) -> None:
    wait_until(lambda: undelivered(org, user) == ["abandoned"], f"the mail to {user} is given up")


def invite_at_nowhere(org: Org, mailbox: Mailbox) -> Json:
    """Somebody whose invitation was refused by the mail server; the next mail arrives."""
    address = f"lost{next(NUMBERS)}.{RUN}@console.example"
    with mailbox.refusing(address):
        user = org.invite(email=address)
        lose(org, user["id"])
    return user


async def test_an_invitation_that_was_lost_is_sent_again(desk: Desk, acme: Org, mailbox: Mailbox) -> None:
    user = invite_at_nowhere(acme, mailbox)
    row = await desk.find(user)
    await expect(row).to_contain_text(LOST)
    assert await desk.violations() == []
    await row.get_by_role("button", name="Send again").click()
    dialog = desk.dialog("Resend Invitation")
    await expect(dialog).to_contain_text("The last one could not be delivered.")
    await desk.press(dialog, "Resend Invitation")
    await desk.said("The invitation has been sent again")
    await expect(row).not_to_contain_text(LOST)
    assert mailbox.wait(user["email"], link="invitation")
    assert undelivered(acme, user["id"]) == []
    await desk.page.reload()
    await desk.page.wait_for_load_state("networkidle")
    await expect(row).not_to_contain_text(LOST)


async def test_one_that_is_lost_again_shows_again(desk: Desk, acme: Org, mailbox: Mailbox) -> None:
    user = invite_at_nowhere(acme, mailbox)
    row = await desk.find(user)
    with mailbox.refusing(user["email"]):
        await row.get_by_role("button", name="Send again").click()
        await desk.press(desk.dialog("Resend Invitation"), "Resend Invitation")
        await desk.said("The invitation has been sent again")
        await expect(row).to_contain_text(LOST)


async def test_a_reset_mail_is_sent_again_and_ends_nothing_more(
    desk: Desk, acme: Org, member: Person, mailbox: Mailbox
) -> None:
    with mailbox.refusing(member.email):
        acme.owner.client.post(f"/v1/users/{member.id}/reset-password", {"revoke_now": False})
        lose(acme, member.id)
    row = await desk.find({"id": member.id})
    await row.get_by_role("button", name="Send again").click()
    dialog = desk.dialog("Reset Password")
    await expect(dialog).to_contain_text(f"Send the mail to {member.name} again?")
    await expect(dialog.get_by_role("checkbox")).not_to_be_checked()
    await expect(dialog).not_to_contain_text("session ends")
    await desk.press(dialog, "Reset Password")
    await desk.said("receives a password reset email")
    assert mailbox.wait(member.email, link="reset-password")
    member.client.get("/v1/me")
    await expect(row).not_to_contain_text(LOST)


async def test_the_table_is_there_while_the_notifier_is_away(
    desk: Desk, place: Place, member: Person
) -> None:
    with place.frozen("notifier"):
        row = await desk.find({"id": member.id})
        await expect(row.locator(".status")).to_have_text("Active")
        assert await desk.page.get_by_role("alert").count() == 0


async def test_an_answer_that_comes_late_finds_no_row_and_does_no_harm(
    desk: Desk, acme: Org, mailbox: Mailbox
) -> None:
    user = invite_at_nowhere(acme, mailbox)
    held: list[Route] = []

    async def hold(route: Route) -> None:
        held.append(route)

    await desk.page.route("**/_/users/mails?*", hold)
    await desk.find(user)
    await desk.page.get_by_label("Search").fill("nobody-of-this-name")
    await expect(desk.page.get_by_text("Nobody matches")).to_be_visible()
    async with desk.page.expect_response("**/_/users/mails?*"):
        await held[0].continue_()
    await desk.page.wait_for_load_state("networkidle")
    assert desk.complaints == []


async def test_two_hundred_rows_are_one_question(desk: Desk, acme: Org) -> None:
    async with desk.page.expect_response("**/_/users/mails?*") as found:
        await desk.open(f"{USERS}?limit=200")
    assert (await found.value).status == 200
    assert desk.complaints == []
