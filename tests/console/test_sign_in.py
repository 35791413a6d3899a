"""Signing in at the console: every step, every refusal, and where one is led."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.console.desk import ACCOUNT, AUDIT, USERS, Desk, hold
from tests.console.test_roles_and_mfa import enter_first_code
from tests.e2e.people import Authenticator, Org, Person
from tests.e2e.place import Place


async def sign_in(desk: Desk, slug: str, login: str, password: str) -> None:
    page = desk.page
    await page.get_by_label("Organization").fill(slug)
    await page.get_by_label("Email or username").fill(login)
    await page.get_by_label("Password", exact=True).fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def test_the_printed_sign_ins_work(window: Desk, place: Place) -> None:
    run = place.read()
    for who in ("owner", "admin"):
        await window.page.context.clear_cookies()
        await window.open("/")
        await sign_in(window, run["organization"], run[who]["email"], run[who]["password"])
        await expect(window.page).to_have_url(re.compile(f"{USERS}$"))
        await expect(window.page.get_by_role("heading", name="Users", level=1)).to_be_visible()


async def test_a_member_begins_at_their_account(window: Desk, acme: Org, member: Person) -> None:
    await window.open(USERS)
    await sign_in(window, acme.slug, member.email, member.password)
    await expect(window.page).to_have_url(re.compile(f"{ACCOUNT}$"))
    await expect(window.page.get_by_role("heading", name="Your account")).to_be_visible()
    await window.open(USERS)
    await expect(window.page.get_by_role("main")).to_contain_text("users.read")
    await window.page.get_by_role("main").get_by_role("link", name="Your account").click()
    await expect(window.page.get_by_role("heading", name="Your account")).to_be_visible()


async def test_a_wrong_password_and_an_unknown_login_look_the_same(
    window: Desk, acme: Org, member: Person
) -> None:
    told: list[str] = []
    for login in (member.email, "nobody@nowhere.example"):
        await window.open("/sign-in")
        await sign_in(window, acme.slug, login, "not the password")
        alert = window.page.get_by_role("alert")
        await expect(alert).to_be_visible()
        told.append(await alert.inner_text())
        await expect(window.page.get_by_label("Email or username")).to_have_value(login)
        await expect(window.page.get_by_label("Password", exact=True)).to_have_value("")
    assert told[0] == told[1]


async def test_one_is_led_where_one_was_going(window: Desk, acme: Org, member: Person) -> None:
    await window.open(ACCOUNT)
    await expect(window.page).to_have_url(re.compile(r"/sign-in\?next=/account$"))
    await sign_in(window, acme.slug, member.email, member.password)
    await expect(window.page).to_have_url(re.compile(f"{ACCOUNT}$"))


async def test_nobody_is_led_to_another_site(window: Desk, acme: Org, member: Person) -> None:
    for target in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        await window.page.context.clear_cookies()
        await window.open(f"/sign-in?next={target}")
        await sign_in(window, acme.slug, member.email, member.password)
        await expect(window.page).to_have_url(re.compile(f"^{re.escape(window.console)}{ACCOUNT}$"))


async def test_the_second_factor(window: Desk, acme: Org, member: Person) -> None:
    app = member.enroll().app
    assert app
    await window.open(ACCOUNT)
    await sign_in(window, acme.slug, member.email, member.password)
    await expect(window.page.get_by_role("heading", name="Enter your code")).to_be_visible()
    assert await window.violations() == []
    await window.open(USERS)  # half a session opens nothing else
    await expect(window.page.get_by_role("heading", name="Enter your code")).to_be_visible()
    await window.page.get_by_label("Code from your authenticator app").fill("000000")
    await window.page.get_by_role("button", name="Continue").click()
    await expect(window.page.get_by_role("alert")).to_be_visible()
    await window.page.get_by_label("Code from your authenticator app").fill(app.code())
    await window.page.get_by_role("button", name="Continue").click()
    await expect(window.page).not_to_have_url(re.compile("sign-in"))


async def test_a_recovery_code(window: Desk, acme: Org, member: Person) -> None:
    codes = member.enroll().recovery_codes
    for expected in ("Your account", "Recovery code"):  # each works once
        await window.page.context.clear_cookies()
        await window.open(ACCOUNT)
        await sign_in(window, acme.slug, member.email, member.password)
        await window.page.get_by_role("link", name="Use a recovery code").click()
        await window.page.get_by_label("Recovery code", exact=True).fill(codes[0])
        await window.page.get_by_role("button", name="Continue").click()
        if expected == "Recovery code":
            await expect(window.page.get_by_role("alert")).to_be_visible()
        else:
            await window.open(ACCOUNT)
        await expect(window.page.get_by_role("heading", name=expected)).to_be_visible()


async def test_enrollment_where_mfa_is_enforced(window: Desk, strict_org: Org) -> None:
    person = strict_org.accept(strict_org.invite())
    await window.open(f"/sign-in?next={ACCOUNT}")
    await sign_in(window, strict_org.slug, person.email, person.password)
    main = window.page.get_by_role("main")
    await expect(main.get_by_role("heading", name="Setup Multi Factor Authentication")).to_be_visible()
    await window.open(AUDIT)  # nothing else is open
    await expect(main.get_by_role("heading", name="Setup Multi Factor Authentication")).to_be_visible()
    await window.open(f"/sign-in/enroll?next={ACCOUNT}")
    assert await window.violations() == []
    await main.get_by_role("button", name="Continue").click()
    app = Authenticator(await main.locator(".secret").inner_text())
    await main.get_by_label("Enter the first code that the app shows").fill(app.code())
    await main.get_by_role("button", name="Confirm").click()
    await expect(main.locator(".codes code")).to_have_count(10)
    assert await window.violations() == []
    await main.get_by_role("link", name="Continue").click()
    await expect(window.page.get_by_role("heading", name="Your account")).to_be_visible()
    await expect(window.page.locator("#mfa .status")).to_have_text("Enabled")


async def test_signing_out_ends_the_session(window: Desk, acme: Org, member: Person) -> None:
    token = member.client.token or ""
    await hold(window.page.context, window.console, token)
    await window.open(ACCOUNT)
    await window.page.get_by_role("button", name="Sign out").click()
    await expect(window.page.get_by_text("You are signed out.")).to_be_visible()
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
    await window.page.go_back()
    await expect(window.page.get_by_role("heading", name="Your account")).to_have_count(0)


async def test_the_account(window: Desk, acme: Org, member: Person) -> None:
    """Own profile, password and sessions."""
    other = acme.sign_in(member.email, member.password)[0]
    await hold(window.page.context, window.console, member.client.token or "")
    await window.open(ACCOUNT)
    page = window.page
    await page.get_by_label("Name", exact=True).fill("Own Name")
    await page.get_by_label("Timezone").fill("Asia/Tokyo")
    await page.get_by_role("button", name="Save").click()
    await window.said("Your profile has been saved.")
    me = member.client.get("/v1/me")
    assert (me["name"], me["timezone"]) == ("Own Name", "Asia/Tokyo")
    await page.reload()
    sessions = page.locator("#sessions li")
    await expect(sessions).to_have_count(2)
    await expect(sessions.filter(has_text="this session")).to_have_count(1)
    await expect(sessions.first).to_contain_text("JST")
    await page.locator("#sessions").get_by_role("button", name="End").click()
    await expect(sessions).to_have_count(1)
    other.refused("GET", "/v1/me", code="unauthenticated", status=401)
    await page.get_by_label("Current password", exact=True).fill("wrong")
    await page.get_by_label("New password", exact=True).fill("a new long enough password")
    await page.get_by_role("button", name="Change password").click()
    await expect(page.locator("#form-password").get_by_role("alert")).to_be_visible()
    await page.get_by_label("Current password", exact=True).fill(member.password)
    await page.get_by_role("button", name="Change password").click()
    await window.said("Your password has been changed.")
    assert acme.try_sign_in(member.email, member.password).status_code == 401


async def test_own_factors(window: Desk, acme: Org, member: Person) -> None:
    """New recovery codes, and removing a factor."""
    await hold(window.page.context, window.console, member.client.token or "")
    await window.open(ACCOUNT)
    await window.page.get_by_role("button", name="Setup Multi Factor Authentication").click()
    dialog = window.dialog("Setup Multi Factor Authentication")
    await window.press(dialog, "Continue")
    old = await enter_first_code(window.page, dialog)
    await window.page.get_by_role("button", name="New recovery codes").click()
    fresh = window.dialog("New Recovery Codes")
    await expect(fresh.locator(".codes code")).to_have_count(10)
    assert await window.violations() == []
    new = await fresh.locator(".codes code").all_inner_texts()
    assert not set(new) & set(old)
    await window.press(fresh, "Done")
    await window.page.get_by_role("button", name="Remove Auth App").click()
    await window.said("The second factor has been removed.")
