"""The users table: search, filters, sort, pages and count, all of them in the address."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import pytest
from playwright.async_api import expect

from tests.console.desk import USERS, Desk
from tests.e2e.people import RUN, Org, Person

TAG = f"crowd-{RUN}"
CROWD = 27


@pytest.fixture(scope="module")
def crowd(acme: Org) -> list[str]:
    """Invited people of one label, more than a page of 25."""
    return [acme.invite(labels=[TAG], name=f"Crowd {number:02}")["id"] for number in range(CROWD)]


async def names(desk: Desk) -> list[str]:
    return await desk.page.locator("#users-table tbody .cell-name a").all_inner_texts()


async def test_typing_searches_and_keeps_the_focus(desk: Desk, acme: Org, member: Person) -> None:
    await desk.open(USERS)
    typed = member.email[:14]
    search = desk.page.get_by_role("searchbox", name="Search")
    await search.press_sequentially(typed)
    await expect(desk.page).to_have_url(re.compile(rf"\?q={re.escape(typed.split('@')[0])}"))
    await expect(desk.row({"id": member.id})).to_be_visible()
    assert await desk.focused() == "q"
    await desk.page.reload()
    await expect(search).to_have_value(typed)
    await expect(desk.row({"id": member.id})).to_be_visible()


@pytest.mark.parametrize("field", ["id", "email", "name"])
async def test_search_finds_what_was_pasted(desk: Desk, acme: Org, member: Person, field: str) -> None:
    await desk.open(USERS)
    await desk.page.get_by_role("searchbox").fill(
        getattr(member, field).upper() if field == "name" else getattr(member, field)
    )
    await expect(desk.row({"id": member.id})).to_be_visible()
    await expect(desk.page.locator("#count")).to_have_text("1-1 of 1 user")


async def test_a_filter_goes_into_the_address_and_back_takes_it_out(desk: Desk) -> None:
    await desk.open(USERS)
    everybody = await names(desk)
    await desk.page.get_by_label("Status", exact=True).select_option("inactive")
    await expect(desk.page).to_have_url(re.compile(r"\?status=inactive$"))
    assert set(await desk.page.locator("#users-table .status").all_inner_texts()) == {"Inactive"}
    await desk.page.get_by_role("button", name="Name").click()
    await expect(desk.page).to_have_url(re.compile(r"\?status=inactive&sort=name$"))
    await desk.page.go_back()
    await expect(desk.page.get_by_role("columnheader", name="Name")).not_to_have_attribute(
        "aria-sort", "ascending"
    )
    await expect(desk.page.get_by_label("Status", exact=True)).to_have_value("inactive")
    await desk.page.go_back()
    await expect(desk.page.get_by_label("Status", exact=True)).to_have_value("")
    assert await names(desk) == everybody


@pytest.mark.parametrize(
    ("label", "option", "column"),
    [("Role", "Admin", ".tag"), ("Status", "Invited", ".status"), ("Status", "Active", ".status")],
)
async def test_filters_show_only_who_fits(desk: Desk, label: str, option: str, column: str) -> None:
    await desk.open(USERS)
    await desk.page.locator("#filters").get_by_label(label, exact=True).select_option(label=option)
    await expect(desk.page).to_have_url(re.compile(rf"\?{label.lower()}="))
    await expect(desk.page.locator("#users-table tbody tr").first).to_be_visible()
    assert set(await desk.page.locator(f"#users-table tbody {column}").all_inner_texts()) == {option}


async def test_the_mfa_and_sign_in_filters(desk: Desk) -> None:
    await desk.open(USERS)
    await desk.page.get_by_label("MFA", exact=True).select_option(label="MFA Enabled")
    await expect(desk.page).to_have_url(re.compile(r"mfa=enabled"))
    rows = desk.page.locator("#users-table tbody tr")
    assert await rows.count() == await desk.page.get_by_role("button", name="Reset MFA").count() > 0
    await desk.open(USERS)
    await desk.page.get_by_label("Last sign-in", exact=True).select_option(label="Never signed in")
    await expect(desk.page).to_have_url(re.compile(r"last_sign_in=never"))
    assert await rows.count() == await rows.get_by_text("Never", exact=True).count() > 0


@pytest.mark.parametrize("column", ["Name", "Email", "Role", "Status", "Last sign-in", "Created"])
async def test_every_column_sorts_both_ways(desk: Desk, column: str) -> None:
    await desk.open(f"{USERS}?sort=name" if column != "Name" else USERS)
    header = desk.page.get_by_role("columnheader", name=column)
    newest_first = column in ("Last sign-in", "Created")
    for direction in ("descending", "ascending") if newest_first else ("ascending", "descending"):
        await header.get_by_role("button").click()
        await expect(header).to_have_attribute("aria-sort", direction)
        assert (await desk.focused() or "").startswith("sort-")
        assert await desk.page.locator("[aria-sort]").count() == 1
        if column == "Email":
            shown = await desk.page.locator(".cell-email").all_inner_texts()
            assert is_sorted(shown if direction == "ascending" else reversed(shown))


def is_sorted(values: Iterable[str]) -> bool:
    return all(first.lower() <= second.lower() for first, second in pairwise(values))


async def test_pages_and_count(desk: Desk, crowd: list[str]) -> None:
    await desk.open(f"{USERS}?label={TAG}&limit=25&sort=name")
    count, pages = desk.page.locator("#count"), desk.page.get_by_role("navigation", name="Pages")
    await expect(count).to_have_text(f"1-25 of {CROWD} users")
    assert await names(desk) == [f"Crowd {n:02}" for n in range(25)]
    await pages.get_by_role("link", name="Next").click()
    await expect(count).to_have_text(f"26-{CROWD} of {CROWD} users")
    assert await names(desk) == [f"Crowd {n:02}" for n in range(25, CROWD)]
    await expect(pages.get_by_role("link", name="Next")).to_have_count(0)
    await desk.page.reload()
    await expect(count).to_have_text(f"26-{CROWD} of {CROWD} users")
    await pages.get_by_role("link", name="Previous").click()
    await expect(count).to_have_text(f"1-25 of {CROWD} users")
    await desk.page.go_back()
    await expect(count).to_have_text(f"26-{CROWD} of {CROWD} users")


async def test_a_new_filter_begins_at_the_first_page(desk: Desk, crowd: list[str]) -> None:
    await desk.open(f"{USERS}?label={TAG}&limit=25")
    await desk.page.get_by_role("link", name="Next").click()
    await expect(desk.page.locator("#count")).to_contain_text("26-")
    await desk.page.get_by_label("Status", exact=True).select_option("invited")
    await expect(desk.page.locator("#count")).to_have_text(f"1-25 of {CROWD} users")


async def test_nobody_matches(desk: Desk) -> None:
    await desk.open(f"{USERS}?q=no-such-person")
    await expect(desk.page.get_by_role("heading", name="Nobody matches")).to_be_visible()
    await desk.page.get_by_role("link", name="Clear all").click()
    await expect(desk.page.locator("#count")).to_contain_text("users")
    await expect(desk.page.get_by_role("searchbox")).to_have_value("")


async def test_an_address_that_makes_no_sense_is_told(desk: Desk) -> None:
    await desk.open(f"{USERS}?cursor=nonsense&status=purple&sort=shoe-size&limit=7")
    await expect(desk.page.get_by_role("alert")).to_be_visible()
    await desk.page.get_by_role("link", name="Show all users").click()
    await expect(desk.page.locator("#count")).to_contain_text("users")


async def test_details_have_an_address_of_their_own(desk: Desk, acme: Org, member: Person) -> None:
    await desk.find({"id": member.id})
    await desk.row({"id": member.id}).get_by_role("link", name=member.name).click()
    await expect(desk.dialog("User Info")).to_be_visible()
    assert f"user={member.id}" in await desk.query()
    await desk.page.reload()
    await expect(desk.dialog("User Info")).to_be_visible()
    await desk.press(desk.dialog("User Info").locator("footer"), "Close")
    await expect(desk.dialog("User Info")).to_have_count(0)
    assert "user=" not in await desk.query()
