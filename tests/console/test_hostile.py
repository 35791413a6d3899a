"""Texts that would be more than texts, addresses that would lead elsewhere, browsers that send what none should."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.async_api import Request, expect

from tests.console.conftest import OpenFor, token_of
from tests.console.desk import ACCOUNT, AUDIT, USERS, Desk
from tests.console.test_protection import form
from tests.e2e.people import Org, Person

MARKUP = """<img src=x onerror=alert(1)>"'><b hx-get=/pwned hx-trigger=load data-open=/pwned>&{{7*7}}"""
AGENT = f"Mozilla/5.0 {MARKUP} Chrome/1"
STYLE = "</style></script><script>window.pwned = 1</script>"


@pytest.fixture
def hostile(acme: Org) -> Person:
    """Their name, labels and browser are markup, and so is the reason that is given for it."""
    person = acme.join()
    given = {"name": MARKUP, "labels": [MARKUP[:60], STYLE[:60]], "reason": MARKUP + STYLE}
    acme.owner.client.patch(f"/v1/users/{person.id}", given)
    given = {"organization": acme.slug, "login": person.email, "password": person.password}
    answer = acme.anyone.send("POST", "/v1/sign-in", given, headers={"User-Agent": AGENT})
    assert answer.status_code == 200
    return person


async def test_what_people_wrote_is_text_wherever_it_shows(desk: Desk, hostile: Person) -> None:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    desk.page.on("request", note)
    row = await desk.find({"id": hostile.id})
    await expect(row.get_by_role("link").first).to_have_text(MARKUP)
    info = await desk.act("Full Details", {"id": hostile.id}, "User Info")
    await expect(info.locator(".tag").filter(has_text="img src=x")).to_be_visible()
    for tab, words in (("Sessions", "Chrome"), ("Timeline", "hx-get=/pwned")):
        await info.get_by_role("tab", name=tab).click()
        await expect(info.get_by_role("tabpanel")).to_contain_text(words)
    await desk.page.keyboard.press("Escape")
    await expect(info).to_have_count(0)
    for verb, title in (
        ("Edit", "Edit User"),
        ("Reset Password", "Reset Password"),
        ("Delete", "Delete User"),
    ):
        dialog = await desk.act(verb, {"id": hostile.id}, title)
        await desk.page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
    await desk.open(f"{AUDIT}?target={hostile.id}")
    await expect(desk.page.locator("#audit")).to_contain_text("{{7*7}}")
    await desk.page.get_by_role("button", name="Details").first.click()
    await expect(desk.page.get_by_role("dialog")).to_contain_text("Outcome")
    assert not [url for url in asked if "pwned" in url.partition("?")[0] or url.endswith("/x")]
    assert await desk.page.evaluate("window.pwned") is None
    assert desk.complaints == []


async def test_their_own_pages_show_it_as_text_too(desk_of: OpenFor, acme: Org, hostile: Person) -> None:
    desk = await desk_of(acme, hostile)
    await desk.open(ACCOUNT)
    await expect(desk.page.get_by_label("Name", exact=True)).to_have_value(MARKUP)
    assert desk.complaints == []


@pytest.mark.parametrize(
    "query",
    ["q=%3Cscript%3Ex%3C%2Fscript%3E", "user=..%2Faccount%2Ffactors", "label=%22onx%3D%22", "q=%00", "q=%ff"],
)
async def test_what_an_address_holds_is_text(desk: Desk, query: str) -> None:
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(request.url))
    await desk.open(f"{USERS}?{query}")
    await desk.page.wait_for_load_state("networkidle")
    assert not [url for url in asked if "/_/account" in url]
    assert desk.complaints == []


async def test_a_link_to_a_part_of_a_page_does_nothing(desk: Desk, acme: Org, owner: Person) -> None:
    """Else a click elsewhere could leave refused attempts in somebody's name."""
    before = acme.owner.client.get("/v1/audit", outcome="refused", actor=owner.id)["count"]["value"]
    await desk.open(f"/_/users/{owner.id}/delete")
    await expect(desk.page).to_have_url(re.compile(USERS))
    position = acme.owner.client.send("GET", "/v1/me").headers["Muster-Position"]
    after = acme.owner.client.get("/v1/audit", outcome="refused", actor=owner.id, min_position=position)
    assert after["count"]["value"] == before


@pytest.mark.parametrize("page", ["invitation", "reset-password"])
async def test_a_link_that_is_broken_in_the_mail_is_told(window: Desk, page: str) -> None:
    await window.open(f"/{page}#%E0%A4%A")
    await expect(window.page.get_by_text("This address holds no link.")).to_be_visible()
    assert window.complaints == []


async def test_nothing_is_said_to_be_copied_that_is_not(desk: Desk, member: Person) -> None:
    await desk.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    await desk.find({"id": member.id})
    info = await desk.act("Full Details", {"id": member.id}, "User Info")
    await info.get_by_title("Copy the id").click()
    await desk.said("does not let this page copy")


async def test_back_after_signing_out_shows_nothing_of_it(
    desk_of: OpenFor, acme: Org, member: Person
) -> None:
    desk = await desk_of(acme, member)
    await desk.open(ACCOUNT)
    await desk.page.get_by_role("button", name="Sign out").click()
    await expect(desk.page.get_by_text("You are signed out.")).to_be_visible()
    await desk.page.go_back()
    await expect(desk.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert member.email not in await desk.page.content()


def test_every_personal_answer_is_kept_by_nobody(console: str, acme: Org, member: Person) -> None:
    cookie = {f"muster-{console.rpartition(':')[2]}": token_of(acme, acme.owner)}
    with httpx.Client(base_url=console, cookies=cookie) as http:
        for path in (
            USERS, AUDIT, ACCOUNT, "/", "/_/users/table", f"/_/users/{member.id}/edit", f"/_/users/{member.id}/info",
            f"/_/users/{member.id}/info/timeline", f"/_/users/{member.id}/delete", "/_/audit/table", "/_/invite",
            f"/_/users/mails?active={member.id}", "/_/account/mfa", "/nothing",
        ):  # fmt: skip
            answer = http.get(path)
            assert answer.headers["cache-control"] == "no-store", path
            assert "set-cookie" not in answer.headers, path


@pytest.mark.parametrize("agent", [b"caf\xe9 \xf0\x9f\x92\xa9", b"x" * 5000, b"\x01\x7f", b""])
def test_a_browser_may_call_itself_anything(console: str, agent: bytes) -> None:
    assert httpx.get(f"{console}/sign-in", headers=[(b"User-Agent", agent)]).status_code in (200, 400)
    answer = httpx.get(f"{console}{USERS}", headers=[(b"User-Agent", agent), (b"Cookie", b"x=\xff")])
    assert answer.status_code in (303, 400)


def test_a_form_with_odd_fields_is_answered(console: str, acme: Org, member: Person) -> None:
    cookie = {f"muster-{console.rpartition(':')[2]}": token_of(acme, acme.owner)}
    with httpx.Client(base_url=console, cookies=cookie, headers={"Origin": console}) as http:
        for odd in ("a\nb: c", "\u0000", "é" * 99, "💩"):
            given = form(http, USERS, key=odd, version=odd, name="Odd", was_name="x", reason="")
            assert http.post(f"/_/users/{member.id}/edit", data=given).status_code == 200
            given["csrf"] = odd
            answer = http.post(f"/_/users/{member.id}/edit", data=given)
            assert "from an earlier session or from another site" in answer.text
