"""`make screens`: pictures of every page and dialog of the console, wide and narrow, light and dark.

Taken of a Muster that runs (`make up`, or the one of `MUSTER_VAR`), signed in with what it printed, and written to
docs/screens/. Dialogs are opened and closed again; nothing is changed but a session each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import httpx
from playwright.async_api import Browser, Page

from tests.console.desk import ACCOUNT, AUDIT, USERS, hold, open_desk
from tests.support.browser import open_browser

ROOT = Path(__file__).resolve().parents[1]
SCREENS = ROOT / "docs" / "screens"
WIDTHS = {1280: 860, 390: 844}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
Step = Callable[[Page], Awaitable[Any]]


def dialog_of(verb: str, person: str) -> Step:
    async def step(page: Page) -> None:
        await page.goto(f"{USERS}?q={person}")
        await page.get_by_role("row", name=person).get_by_role("button", name=verb).first.click()
        await page.get_by_role("dialog").wait_for()

    return step


def visit(path: str) -> Step:
    async def step(page: Page) -> None:
        await page.goto(path)

    return step


async def edit_inactive(page: Page) -> None:
    await dialog_of("Edit", "Signe Larsen")(page)
    await page.get_by_label("Active").uncheck()
    await page.get_by_text("On Save, at once").wait_for()


async def invite(page: Page) -> None:
    await page.goto(USERS)
    await page.get_by_role("button", name="Invite user").click()
    await page.get_by_role("dialog").wait_for()


def tab(name: str, person: str = "Signe Larsen") -> Step:
    async def step(page: Page) -> None:
        await dialog_of("Full Details", person)(page)
        async with page.expect_response("**/info/*"):
            await page.get_by_role("tab", name=name).click()

    return step


async def end_sessions(page: Page) -> None:
    await tab("Sessions", "Amara Okafor")(page)
    await page.get_by_role("button", name="End all sessions").click()
    await page.get_by_role("dialog", name="End All Sessions").wait_for()


async def record(page: Page) -> None:
    await page.goto(AUDIT)
    await page.get_by_role("button", name="Details").first.click()
    await page.get_by_role("dialog").wait_for()


async def setup(page: Page) -> None:
    await page.goto(ACCOUNT)
    await page.get_by_role("button", name="Setup Multi Factor Authentication").click()
    await page.get_by_role("dialog").wait_for()


async def setup_code(page: Page) -> None:
    await setup(page)
    await page.get_by_role("button", name="Continue").click()
    await page.get_by_role("img", name="QR code").wait_for()


async def refused_sign_in(page: Page) -> None:
    await page.goto("/sign-in")
    for label, value in (("Organization", "acme"), ("Email or username", "ada"), ("Password", "wrong")):
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_role("alert").wait_for()


TOKEN = "mui_" + "x" * 49
PUBLIC: dict[str, Step] = {
    "sign-in": visit("/sign-in"),
    "sign-in-refused": refused_sign_in,
    "forgot-password": visit("/forgot-password"),
    "invitation": visit(f"/invitation#{TOKEN}"),
    "invitation-without-link": visit("/invitation"),
    "reset-password": visit(f"/reset-password#{TOKEN.replace('mui', 'mur')}"),
    "not-found": visit("/nothing/here"),
}
OWNER: dict[str, Step] = {
    "users": visit(USERS),
    "users-filtered": visit(f"{USERS}?q=a&status=inactive&sort=name"),
    "users-none": visit(f"{USERS}?q=nobody-of-this-name"),
    "edit": dialog_of("Edit", "Signe Larsen"),
    "edit-deactivating": edit_inactive,
    "reset-mfa": dialog_of("Reset MFA", "Signe Larsen"),
    "reset-password-dialog": dialog_of("Reset Password", "Signe Larsen"),
    "delete": dialog_of("Delete", "Signe Larsen"),
    "resend-invitation": dialog_of("Resend Invitation", "Esi Boateng"),
    "invite": invite,
    "user-info": dialog_of("Full Details", "Signe Larsen"),
    "user-sessions": tab("Sessions", "Amara Okafor"),
    "end-sessions": end_sessions,
    "user-timeline": tab("Timeline"),
    "audit": visit(AUDIT),
    "audit-refused": visit(f"{AUDIT}?outcome=refused"),
    "audit-record": record,
    "account": visit(ACCOUNT),
    "setup-mfa": setup,
    "setup-mfa-code": setup_code,
}
ADMIN: dict[str, Step] = {"delete-refused": dialog_of("Delete", "Amara Okafor")}
MEMBER: dict[str, Step] = {"permission-missing": visit(USERS)}


async def take(
    browser: Browser, run: dict[str, Any], folder: Path, token: str | None, steps: dict[str, Step]
) -> None:
    for width, height in WIDTHS.items():
        for theme in THEMES:
            desk = await open_desk(
                browser, run["console"], viewport={"width": width, "height": height}, color_scheme=theme
            )
            if token:
                await hold(desk.page.context, run["console"], token)
            for name, step in steps.items():
                await step(desk.page)
                await desk.page.wait_for_load_state("networkidle")
                await desk.page.screenshot(path=folder / f"{name}-{width}-{theme}.png")
            await desk.page.context.close()


def token_of(run: dict[str, Any], who: str) -> str:
    given = {
        "organization": run["organization"],
        "login": run[who]["email"],
        "password": run[who]["password"],
    }
    return httpx.post(f"{run['gateway']}/v1/sign-in", json=given).raise_for_status().json()["token"]


async def main() -> None:
    run_file = Path(os.environ.get("MUSTER_VAR", ROOT / "var")) / "run.json"
    if not run_file.exists():
        sys.exit(f"{run_file} is not there: run `make up` first.")
    run = json.loads(run_file.read_text("utf-8"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SCREENS
    folder.mkdir(parents=True, exist_ok=True)
    async with open_browser() as browser:
        await take(browser, run, folder, None, PUBLIC)
        for who, steps in (("owner", OWNER), ("admin", ADMIN), ("member", MEMBER)):
            await take(browser, run, folder, token_of(run, who), steps)


if __name__ == "__main__":
    asyncio.run(main())
