"""For everyone: nothing that axe finds wrong, acts by keyboard alone, nothing that the browser complains about."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests import screens
from tests.console.conftest import OpenFor, token_of
from tests.console.desk import USERS, Desk, hold, open_desk
from tests.e2e.people import Org, Person
from tests.e2e.place import Place

VISITS = {
    "nobody": screens.PUBLIC, "owner": screens.OWNER, "admin": screens.ADMIN, "member": screens.MEMBER,
}  # fmt: skip
REFUSALS = ("401", "403", "404")
"""A browser notes the status of a page that says no."""


@pytest.mark.parametrize("who", VISITS)
async def test_axe_finds_nothing_and_the_browser_complains_about_nothing(
    browser: Browser, place: Place, who: str
) -> None:
    """On any page or dialog, light and dark, under the policy of what is loaded."""
    run, found = place.read(), dict[str, list[str]]()
    desk = await open_desk(browser, run["console"], reduced_motion="reduce")
    if who != "nobody":
        await hold(desk.page.context, run["console"], screens.token_of(run, who))
    for name, step in VISITS[who].items():
        await step(desk.page)
        for theme in screens.THEMES:
            await desk.wear(theme)
            found[f"{name}, {theme}"] = await desk.violations()
        await desk.page.wait_for_load_state("networkidle")
        found[name] = [
            told for told in desk.complaints if who == "owner" or not any(code in told for code in REFUSALS)
        ]
        desk.complaints.clear()
    assert {name: told for name, told in found.items() if told} == {}
    await desk.page.context.close()


async def test_axe_finds_nothing_when_a_form_was_refused(desk: Desk, acme: Org, member: Person) -> None:
    user = acme.user(member.id)
    await desk.find(user)
    dialog = await desk.act("Edit", user, "Edit User")
    await dialog.get_by_label("Name", exact=True).fill("Mine")
    acme.owner.client.patch(f"/v1/users/{member.id}", {"name": "Theirs"})
    await desk.press(dialog, "Save")
    await expect(dialog.get_by_role("alert")).to_be_visible()
    assert await desk.violations() == []
    await desk.press(dialog, "Keep mine")
    await desk.said("has been saved")
    assert await desk.violations() == []


async def test_no_request_leaves_the_console(desk: Desk, acme: Org, member: Person) -> None:
    asked: set[str] = set()
    desk.page.on("request", lambda request: asked.add("/".join(request.url.split("/")[:3])))
    await desk.find({"id": member.id})
    await desk.act("Full Details", {"id": member.id}, "User Info")
    assert {origin for origin in asked if not origin.startswith("data:")} == {desk.console}


LABEL = """() => {
    const at = document.activeElement;
    return (at.innerText || at.ariaLabel || at.labels?.[0]?.innerText || "").trim();
}"""


class Keys:
    """Somebody without a pointer."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def to(self, name: str, most: int = 60) -> None:
        """Tab until this is focused."""
        for _ in range(most):
            await self.page.keyboard.press("Tab")
            label = await self.page.evaluate(LABEL)
            if re.match(name, label):
                return
        raise AssertionError(f"Tab does not come to {name}")

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def type(self, text: str) -> None:
        await self.page.keyboard.type(text)


async def test_the_five_acts_by_keyboard_alone(desk_of: OpenFor, acme: Org, member: Person) -> None:
    """Edit, Reset MFA, Reset Password, deactivate, delete."""
    member.enroll()
    desk = await desk_of(acme, acme.owner)
    keys, row = Keys(desk.page), desk.row({"id": member.id})
    await desk.open(USERS)
    await keys.press("/")
    await keys.type(member.id)
    await expect(desk.page.locator("#count")).to_have_text("1-1 of 1 user")

    await keys.to("Edit")
    await keys.press("Enter")
    await expect(desk.dialog("Edit User")).to_be_visible()
    await keys.press("Control+A")
    await keys.type("Keyboard Person")
    await keys.press("Enter")
    await expect(row.get_by_role("link")).to_have_text("Keyboard Person")
    await expect(desk.page.get_by_role("dialog")).to_have_count(0)

    for verb in ("Reset MFA", "Reset Password"):
        await keys.to(verb)
        await keys.press("Enter")
        await expect(desk.dialog(verb)).to_be_visible()
        await keys.to(f"{verb}$")
        await keys.press("Space")
        await expect(desk.page.get_by_role("dialog")).to_have_count(0)

    await keys.press("Shift+Tab", "Shift+Tab", "Shift+Tab")
    await keys.to("Edit")
    await keys.press("Enter")
    await expect(desk.dialog("Edit User")).to_be_visible()
    await keys.to("Active")
    await keys.press("Space")
    await keys.to("Save")
    await keys.press("Enter")
    await expect(row.locator(".status")).to_have_text("Inactive")
    await expect(desk.page.get_by_role("dialog")).to_have_count(0)

    await keys.to("Delete")
    await keys.press("Enter")
    await expect(desk.dialog("Delete User")).to_be_visible()
    await keys.to("Type the email")
    await keys.type(member.email)
    await keys.to("Delete$")
    await keys.press("Enter")
    await expect(row).to_have_count(0)


async def test_tabs_are_chosen_with_arrows(desk: Desk, acme: Org, member: Person) -> None:
    await desk.find({"id": member.id})
    info = await desk.act("Full Details", {"id": member.id}, "User Info")
    await info.get_by_role("tab", name="Info").focus()
    await desk.page.keyboard.press("ArrowRight")
    await expect(info.get_by_role("tab", name="Sessions")).to_be_focused()
    await expect(info.get_by_role("tabpanel", name="Sessions")).to_contain_text("127.0.0.1")


async def test_nothing_sticks_out_of_a_narrow_screen(browser: Browser, acme: Org, place: Place) -> None:
    run = place.read()
    desk = await open_desk(browser, run["console"], viewport={"width": 320, "height": 640})
    await hold(desk.page.context, run["console"], token_of(acme, acme.owner))
    for path in (USERS, "/settings/organization/audit", "/account"):
        await desk.open(path)
        assert await desk.page.evaluate("document.documentElement.scrollWidth") <= 320
    await desk.open(USERS)
    await desk.page.get_by_role("button", name="Menu").click()
    await desk.page.get_by_role("link", name="Audit log").click()
    await expect(desk.page.get_by_role("heading", name="Audit log")).to_be_visible()
    await desk.page.context.close()


async def test_the_theme_follows_the_system_and_can_be_chosen(browser: Browser, console: str) -> None:
    desk = await open_desk(browser, console, color_scheme="dark")
    await desk.open("/sign-in")
    html = desk.page.locator("html")
    await expect(html).to_have_attribute("data-bs-theme", "dark")
    await desk.page.get_by_role("button", name="Light theme").click()
    await expect(html).to_have_attribute("data-bs-theme", "light")
    await desk.page.reload()
    await expect(html).to_have_attribute("data-bs-theme", "light")
    await desk.page.context.close()
