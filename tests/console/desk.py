"""Somebody at the console: one browser window, what they see in it, and what the browser complained about."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

from tests.e2e.people import FRESH_SECONDS

USERS, AUDIT, ACCOUNT = "/settings/organization/users", "/settings/organization/audit", "/account"


@dataclass
class Desk:
    page: Page
    console: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, path: str) -> None:
        await self.page.goto(self.console + path)

    async def find(self, user: dict[str, Any]) -> Locator:
        """Open the users page with only this person in it, and return the row."""
        await self.open(f"{USERS}?q={user['id']}")
        return self.row(user)

    def row(self, user: dict[str, Any]) -> Locator:
        return self.page.locator(f"#row-{user['id']}")

    def dialog(self, title: str) -> Locator:
        return self.page.get_by_role("dialog", name=title, exact=True)

    async def act(self, verb: str, user: dict[str, Any], title: str) -> Locator:
        """Press a button of somebody's row, and return the dialog that it opens."""
        await self.row(user).get_by_role("button", name=re.compile(rf"^{verb}\b")).click()
        dialog = self.dialog(title)
        await expect(dialog).to_be_visible()
        return dialog

    async def press(self, within: Locator, name: str) -> None:
        await within.get_by_role("button", name=name, exact=True).click()

    async def said(self, words: str) -> None:
        """The page said so, to who looks and to who listens."""
        await expect(self.page.locator("[data-toast]").filter(has_text=words)).to_be_visible()
        await expect(self.page.get_by_role("status").filter(has_text=words)).to_be_attached()

    async def query(self) -> str:
        return urlsplit(self.page.url).query

    async def wear(self, theme: Literal["light", "dark"]) -> None:
        """Have the system ask for this theme, as somebody's evening does in the middle of a page."""
        await self.page.emulate_media(color_scheme=theme)
        await expect(self.page.locator("html")).to_have_attribute("data-bs-theme", theme)

    async def violations(self) -> list[str]:
        """What axe finds wrong with the page as it is now."""
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(AXE_SCRIPT)
        found = await self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']][:3]}"
            for each in found["violations"]
        ]

    async def focused(self) -> str | None:
        return await self.page.evaluate("document.activeElement && document.activeElement.id")


async def open_desk(browser: Browser, console: str, **options: Any) -> Desk:
    """A new window, with nothing in it from any other."""
    context = await browser.new_context(base_url=console, **options)
    page = await context.new_page()
    page.set_default_timeout(10_000)
    desk = Desk(page, console)

    def note(message: ConsoleMessage) -> None:
        desk.complaints.append(f"{message.type}: {message.text}")

    page.on("console", note)
    page.on("pageerror", lambda error: desk.complaints.append(f"error: {error}"))
    return desk


async def hold(context: BrowserContext, console: str, token: str) -> None:
    """The browser holds a session, as if its owner had signed in here."""
    name = f"muster-{urlsplit(console).port}"
    await context.add_cookies(
        [{"name": name, "value": token, "url": console, "httpOnly": True, "sameSite": "Lax"}]
    )


@dataclass
class Kept:
    """A session of somebody that is used for several tests while it counts as confirmed."""

    token: str
    until: float

    @classmethod
    def of(cls, token: str) -> Kept:
        return cls(token, time.monotonic() + FRESH_SECONDS)

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self.until
