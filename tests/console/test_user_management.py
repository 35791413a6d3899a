"""The first reference text, "User Management", sentence by sentence, as an administrator sees it."""

from __future__ import annotations

import re

from playwright.async_api import Locator, expect

from tests.console.conftest import OpenFor
from tests.console.desk import AUDIT, USERS, Desk
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Org, Person


async def test_only_visible_to_organization_administrators(
    desk_of: OpenFor, acme: Org, member: Person
) -> None:
    """This page is only visible to organization administrators."""
    desk = await desk_of(acme, member)
    await desk.open(USERS)
    await expect(desk.page.get_by_role("main")).to_contain_text("only visible to organization administrators")
    await expect(desk.page.get_by_role("main")).to_contain_text("users.read")
    await expect(desk.page.get_by_role("link", name="Users")).to_have_count(0)


async def test_manage_your_organizations_users(desk: Desk) -> None:
    """Edit profiles, reset MFA, reset passwords, deactivate, and delete accounts."""
    await desk.open(USERS)
    await expect(desk.page.get_by_role("heading", name="Users", level=1)).to_be_visible()
    words = "edit profiles, reset MFA, reset passwords, deactivate, and delete accounts"
    await expect(desk.page.get_by_role("main")).to_contain_text(words)


async def test_users_is_under_the_admin_section_of_the_sidebar(desk: Desk) -> None:
    """Navigate to Users under the Admin section in the sidebar."""
    await desk.open("/admin/users?q=amara")
    assert desk.page.url.endswith(f"{USERS}?q=amara")
    section = desk.page.get_by_role("navigation").get_by_role("list", name="Admin")
    await expect(desk.page.get_by_role("heading", name="Admin")).to_be_visible()
    await section.get_by_role("link", name="Users").click()
    await expect(desk.page).to_have_url(re.compile(f"{USERS}$"))


async def test_the_table_shows_its_columns(desk: Desk) -> None:
    """Name, Email, Role, Status, Created, Actions."""
    await desk.open(USERS)
    headers = [text.strip() for text in await desk.page.get_by_role("columnheader").all_inner_texts()]
    assert headers == ["Name", "Email", "Role", "Status", "Last sign-in", "Created", "Actions"]


async def test_a_row_shows_name_email_role_badge_status_and_day(
    desk: Desk, acme: Org, member: Person
) -> None:
    """User's full name; email address; Admin or Member badge; Active (green); when the user was added."""
    user = acme.user(member.id)
    row = await desk.find(user)
    await expect(row).to_contain_text(member.name)
    await expect(row).to_contain_text(member.email)
    await expect(row.locator(".tag")).to_have_text("Member")
    await expect(row.locator(".status")).to_have_text("Active")
    assert await hue(row.locator(".status")) == "green"
    created = row.get_by_role("cell").nth(5).locator("time")
    assert await created.get_attribute("datetime") == user["created_at"]
    admin = acme.join("admin")
    row = await desk.find({"id": admin.id})
    await expect(row.locator(".tag")).to_have_text("Admin")


async def test_a_row_ends_with_its_buttons(desk: Desk, acme: Org, member: Person) -> None:
    """Edit, Reset MFA, Reset Password, Delete buttons: pencil, key, lock, trash."""
    member.enroll()
    row = await desk.find({"id": member.id})
    buttons = row.get_by_role("button")
    icons = [await each.locator("[data-icon]").get_attribute("data-icon") for each in await buttons.all()]
    assert icons == ["pencil", "key", "lock", "trash", "info-circle"]
    names = [(await each.inner_text()).strip() for each in await buttons.all()]
    assert names == [
        f"Edit {member.name}",
        f"Reset MFA for {member.name}",
        f"Reset Password for {member.name}",
        f"Delete {member.name}",
        f"Full Details for {member.name}",
    ]


async def test_edit_name_and_role(desk: Desk, acme: Org, member: Person) -> None:
    """An Edit User dialog appears with fields: Name, Role (Admin and Member), Active checkbox. Click Save."""
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await expect(dialog.get_by_label("Active")).to_be_checked()
    options = await dialog.get_by_label("Role").locator("option").all_inner_texts()
    assert {"Admin", "Member"} <= set(options)
    await dialog.get_by_label("Name", exact=True).fill("Renamed In The Browser")
    await dialog.get_by_label("Role").select_option(label="Admin")
    await desk.press(dialog, "Save")
    await expect(dialog).to_have_count(0)
    await expect(row.get_by_role("link")).to_have_text("Renamed In The Browser")
    await expect(row.locator(".tag")).to_have_text("Admin")
    saved = acme.user(member.id)
    assert (saved["name"], saved["role"]["name"]) == ("Renamed In The Browser", "Admin")


async def test_reset_mfa(desk: Desk, acme: Org, member: Person) -> None:
    """Click the Reset MFA button; a confirmation dialog appears: "Reset MFA"; click Reset MFA to confirm.

    MFA is disabled and recovery codes are deleted. They can sign in with just their password.
    """
    member.enroll()
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Reset MFA", user, "Reset MFA")
    await expect(dialog).to_contain_text("MFA is disabled and recovery codes are deleted")
    await expect(dialog).to_contain_text("1 second factor is removed")
    await expect(dialog).to_contain_text("10 recovery codes are deleted")
    await desk.press(dialog, "Reset MFA")
    await desk.said(f"MFA has been reset for {member.name}.")
    await expect(row.get_by_role("button", name="Reset MFA")).to_have_count(0)
    assert acme.user(member.id)["mfa"] == {"status": "not_enabled", "factors": []}
    assert acme.sign_in(member.email, member.password)[1]["next"] == "done"


async def test_where_mfa_is_enforced_they_are_prompted_to_set_it_up(
    window: Desk, desk_of: OpenFor, strict_org: Org
) -> None:
    """If organization MFA is enforced, they'll be prompted to set up MFA again on next login."""
    person = strict_org.accept(strict_org.invite())
    person.client, _ = strict_org.sign_in(person.email, person.password)
    person.enroll()
    desk = await desk_of(strict_org, strict_org.owner)
    user = strict_org.user(person.id)
    await desk.find(user)
    dialog = await desk.act("Reset MFA", user, "Reset MFA")
    await expect(dialog).to_contain_text("enforces MFA")
    await desk.press(dialog, "Reset MFA")
    await desk.said("MFA has been reset")

    await window.open("/sign-in")
    await window.page.get_by_label("Organization").fill(strict_org.slug)
    await window.page.get_by_label("Email or username").fill(person.email)
    await window.page.get_by_label("Password", exact=True).fill(person.password)
    await window.page.get_by_role("button", name="Sign in").click()
    await expect(window.page.get_by_role("heading", name="Setup Multi Factor Authentication")).to_be_visible()


async def test_reset_password(desk: Desk, acme: Org, member: Person, mailbox: Mailbox) -> None:
    """Click the Reset Password button; a dialog appears; confirm. The user receives a password reset email."""
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Reset Password", user, "Reset Password")
    await expect(dialog).to_contain_text("receives a password reset email")
    await expect(dialog).to_contain_text("1 session ends")
    box = dialog.get_by_role("checkbox")
    await box.uncheck()
    await expect(dialog).not_to_contain_text("session ends")
    await box.check()
    await expect(dialog).to_contain_text("1 session ends")
    await desk.press(dialog, "Reset Password")
    await desk.said(f"{member.name} receives a password reset email.")
    assert mailbox.wait(member.email, link="reset-password")
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)


async def test_deactivate_and_reactivate(desk: Desk, acme: Org, member: Person) -> None:
    """Uncheck the Active checkbox, click Save: sessions end, IP rules are revoked, they cannot sign in.

    Their status changes to Inactive (gray). To reactivate, check the Active checkbox again and click Save.
    """
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Active").uncheck()
    await expect(dialog).to_contain_text("1 session ends")
    await expect(dialog).to_contain_text("1 IP rule is revoked")
    await desk.press(dialog, "Save")
    await expect(row.locator(".status")).to_have_text("Inactive")
    assert await hue(row.locator(".status")) == "gray"
    await desk.said(f"{member.name} has been deactivated.")
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
    rules = acme.owner.client.get("/v1/ip-rules", limit=200)["data"]
    assert not [rule for rule in rules if rule["user"] == member.id]
    assert acme.try_sign_in(member.email, member.password).status_code == 401

    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Active").check()
    await desk.press(dialog, "Save")
    await expect(row.locator(".status")).to_have_text("Active")
    acme.enter(member)


async def test_delete(desk: Desk, acme: Org, member: Person) -> None:
    """Click the Delete button, confirm the deletion. Deleting a user is irreversible. Deactivate first if unsure."""
    user = acme.user(member.id)
    row = await desk.find(user)
    dialog = await desk.act("Delete", user, "Delete User")
    await expect(dialog).to_contain_text(
        "Deleting a user is irreversible. Deactivate first if you're unsure."
    )
    await dialog.get_by_label("Type the email address to confirm").fill(member.email)
    await desk.press(dialog, "Delete")
    await expect(row).to_have_count(0)
    await desk.said(f"{member.name} has been deleted.")
    acme.owner.client.refused("GET", f"/v1/users/{member.id}", code="not_found", status=404)


async def test_a_deletion_is_confirmed_by_typing_the_address(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Delete", user, "Delete User")
    await dialog.get_by_label("Type the email address to confirm").fill("somebody@else.example")
    await desk.press(dialog, "Delete")
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await dialog.get_by_label("Type the email address to confirm").fill(member.email)
    await desk.press(dialog, "Delete")  # with a key of its own: the first one belongs to the refusal
    await expect(dialog).to_have_count(0)


async def test_the_last_administrator_cannot_be_deleted(desk_of: OpenFor, other_org: Org) -> None:
    """You cannot delete the last administrator in an organization."""
    desk = await desk_of(other_org, other_org.owner)
    user = other_org.user(other_org.owner.id)
    await desk.find(user)
    dialog = await desk.act("Delete", user, "Delete User")
    await expect(dialog).to_contain_text("You cannot delete the last administrator in an organization.")
    await expect(dialog.get_by_role("button", name="Delete", exact=True)).to_be_disabled()


async def test_acts_are_in_the_audit_log_with_identity_time_and_address(
    desk: Desk, acme: Org, member: Person
) -> None:
    """All actions are recorded in the audit log with the admin's identity, timestamp, and IP address."""
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Active").uncheck()
    await desk.press(dialog, "Save")
    await desk.said("deactivated")
    await desk.page.get_by_role("link", name="View in audit log").click()
    await expect(desk.page).to_have_url(re.compile(AUDIT))
    record = desk.page.get_by_role("row", name=f"{acme.owner.name} deactivated {member.name}.")
    await expect(record).to_contain_text("127.0.0.1")
    await expect(record.locator("time")).to_have_text(re.compile(r"\d+ \w+ 2\d{3}, \d\d:\d\d:\d\d \w+"))


async def hue(of: Locator) -> str:
    """Roughly the color behind a word."""
    color = await of.evaluate("e => getComputedStyle(e).backgroundColor")
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return (
        "green"
        if green > red + 5 and green > blue + 3
        else "gray"
        if max(red, green, blue) - min(red, green, blue) < 16
        else color
    )
