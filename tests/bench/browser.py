"""What an administrator waits for, in a real Chromium: `python -m tests.bench.browser`.

Ten thousand people, every process running. Each time is taken within the page: from the browser's own time stamp of
the click or key to the frame after the one in which the change was drawn. Of a search the pause is left out that
the page waits for more letters.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import cycle
from statistics import median
from typing import Any

from playwright.async_api import Page

from tests.bench.figures import Figure
from tests.bench.lists import analyze
from tests.bench.place import LAST, SERVED, Muster, muster, populate, run_alone
from tests.console.desk import USERS, hold, open_desk
from tests.support.browser import open_browser
from tests.support.identity import Org

PEOPLE, ROUNDS, WARM_UP = 10_000, 15, 3
SHOWN = f"{USERS}?limit=25"
WAIT = """async ([kind, selector, shown]) => {
    const began = await new Promise((found) => {
        const note = (event) => event.isTrusted && event.target.closest?.(selector) && found(event.timeStamp);
        addEventListener(kind, note, {capture: true});
        window.armed = true;
    });
    const request = await new Promise((found) => {
        const seen = ({ detail }) => {
            if (!document.querySelector(shown)) return;
            for (const name of ["htmx:afterSettle", "htmx:oobAfterSwap"]) removeEventListener(name, seen);
            found(detail.pathInfo?.finalRequestPath);
        };
        for (const name of ["htmx:afterSettle", "htmx:oobAfterSwap"]) addEventListener(name, seen);
    });
    await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
    const ended = performance.now();
    const calls = performance.getEntriesByType("resource").filter((call) => call.startTime >= began);
    return [ended - began, calls[0] ? calls[0].responseEnd - calls[0].requestStart : 0];
}"""
Round = Callable[[int], Awaitable[list[float]]]


async def figures() -> AsyncIterator[Figure]:
    async with muster(*SERVED, "console") as running:
        async for figure in of(running):
            yield figure


async def of(running: Muster) -> AsyncIterator[Figure]:
    async with running.identity() as place:
        org = await place.organization("browser")
        await populate(place, org, PEOPLE)
    await analyze(running)
    async with open_browser() as browser:
        desk = await open_desk(
            browser, running.plan.address("console"), viewport={"width": 1280, "height": 860}
        )
        at = At(desk.page, org)
        await hold(desk.page.context, desk.console, org.owner.token)
        for what, goal, one in (
            ("dialog open", 80, at.dialog), ("row action to painted row", 100, at.row),
            ("search answer after the pause", 150, at.search),
        ):  # fmt: skip
            yield await measure(what, goal, one)


async def measure(what: str, goal: int, one: Round) -> Figure:
    rounds = [await one(number) for number in range(WARM_UP + ROUNDS)][WARM_UP:]
    servers = median(server for _, server in rounds)
    note = f"wanted {goal} ms; {servers:.0f} ms of it the request"
    return Figure(f"{what}, {PEOPLE:,} users", "ms", [whole for whole, _ in rounds], note=note)


class At:
    """The users page; each round measures once and leaves the page as it was."""

    def __init__(self, page: Page, org: Org) -> None:
        self.page, self.org = page, org
        self._names = cycle(LAST)

    async def dialog(self, number: int) -> list[float]:
        button = await self._edit(number)
        found = await self._timed("click", f"#{button}", "dialog[open] #form-edit", self._press(f"#{button}"))
        await self.page.keyboard.press("Escape")
        return found

    async def row(self, number: int) -> list[float]:
        """Deactivates: the widest of all acts."""
        button = await self._edit(number)
        await self.page.click(f"#{button}")
        await self.page.get_by_label("Active").uncheck()
        await self.page.get_by_text("On Save, at once").wait_for()
        row = button.replace("act-edit-", "row-")
        save = "#form-edit [type=submit]"
        return await self._timed("click", save, f"#{row} .status-inactive", self._press(save))

    async def search(self, _: int) -> list[float]:
        """A letter more, into a field that holds some already."""
        name = next(self._names)
        await self.page.goto(f"{SHOWN}&q={name[:-1].lower()}")
        await self.page.wait_for_load_state("networkidle")
        await self.page.evaluate("document.querySelector('#users').dataset.old = 'yes'")
        field = self.page.locator("#q")
        pause = re.search(r"delay:(\d+)ms", await field.get_attribute("hx-trigger") or "")
        assert pause
        await field.press("End")

        async def type_() -> None:
            await self.page.keyboard.type(name[-1])

        whole, server = await self._timed("input", "#q", "#users:not([data-old])", type_)
        return [whole - float(pause[1]), server]

    async def _edit(self, number: int) -> str:
        """Open the page; the id of the Edit button of this row."""
        await self.page.goto(f"{SHOWN}&status=active&sort=name")
        await self.page.wait_for_load_state("networkidle")
        return await self.page.locator("[id^=act-edit-]").nth(number).get_attribute("id") or ""

    def _press(self, selector: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self.page.click(selector)

    async def _timed(
        self, kind: str, selector: str, shown: str, act: Callable[[], Awaitable[Any]]
    ) -> list[float]:
        """Do something; milliseconds from the event until what it leads to is drawn, and those of its request."""
        await self.page.evaluate("window.armed = false")
        handle = await self.page.evaluate_handle(
            f"(asked) => {{ window.measured = ({WAIT})(asked); }}", [kind, selector, shown]
        )
        await act()
        found = await self.page.evaluate("window.measured")
        await handle.dispose()
        return found


if __name__ == "__main__":
    run_alone(figures)
