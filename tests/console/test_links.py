"""The pages behind the links of mails: the token comes from the fragment, and only the POST uses it up."""

from __future__ import annotations

import re

from playwright.async_api import Request, expect

from tests.console.desk import Desk
from tests.console.test_sign_in import sign_in
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Org, Person, new_password


def link_of(mailbox: Mailbox, console: str, address: str, page: str) -> str:
    return f"{console}/{page}#{mailbox.token(address, page)}"


async def test_an_invitation_is_accepted(window: Desk, acme: Org, mailbox: Mailbox) -> None:
    user, password = acme.invite(), new_password()
    link = link_of(mailbox, window.console, user["email"], "invitation")
    seen: list[str] = []

    def note(request: Request) -> None:
        seen.append(request.url)

    window.page.on("request", note)
    for _ in range(3):  # looking does not use it up
        await window.page.goto("about:blank")
        await window.page.goto(link)
    assert not [url for url in seen if "mui_" in url.partition("#")[0]]
    assert "#" not in window.page.url
    await window.page.get_by_label("Your name").fill("Chosen Name")
    await window.page.get_by_label("Password", exact=True).fill("short")
    await window.page.get_by_role("button", name="Accept").click()
    await expect(window.page.get_by_role("alert")).to_contain_text(re.compile("characters|short"))
    await expect(window.page.get_by_label("Your name")).to_have_value("Chosen Name")
    await window.page.get_by_label("Password", exact=True).fill(password)
    await window.page.get_by_role("button", name="Accept").click()
    await expect(window.page.get_by_role("heading", name="Welcome, Chosen Name.")).to_be_visible()
    assert await window.violations() == []
    await window.page.get_by_role("link", name="Sign in").click()
    await sign_in(window, acme.slug, user["email"], password)
    await expect(window.page).not_to_have_url(re.compile("sign-in"))
    assert acme.user(user["id"])["name"] == "Chosen Name"


async def test_a_link_works_once(window: Desk, acme: Org, mailbox: Mailbox) -> None:
    user = acme.invite()
    link = link_of(mailbox, window.console, user["email"], "invitation")
    acme.accept(user)
    await window.page.goto(link)
    await window.page.get_by_label("Password", exact=True).fill(new_password())
    await window.page.get_by_role("button", name="Accept").click()
    await expect(window.page.get_by_role("alert")).to_be_visible()


async def test_an_address_without_a_link_says_so(window: Desk) -> None:
    for page in ("/invitation", "/reset-password", "/invitation#rubbish"):
        await window.page.goto("about:blank")
        await window.open(page)
        await expect(window.page.get_by_text("This address holds no link.")).to_be_visible()
        await expect(window.page.get_by_role("button", name=re.compile("Accept|Set the"))).to_be_hidden()


async def test_a_forgotten_password(window: Desk, acme: Org, member: Person, mailbox: Mailbox) -> None:
    await window.open("/sign-in")
    await window.page.get_by_role("link", name="Forgot your password?").click()
    await window.page.get_by_label("Organization").fill(acme.slug)
    await window.page.get_by_label("Email").fill(member.email)
    await window.page.get_by_role("button", name="Send the mail").click()
    await expect(window.page.get_by_role("heading", name="Look into your mailbox.")).to_be_visible()
    link, password = link_of(mailbox, window.console, member.email, "reset-password"), new_password()
    await window.page.goto(link)
    assert "#" not in window.page.url
    await window.page.get_by_label("New password", exact=True).fill(password)
    await window.page.get_by_role("button", name="Set the new password").click()
    await expect(window.page.get_by_role("heading", name="Your password has been changed.")).to_be_visible()
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
    acme.sign_in(member.email, password)


async def test_a_forgotten_password_of_nobody_looks_the_same(window: Desk, acme: Org) -> None:
    await window.open("/forgot-password")
    await window.page.get_by_label("Organization").fill("no-such-organization")
    await window.page.get_by_label("Email").fill("nobody@nowhere.example")
    await window.page.get_by_role("button", name="Send the mail").click()
    await expect(window.page.get_by_role("heading", name="Look into your mailbox.")).to_be_visible()
