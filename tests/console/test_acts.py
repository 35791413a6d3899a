"""What holds for every act in the browser: once, when the server said so, with its reason told, nothing lost."""

from __future__ import annotations

import json
import re

import asyncpg
import pytest
from playwright.async_api import Route, expect

from tests.console.conftest import OpenFor, token_of
from tests.console.desk import USERS, Desk, hold
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import RUN, Org, Person
from tests.e2e.place import Place


async def test_invite_and_resend(desk: Desk, acme: Org, mailbox: Mailbox) -> None:
    await desk.open(USERS)
    await desk.page.get_by_role("button", name="Invite user").click()
    dialog = desk.dialog("Invite User")
    address = f"invited.{RUN}@console.example"
    await dialog.get_by_label("Email").fill(address)
    await dialog.get_by_label("Name", exact=True).fill("Ingrid Invited")
    await dialog.get_by_label("Role").select_option(label="Member")
    await dialog.get_by_text("More details").click()
    await dialog.get_by_label("Labels").fill("blue, green")
    await desk.press(dialog, "Invite")
    await desk.said("Ingrid Invited has been invited")
    row = desk.page.get_by_role("row", name=address)
    await expect(row.locator(".status")).to_have_text("Invited")
    first = mailbox.wait(address, link="invitation")
    user = acme.owner.client.get("/v1/users", q=address)["data"][0]
    assert user["labels"] == ["blue", "green"]
    again = await desk.act("Resend Invitation", user, "Resend Invitation")
    await desk.press(again, "Resend Invitation")
    await desk.said("The invitation has been sent again")
    assert first


async def test_an_address_that_is_taken_keeps_the_form(desk: Desk, member: Person) -> None:
    await desk.open(USERS)
    await desk.page.get_by_role("button", name="Invite user").click()
    dialog = desk.dialog("Invite User")
    await dialog.get_by_label("Email").fill(member.email)
    await dialog.get_by_label("Name", exact=True).fill("Somebody Else")
    await desk.press(dialog, "Invite")
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await expect(dialog.get_by_label("Name", exact=True)).to_have_value("Somebody Else")
    await dialog.get_by_label("Email").fill(f"other.{member.email}")
    await desk.press(dialog, "Invite")
    await desk.said("Somebody Else has been invited")


async def test_a_double_click_does_one_thing(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Reset Password", user, "Reset Password")
    await dialog.get_by_role("button", name="Reset Password", exact=True).dblclick()
    await expect(dialog).to_have_count(0)
    rows = acme.owner.client.get(f"/v1/users/{member.id}/timeline")["data"]
    assert [row["type"] for row in rows].count("password.reset_requested") == 1


async def test_the_same_form_sent_twice_does_one_thing(desk: Desk, acme: Org, member: Person) -> None:
    """Whatever the browser does: the key that was rendered into the form makes the second one a replay."""
    await desk.find({"id": member.id})
    await desk.act("Reset Password", {"id": member.id}, "Reset Password")
    sent = """async () => {
        const form = document.querySelector("#form-reset-password");
        const headers = {"Muster-Csrf": document.querySelector("meta[name=muster-csrf]").content};
        const body = new URLSearchParams(new FormData(form));
        const send = () => fetch(form.getAttribute("hx-post"), {method: "POST", headers, body});
        return (await Promise.all([send(), send(), send()])).map(answer => answer.status);
    }"""
    assert await desk.page.evaluate(sent) == [200, 200, 200]
    rows = acme.owner.client.get(f"/v1/users/{member.id}/timeline")["data"]
    assert [row["type"] for row in rows].count("password.reset_requested") == 1


async def test_a_row_is_not_shown_as_changed_before_the_server_said_so(
    desk: Desk, acme: Org, member: Person
) -> None:
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    held: list[Route] = []
    await desk.page.route(
        "**/edit", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    await dialog.get_by_label("Active").uncheck()
    await desk.press(dialog, "Save")
    await expect(dialog.get_by_role("button", name="Saving…")).to_be_disabled()
    await expect(row.locator(".status")).to_have_text("Active")
    await expect(dialog).to_be_visible()
    await held[0].continue_()
    await expect(row.locator(".status")).to_have_text("Inactive")
    await expect(dialog).to_have_count(0)


async def test_a_server_that_is_away_changes_nothing(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Name", exact=True).fill("Not Yet")
    await desk.page.route("**/edit", lambda route: route.abort())
    await desk.press(dialog, "Save")
    await desk.said("Muster does not answer")
    await expect(row.get_by_role("link")).to_have_text(member.name)
    await desk.page.unroute("**/edit")
    await desk.press(dialog, "Save")
    await expect(row.get_by_role("link")).to_have_text("Not Yet")


async def test_a_stale_form_shows_theirs_and_mine(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Name", exact=True).fill("My Name For Them")
    acme.owner.client.patch(f"/v1/users/{member.id}", {"name": "Their Name", "labels": ["theirs"]})
    await desk.press(dialog, "Save")
    alert = dialog.get_by_role("alert")
    await expect(alert).to_contain_text("Somebody else saved meanwhile")
    await expect(alert).to_contain_text(f"Name changed by {acme.owner.name}")
    await expect(alert).to_contain_text("theirs “Their Name”, mine “My Name For Them”")
    await expect(dialog.get_by_label("Name", exact=True)).to_have_value("My Name For Them")
    await desk.press(dialog, "Keep mine")
    await expect(row.get_by_role("link")).to_have_text("My Name For Them")
    saved = acme.user(member.id)
    assert (saved["name"], saved["labels"]) == ("My Name For Them", ["theirs"])


async def test_of_a_stale_form_theirs_can_be_taken(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Name", exact=True).fill("My Name For Them")
    acme.owner.client.patch(f"/v1/users/{member.id}", {"name": "Their Name"})
    await desk.press(dialog, "Save")
    await desk.press(dialog, "Take theirs")
    await expect(dialog.get_by_label("Name", exact=True)).to_have_value("Their Name")
    await expect(dialog.get_by_role("alert")).to_have_count(0)
    assert acme.user(member.id)["name"] == "Their Name"


async def test_a_refusal_names_the_rule_and_who_can(desk_of: OpenFor, acme: Org, admin: Person) -> None:
    desk = await desk_of(acme, admin)
    await desk.find({"id": acme.owner.id})
    dialog = await desk.act("Edit", {"id": acme.owner.id}, "Edit User")
    await dialog.get_by_label("Name", exact=True).fill("Demoted")
    await desk.press(dialog, "Save")
    alert = dialog.get_by_role("alert")
    await expect(alert).to_contain_text("Only an Owner acts on an Owner")
    await expect(alert).to_contain_text("Who can:")
    await expect(dialog.get_by_label("Name", exact=True)).to_have_value("Demoted")


async def test_nobody_acts_on_themself(desk: Desk, acme: Org) -> None:
    await desk.find({"id": acme.owner.id})
    dialog = await desk.act("Edit", {"id": acme.owner.id}, "Edit User")
    await dialog.get_by_label("Active").uncheck()
    await expect(dialog.get_by_role("alert")).to_be_visible()


async def test_without_the_permission_a_button_says_which_one(
    desk_of: OpenFor, acme: Org, member: Person
) -> None:
    desk = await desk_of(acme, member)
    for path, permission in ((USERS, "users.read"), ("/settings/organization/audit", "audit.read")):
        answer = await desk.page.goto(path)
        assert answer
        assert answer.status == 403
        await expect(desk.page.get_by_role("main")).to_contain_text(permission)


@pytest.mark.parametrize("has_factor", [False, True])
async def test_confirmation_is_asked_without_losing_the_form(
    desk: Desk, place: Place, acme: Org, member: Person, has_factor: bool
) -> None:
    boss = acme.join("owner")
    try:
        app = boss.enroll().app if has_factor else None
        await hold(desk.page.context, desk.console, token_of(acme, boss))
        await desk.find({"id": member.id})
        dialog = await desk.act("Reset Password", {"id": member.id}, "Reset Password")
        await dialog.get_by_label("Reason").fill("asked by phone")
        await eleven_minutes_pass(place, boss)
        await desk.press(dialog, "Reset Password")
        question = desk.dialog("Confirm that it is you")
        await expect(question).to_be_visible()
        assert await desk.violations() == []
        label, wrong = ("Code from your authenticator app", "000000") if app else ("Your password", "wrong")
        await question.get_by_label(label, exact=True).fill(wrong)
        await desk.press(question, "Confirm")
        await expect(question.get_by_role("alert")).to_be_visible()
        await expect(dialog.get_by_label("Reason")).to_have_value("asked by phone")
        await question.get_by_label(label, exact=True).fill(app.code() if app else boss.password)
        await desk.press(question, "Confirm")
        await desk.said(f"{member.name} receives a password reset email.")
        await expect(desk.page.get_by_role("dialog")).to_have_count(0)
        row = acme.owner.client.get(f"/v1/users/{member.id}/timeline")["data"]
        asked = next(each for each in row if each["type"] == "password.reset_requested")
        assert asked["reason"] == "asked by phone"
    finally:
        acme.owner.client.patch(f"/v1/users/{boss.id}", {"role": "member"})


async def eleven_minutes_pass(place: Place, person: Person) -> None:
    """Since the sessions of this person were confirmed."""
    var, run = place.run_file.parent, place.read()
    password = json.loads((var / "secrets").read_text("utf-8"))["postgres"]
    port = int(run["gateway"].rpartition(":")[2]) + 6
    connection = await asyncpg.connect(f"postgresql://postgres:{password}@127.0.0.1:{port}/identity")
    try:
        aged = await connection.execute(
            "UPDATE session_use SET confirmed_at = confirmed_at - interval '11 minutes' "
            'WHERE session IN (SELECT id FROM sessions WHERE "user" = $1)',
            person.id,
        )
        assert aged != "UPDATE 0"
    finally:
        await connection.close()


async def test_focus_goes_back_to_where_it_was(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    for verb, title in (("Edit", "Edit User"), ("Delete", "Delete User"), ("Full Details", "User Info")):
        dialog = await desk.act(verb, user, title)
        await desk.page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        assert re.fullmatch(rf"act-\w+-{member.id}", await desk.focused() or ""), verb
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Name", exact=True).fill("Focused")
    await desk.press(dialog, "Save")
    await expect(dialog).to_have_count(0)
    assert await desk.focused() == f"act-edit-{member.id}"


async def test_after_a_deletion_the_next_row_has_the_focus(desk: Desk, acme: Org) -> None:
    label = f"pair-{RUN}"
    users = [acme.invite(labels=[label], name=f"Pair {number}") for number in (1, 2)]
    await desk.open(f"{USERS}?label={label}&sort=name")
    dialog = await desk.act("Delete", users[0], "Delete User")
    await dialog.get_by_label("Type the email address to confirm").fill(users[0]["email"])
    await desk.press(dialog, "Delete")
    await expect(desk.row(users[0])).to_have_count(0)
    await expect(desk.page.locator("#count")).to_have_text("1-1 of 1 user")
    assert await desk.focused() == f"open-{users[1]['id']}"


async def test_scroll_and_place_survive_a_save(desk: Desk, acme: Org) -> None:
    await desk.open(f"{USERS}?sort=name")
    rows = desk.page.locator("#users-table tbody tr")
    user = {"id": (await rows.nth(40).get_attribute("id") or "").removeprefix("row-")}
    await desk.row(user).scroll_into_view_if_needed()
    before = await desk.page.evaluate("scrollY")
    assert before > 200
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_text("More details").click()
    await dialog.get_by_label("Labels").fill(f"scrolled-{RUN}")
    await desk.press(dialog, "Save")
    await expect(dialog).to_have_count(0)
    assert abs(await desk.page.evaluate("scrollY") - before) < 5
    assert await rows.nth(40).get_attribute("id") == f"row-{user['id']}"


async def test_enter_never_destroys(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Delete", user, "Delete User")
    assert await dialog.get_by_role("button", name="Cancel").evaluate("e => e === document.activeElement")
    await dialog.get_by_label("Type the email address to confirm").fill(member.email)
    await desk.page.keyboard.press("Enter")
    await desk.page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    assert acme.user(member.id)["status"] == "active"


async def test_end_one_and_all_sessions(desk: Desk, acme: Org, member: Person) -> None:
    first, second = member.client, acme.enter(member).client
    await desk.find({"id": member.id})
    info = await desk.act("Full Details", {"id": member.id}, "User Info")
    await info.get_by_role("tab", name="Sessions").click()
    entries = info.locator(".list > li")
    await expect(entries).to_have_count(2)
    await expect(entries.first).to_contain_text("127.0.0.1")
    await entries.first.get_by_role("button", name="End").click()
    await expect(entries).to_have_count(1)
    await desk.press(info, "End all sessions")
    question = desk.dialog("End All Sessions")
    await expect(question).to_contain_text("1 session ends")
    await desk.press(question, "End All Sessions")
    await expect(info.get_by_text("No live session.")).to_be_visible()
    for client in (first, second):
        client.refused("GET", "/v1/me", code="unauthenticated", status=401)


async def test_the_timeline_tells_who_did_what(desk: Desk, acme: Org, member: Person) -> None:
    acme.owner.client.patch(f"/v1/users/{member.id}", {"name": "Two Point Oh", "reason": "married"})
    await desk.find({"id": member.id})
    info = await desk.act("Full Details", {"id": member.id}, "User Info")
    await info.get_by_role("tab", name="Timeline").click()
    entry = info.locator(".timeline li").first
    await expect(entry).to_contain_text(f"Name changed by {acme.owner.name}")
    await expect(entry).to_contain_text(f"{member.name} → Two Point Oh")
    await expect(entry).to_contain_text("married")


async def test_a_reason_is_kept(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Active").uncheck()
    await dialog.get_by_label("Reason").fill("left the company")
    await desk.press(dialog, "Save")
    await desk.said("deactivated")
    row = acme.owner.client.get(f"/v1/users/{member.id}/timeline")["data"][0]
    assert row["reason"] == "left the company"


async def test_a_session_that_ended_leads_to_the_sign_in(desk: Desk, acme: Org, member: Person) -> None:
    await hold(desk.page.context, desk.console, member.client.token or "")
    await desk.open("/account")
    acme.owner.client.post(f"/v1/users/{member.id}/deactivate")
    await desk.page.get_by_role("button", name="Setup Multi Factor Authentication").click()
    await expect(desk.page).to_have_url(re.compile(r"/sign-in\?next=/account$"))


async def test_somebody_who_is_gone_is_told_in_the_page(desk: Desk, acme: Org, member: Person) -> None:
    await desk.find({"id": member.id})
    acme.owner.client.delete(f"/v1/users/{member.id}", {"confirm": member.email})
    await desk.row({"id": member.id}).get_by_role("button", name="Edit").click()
    await expect(desk.page.locator("#messages").get_by_role("alert")).to_be_visible()
