"""The second reference text, "Users, Roles & MFA", sentence by sentence, as people see it."""

from __future__ import annotations

import re

from playwright.async_api import Locator, Page, expect

from tests.console.conftest import OpenFor
from tests.console.desk import ACCOUNT, USERS, Desk
from tests.e2e.people import Authenticator, Org, Person


async def test_the_way_to_the_users(desk: Desk) -> None:
    """In the left sidebar, click Settings to expand the settings menu. Click Organization, then select Users."""
    await desk.open(ACCOUNT)
    menu = desk.page.get_by_role("navigation", name="Main")
    await expect(menu.get_by_role("link", name="Users")).to_be_hidden()
    await menu.get_by_role("button", name="Settings").click()
    await menu.get_by_role("button", name="Organization").click()
    await menu.get_by_role("link", name="Users").click()
    await expect(desk.page).to_have_url(re.compile(f"{USERS}$"))


async def test_the_way_is_the_same_from_the_users_page(desk: Desk) -> None:
    await desk.open(USERS)
    menu = desk.page.get_by_role("navigation", name="Main")
    await menu.get_by_role("button", name="Settings").click()
    await menu.get_by_role("button", name="Organization").click()
    await menu.get_by_role("link", name="Users").click()
    await expect(desk.page.get_by_role("heading", name="Users", level=1)).to_be_visible()


async def test_the_table_lists_every_member_with_their_role(desk: Desk, acme: Org) -> None:
    """The organization user table lists every member. Each row shows the member and their role."""
    count = acme.owner.client.get("/v1/users", limit=1)["count"]["value"]
    await desk.open(f"{USERS}?limit=200")
    await expect(desk.page.locator("#count")).to_contain_text(f"of {count:,} users")
    rows = desk.page.locator("#users-table tbody tr")
    assert await rows.count() == min(count, 200)
    assert await rows.locator(".tag").count() == await rows.count()


async def test_each_organization_starts_with_three_roles(desk: Desk, acme: Org, member: Person) -> None:
    """Every member holds exactly one role. Each organization starts with three: Owner, Admin, Member."""
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    role = dialog.get_by_label("Role")
    assert (await role.locator("option").all_inner_texts())[:3] == ["Owner", "Admin", "Member"]
    assert await role.evaluate("e => !e.multiple && e.selectedOptions.length") == 1


async def test_full_details_opens_user_info(desk: Desk, acme: Org, member: Person) -> None:
    """Click the Full Details (info) icon at the end of the row. This opens the User Info dialog.

    Username, Email, Phone, Timezone, MFA status (Enabled or Not Enabled), PW Age, Role, Labels.
    """
    fields = {
        "username": f"u{member.id[-8:]}",
        "phone": "+43155501000",
        "timezone": "Europe/Vienna",
        "labels": ["blue"],
    }
    acme.owner.client.patch(f"/v1/users/{member.id}", fields)
    row = await desk.find({"id": member.id})
    last = row.get_by_role("button").last
    assert await last.locator("[data-icon]").get_attribute("data-icon") == "info-circle"
    await last.click()
    dialog = desk.dialog("User Info")
    shown = await facts(dialog)
    assert shown["Username"] == fields["username"]
    assert shown["Email"] == member.email
    assert shown["Phone"] == "+43155501000"
    assert shown["Timezone"] == "Europe/Vienna"
    assert shown["MFA"] == "Not Enabled"
    assert shown["PW Age"] == "less than a minute"
    assert shown["Role"] == "Member"
    assert shown["Labels"] == "blue"
    assert shown["Status"] == "Active"
    assert shown["Live sessions"] == "1: 127.0.0.1"


async def test_where_mfa_is_not_enabled_no_reset_button_appears(
    desk: Desk, acme: Org, member: Person
) -> None:
    """If a member's MFA status is Not Enabled, there's nothing to reset and no Reset button appears."""
    row = await desk.find({"id": member.id})
    await expect(row.get_by_role("button", name="Reset MFA")).to_have_count(0)
    dialog = await desk.act("Full Details", {"id": member.id}, "User Info")
    await expect(dialog.get_by_text("Not Enabled")).to_be_visible()
    await expect(dialog.get_by_role("button", name="Reset", exact=True)).to_have_count(0)


async def test_reset_from_user_info(desk: Desk, acme: Org, member: Person) -> None:
    """In the MFA row, the value reads Enabled, with a red outlined Reset button. Click Reset: "Reset MFA for ?"

    Click the red Reset MFA button to confirm. On success: "MFA has been reset for ."
    """
    member.enroll()
    await desk.find({"id": member.id})
    info = await desk.act("Full Details", {"id": member.id}, "User Info")
    assert (await facts(info))["MFA"].startswith("Enabled")
    reset = info.get_by_role("button", name="Reset", exact=True)
    assert await is_red(reset, "borderTopColor")
    assert await reset.evaluate("e => getComputedStyle(e).backgroundColor") in (
        "rgba(0, 0, 0, 0)",
        "transparent",
    )
    await reset.click()
    question = desk.dialog("Reset MFA")
    await expect(question).to_contain_text(f"Reset MFA for {member.name}?")
    confirm = question.get_by_role("button", name="Reset MFA", exact=True)
    assert await is_red(confirm, "backgroundColor")
    await confirm.click()
    await desk.said(f"MFA has been reset for {member.name}.")
    await expect(question).to_have_count(0)
    await expect(info.get_by_text("Not Enabled")).to_be_visible()
    await expect(info.get_by_role("button", name="Reset", exact=True)).to_have_count(0)
    assert acme.sign_in(member.email, member.password)[1]["next"] == "done"


async def test_a_reset_that_fails_says_what_to_do(desk: Desk, acme: Org, member: Person) -> None:
    """If the reset fails, an error message asks you to try again and to contact support if the problem persists."""
    member.enroll()
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Reset MFA", user, "Reset MFA")
    acme.owner.client.post(f"/v1/users/{member.id}/reset-mfa")  # somebody else was faster
    await desk.press(dialog, "Reset MFA")
    alert = dialog.get_by_role("alert")
    await expect(alert).to_contain_text("Please try again; if the problem persists, contact support")
    contact = acme.owner.client.get("/v1/organization")["support_contact"]
    await expect(alert).to_contain_text(contact)


async def test_an_admin_resets_the_mfa_of_members_and_admins(
    desk_of: OpenFor, acme: Org, admin: Person
) -> None:
    """Both Admins and Owners can reset MFA for users in their organization."""
    desk = await desk_of(acme, admin)
    for person in (acme.join(), acme.join("admin")):
        person.enroll()
        await desk.find({"id": person.id})
        dialog = await desk.act("Reset MFA", {"id": person.id}, "Reset MFA")
        await desk.press(dialog, "Reset MFA")
        await desk.said(f"MFA has been reset for {person.name}.")


async def test_only_an_owner_resets_the_mfa_of_an_owner(desk_of: OpenFor, acme: Org, admin: Person) -> None:
    """Owner: full access, including the ability to reset MFA for any member (including other Owners)."""
    other = acme.join("owner").enroll()
    try:
        desk = await desk_of(acme, admin)
        await desk.find({"id": other.id})
        dialog = await desk.act("Reset MFA", {"id": other.id}, "Reset MFA")
        await expect(dialog.get_by_role("alert")).to_contain_text("Only an Owner acts on an Owner")
        await expect(dialog.get_by_role("alert")).to_contain_text("Who can:")
        await expect(dialog.get_by_role("alert")).to_contain_text(acme.owner.name)
        await expect(dialog.get_by_role("button", name="Reset MFA", exact=True)).to_be_disabled()
        desk = await desk_of(acme, acme.owner)
        await desk.find({"id": other.id})
        dialog = await desk.act("Reset MFA", {"id": other.id}, "Reset MFA")
        await desk.press(dialog, "Reset MFA")
        await desk.said(f"MFA has been reset for {other.name}.")
    finally:
        acme.owner.client.patch(f"/v1/users/{other.id}", {"role": "member"})


async def test_setting_mfa_up_again(desk_of: OpenFor, acme: Org, member: Person) -> None:
    """A user can re-enroll from their own account using the Setup Multi Factor Authentication dialog.

    Auth App (recommended), an app such as Google Authenticator or Microsoft Authenticator; Text Message.
    """
    desk = await desk_of(acme, member)
    await desk.open(ACCOUNT)
    await desk.page.get_by_role("button", name="Setup Multi Factor Authentication").click()
    dialog = desk.dialog("Setup Multi Factor Authentication")
    await expect(dialog.get_by_role("radio", name="Auth App recommended")).to_be_checked()
    await expect(dialog).to_contain_text("such as Google Authenticator or Microsoft Authenticator")
    await expect(dialog.get_by_role("radio", name="Text Message")).to_be_disabled()
    await expect(dialog).to_contain_text("Receive a verification code by SMS.")
    await expect(dialog).to_contain_text("no provider for text messages is configured")
    await desk.press(dialog, "Continue")
    codes = await enter_first_code(desk.page, dialog)
    await expect(dialog).to_have_count(0)
    await expect(desk.page.locator("#mfa .status")).to_have_text("Enabled")
    assert len(codes) == len(set(codes)) == 10
    half, answer = acme.sign_in(member.email, member.password)
    assert answer["next"] == "otp"
    half.post("/v1/sign-in/otp", {"recovery_code": codes[0]})


async def enter_first_code(page: Page, dialog: Locator) -> list[str]:
    """Read the seed, enter a wrong and a right code, and return the recovery codes, which are shown once."""
    qr = dialog.get_by_role("img", name="QR code")
    await expect(qr).to_be_visible()
    assert await qr.evaluate("e => e.complete && e.naturalWidth > 100")
    app = Authenticator(await dialog.locator(".secret").inner_text())
    wrong = dialog.get_by_label("Enter the first code that the app shows")
    code = app.code()
    await wrong.fill(f"{(int(code) + 1) % 1_000_000:06}")
    await dialog.get_by_role("button", name="Confirm").click()
    await expect(dialog.get_by_role("alert")).to_be_visible()
    await wrong.fill(code)
    await dialog.get_by_role("button", name="Confirm").click()
    await expect(dialog.get_by_text("Multi-factor authentication is set up.")).to_be_visible()
    codes = await dialog.locator(".codes code").all_inner_texts()
    await dialog.get_by_role("button", name="Done").click()
    return codes


async def facts(dialog: Locator) -> dict[str, str]:
    rows = dialog.locator("dl.facts > div")
    await expect(rows.first).to_be_visible()
    found = [
        (await row.locator("dt").inner_text(), await row.locator("dd").inner_text())
        for row in await rows.all()
    ]
    return {name: " ".join(value.split()) for name, value in found}


async def is_red(of: Locator, prop: str) -> bool:
    color = await of.evaluate(f"e => getComputedStyle(e).{prop}")
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return red > 1.8 * max(green, blue)
