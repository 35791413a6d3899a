"""A Chromium before the running Muster, and windows of people who are signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser

from tests.console.desk import Desk, Kept, hold, open_desk
from tests.e2e.people import Org, Person
from tests.e2e.place import Place
from tests.support.browser import open_browser

OpenFor = Callable[..., Awaitable[Desk]]


@pytest.fixture(scope="session")
def console(place: Place) -> str:
    return place.read()["console"]


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


@pytest.fixture
async def window(browser: Browser, console: str) -> AsyncIterator[Desk]:
    """A window of nobody."""
    desk = await open_desk(browser, console)
    yield desk
    await desk.page.context.close()


@pytest.fixture(scope="session")
def sessions() -> dict[str, Kept]:
    return {}


@pytest.fixture
async def desk_of(browser: Browser, console: str, sessions: dict[str, Kept]) -> AsyncIterator[OpenFor]:
    """Opens a window of somebody who signed in lately; it is closed with the test."""
    opened: list[Desk] = []

    async def open_for(org: Org, person: Person, **options: object) -> Desk:
        kept = sessions.get(person.id)
        if kept is None or not kept.is_fresh:
            kept = sessions[person.id] = Kept.of(token_of(org, person))
        desk = await open_desk(browser, console, **options)
        await hold(desk.page.context, console, kept.token)
        opened.append(desk)
        return desk

    yield open_for
    for desk in opened:
        await desk.page.context.close()


def token_of(org: Org, person: Person) -> str:
    """A new session of theirs, whole and just confirmed."""
    client, answer = org.sign_in(person.email, person.password)
    if answer["next"] == "otp":
        assert person.app
        client = client.with_token(client.post("/v1/sign-in/otp", {"code": person.app.code()})["token"])
    assert client.token
    return client.token


@pytest.fixture
async def desk(desk_of: OpenFor, acme: Org, owner: Person) -> Desk:
    """A window of the Owner."""
    return await desk_of(acme, owner)
