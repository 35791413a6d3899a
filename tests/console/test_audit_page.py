"""The audit page: sentences, filters in the address, one record with everything."""

from __future__ import annotations

import json
import re

from playwright.async_api import expect

from tests.console.desk import AUDIT, Desk
from tests.e2e.acts import audit_of
from tests.e2e.people import Org, Person


def caught_up(acme: Org) -> None:
    """Wait until everything that has happened is in the audit."""
    audit_of(acme.owner.client, acme.owner.client.send("GET", "/v1/me").headers["Muster-Position"])


async def test_records_are_sentences_with_who_when_where(desk: Desk, acme: Org, member: Person) -> None:
    change = acme.owner.client.patch(
        f"/v1/users/{member.id}", {"name": "Sentence Person", "reason": "a test"}
    )
    audit_of(acme.owner.client, change["position"])
    await desk.open(f"{AUDIT}?target={member.id}")
    row = desk.page.locator("tbody tr").first
    await expect(row).to_contain_text(
        f"{acme.owner.name} renamed {member.name} from {member.name} to Sentence Person."
    )
    await expect(row).to_contain_text("“a test”")
    await expect(row).to_contain_text("127.0.0.1")
    await expect(row).to_contain_text("Done")
    await row.get_by_role("button", name="Details").click()
    dialog = desk.dialog("Audit Record")
    for word in (acme.owner.name, "user.renamed", "a test", "Before", "Sentence Person", "127.0.0.1"):
        await expect(dialog).to_contain_text(word)
    await dialog.get_by_text("As JSON").click()
    record = json.loads(await dialog.locator("pre").inner_text())
    assert record["changes"]["name"] == {"old": member.name, "new": "Sentence Person"}


async def test_refused_attempts_are_shown(desk: Desk, acme: Org, member: Person) -> None:
    refused = member.client.send("GET", "/v1/users")
    assert refused.status_code == 403
    audit_of(acme.owner.client, refused.headers["Muster-Position"])
    await desk.open(f"{AUDIT}?actor={member.id}")
    await expect(desk.page.get_by_role("row", name="was not allowed to read users")).to_contain_text(
        "Refused"
    )


async def test_filters_are_in_the_address_and_back_takes_them_out(
    desk: Desk, acme: Org, member: Person
) -> None:
    caught_up(acme)
    await desk.open(f"{AUDIT}?target={member.id}")
    rows = desk.page.locator("tbody tr")
    everything = await rows.count()
    await desk.page.get_by_label("What happened").select_option(label="Signed in")
    await expect(desk.page).to_have_url(re.compile(rf"\?target={member.id}&type=session.started"))
    await expect(rows).to_have_count(1)
    await desk.page.get_by_label("Outcome").select_option(label="Refused")
    await expect(desk.page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    await desk.page.go_back()
    await expect(rows).to_have_count(1)
    await desk.page.go_back()
    await expect(rows.nth(everything - 1)).to_be_visible()
    await expect(desk.page.get_by_label("What happened")).to_have_value("")


async def test_a_value_is_a_filter(desk: Desk, acme: Org, member: Person) -> None:
    caught_up(acme)
    await desk.open(f"{AUDIT}?target={member.id}")
    await desk.page.locator("tbody").get_by_role("link", name=member.name).first.click()
    await expect(desk.page).to_have_url(re.compile(f"actor={member.id}"))
    await desk.page.get_by_role("link", name=re.compile("^By ")).click()
    await expect(desk.page).not_to_have_url(re.compile("actor="))


async def test_days_search_and_pages(desk: Desk, acme: Org) -> None:
    await desk.open(AUDIT)
    first = await desk.page.locator(".cell-sentence").first.inner_text()
    await desk.page.get_by_role("link", name="Older").click()
    await expect(desk.page.locator(".cell-sentence").first).not_to_have_text(first)
    await desk.page.get_by_role("link", name="Newer").click()
    await expect(desk.page).to_have_url(re.compile("cursor="))
    await desk.open(AUDIT)
    await desk.page.get_by_label("From").fill("2000-01-01")
    await desk.page.get_by_label("To").fill("2000-01-02")
    await desk.page.get_by_label("To").press("Tab")
    await expect(desk.page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    await desk.page.get_by_role("link", name="Clear all").click()
    await desk.page.get_by_role("searchbox").fill(acme.owner.name)
    await expect(desk.page).to_have_url(re.compile(r"\?q="))
    await expect(desk.page.locator("tbody tr").first).to_be_visible()
