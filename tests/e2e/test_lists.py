"""The users table and what hangs on a row: search, filters, sorts, pages, sessions, timeline."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.e2e.acts import RFC_3339_UTC
from tests.e2e.client import Client, Json
from tests.e2e.people import RUN, Org, Person

FIELDS = {
    *("id", "email", "name", "username", "phone", "timezone", "role", "status", "mfa", "labels"),
    *("created_at", "last_sign_in_at", "password_changed_at", "version"),
}
SORTS = ("name", "email", "username", "role", "status", "mfa", "last_sign_in_at", "created_at")


def pages(client: Client, path: str, **params: Any) -> list[list[Json]]:
    found: list[list[Json]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get(path, **params, **cursor)
        assert page.keys() >= {"data", "next_cursor", "previous_cursor", "count"}, page.keys()
        found.append(page["data"])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def rows(client: Client, path: str = "/v1/users", **params: Any) -> list[Json]:
    return [row for page in pages(client, path, **({"limit": 200} | params)) for row in page]


def test_a_user_has_exactly_the_fields_of_the_contract(owner: Person) -> None:
    for row in owner.client.get("/v1/users", limit=200)["data"]:
        assert row.keys() == FIELDS
        assert row["mfa"].keys() == {"status", "factors"}
        assert row["status"] in ("active", "inactive", "invited")
        assert RFC_3339_UTC.fullmatch(row["created_at"])


def test_the_demo_has_something_on_every_screen(acme: Org, owner: Person) -> None:
    everyone = rows(owner.client)
    assert len(everyone) >= 60
    demo = [row for row in everyone if "@e2e." not in row["email"] and RUN not in row["email"]]
    assert {row["status"] for row in demo} == {"active", "inactive", "invited"}
    assert {row["mfa"]["status"] for row in demo} == {"enabled", "not_enabled"}
    assert any(row["labels"] for row in demo)
    assert any(row["last_sign_in_at"] is None and row["status"] == "active" for row in demo)
    owners = [row for row in demo if row["role"]["name"] == "Owner"]
    assert len(owners) == 2  # the printed one and exactly one other
    created = sorted(row["created_at"] for row in demo)
    assert datetime.now(UTC) - datetime.fromisoformat(created[0]) > timedelta(days=80)


@pytest.mark.parametrize("sort", [*SORTS, *(f"-{name}" for name in SORTS), "role,-name"])
def test_pages_in_every_order_hold_each_row_once(owner: Person, sort: str) -> None:
    everyone = {row["id"] for row in rows(owner.client)}
    paged = pages(owner.client, "/v1/users", sort=sort, limit=25)
    ids = [row["id"] for page in paged for row in page]
    assert len(ids) == len(set(ids))
    assert set(ids) == everyone
    assert all(len(page) == 25 for page in paged[:-1])


def test_sorting_puts_nulls_last_both_ways(owner: Person) -> None:
    for sort in ("last_sign_in_at", "-last_sign_in_at", "username", "-username"):
        field = sort.removeprefix("-")
        values = [row[field] for row in rows(owner.client, sort=sort)]
        there = [value for value in values if value is not None]
        assert values == there + [None] * (len(values) - len(there)), sort
    times = [row["created_at"] for row in rows(owner.client, sort="-created_at")]
    assert all(a >= b for a, b in pairwise(times))


def test_one_can_go_back_a_page(owner: Person) -> None:
    first = owner.client.get("/v1/users", limit=10, sort="name")
    second = owner.client.get("/v1/users", limit=10, sort="name", cursor=first["next_cursor"])
    back = owner.client.get("/v1/users", limit=10, sort="name", cursor=second["previous_cursor"])
    assert first["previous_cursor"] is None
    assert [row["id"] for row in back["data"]] == [row["id"] for row in first["data"]]


def test_pages_stay_stable_while_rows_are_added(acme: Org, owner: Person) -> None:
    before = {row["id"] for row in rows(owner.client)}
    first = owner.client.get("/v1/users", limit=20, sort="name")
    acme.invite(name="AAA Added In Between")
    seen, cursor = [row["id"] for row in first["data"]], first["next_cursor"]
    while cursor:
        page = owner.client.get("/v1/users", limit=20, sort="name", cursor=cursor)
        seen += [row["id"] for row in page["data"]]
        cursor = page["next_cursor"]
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def test_a_cursor_with_another_filter_is_refused(owner: Person) -> None:
    cursor = owner.client.get("/v1/users", limit=5)["next_cursor"]
    for other in ({"status": "inactive"}, {"sort": "email"}, {"q": "x"}):
        query = urlencode({"limit": 5, "cursor": cursor} | other)
        owner.client.refused("GET", f"/v1/users?{query}", code="cursor_mismatch", status=400)


def test_a_cursor_that_was_tampered_with_is_refused(owner: Person) -> None:
    cursor = owner.client.get("/v1/users", limit=5)["next_cursor"]
    changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    answer = owner.client.send("GET", "/v1/users", params={"cursor": changed, "limit": 5})
    assert answer.status_code == 400, answer.text


def test_the_count_is_that_of_all_pages(owner: Person) -> None:
    for params in ({}, {"status": "inactive"}, {"mfa": "enabled"}, {"role": "admin"}):
        page = owner.client.get("/v1/users", limit=1, **params)
        assert page["count"] == {"value": len(rows(owner.client, **params)), "exact": True}


def test_filters_select_and_combine(acme: Org, owner: Person, member: Person) -> None:
    everyone = rows(owner.client)

    def expect(params: dict[str, Any], fits: Any) -> None:
        got = {row["id"] for row in rows(owner.client, **params)}
        assert got == {row["id"] for row in everyone if fits(row)}, params

    expect({"status": "inactive"}, lambda r: r["status"] == "inactive")
    expect({"status": ["inactive", "invited"]}, lambda r: r["status"] in ("inactive", "invited"))
    expect({"role": "admin"}, lambda r: r["role"]["name"] == "Admin")
    admin_role = owner.client.get("/v1/roles/admin")["id"]
    expect({"role": admin_role}, lambda r: r["role"]["id"] == admin_role)
    expect({"mfa": "enabled"}, lambda r: r["mfa"]["status"] == "enabled")
    label = next(label for row in everyone for label in row["labels"])
    expect({"label": label}, lambda r: label in r["labels"])
    expect({"last_sign_in": "never"}, lambda r: r["last_sign_in_at"] is None)
    expect(
        {"role": "member", "status": "active", "mfa": "enabled"},
        lambda r: (r["role"]["name"], r["status"], r["mfa"]["status"]) == ("Member", "active", "enabled"),
    )
    since = (datetime.now(UTC) - timedelta(days=30)).isoformat().replace("+00:00", "Z")
    expect({"created_since": since}, lambda r: r["created_at"] >= since)
    got = rows(owner.client, last_sign_in_before=since)
    assert got
    assert all(r["last_sign_in_at"] is None or r["last_sign_in_at"] < since for r in got)


def test_search_finds_name_email_username_and_ids_without_case_and_accents(acme: Org, owner: Person) -> None:
    username = f"jm.{RUN}"
    person = acme.join(name=f"Jérôme Müller {RUN}", username=username)
    for q in (
        *(f"jerome muller {RUN}", f"MÜLLER {RUN}", person.email, person.email.upper(), username.upper()),
        *(person.id, person.session["id"], f"  {person.id} "),
    ):
        found = [row["id"] for row in owner.client.get("/v1/users", q=q)["data"]]
        assert person.id in found, q
        assert len(found) <= 3, q
    change = owner.client.patch(f"/v1/users/{person.id}", {"name": f"Jérôme Möller {RUN}"})
    event = change["events"][0]["id"]
    assert [row["id"] for row in owner.client.get("/v1/users", q=event)["data"]] == [person.id]
    assert owner.client.get("/v1/users", q="%")["data"] == [] or len(rows(owner.client, q="%")) < 60
    assert owner.client.get("/v1/users", q="no such person at all")["data"] == []


def test_a_row_is_right_the_moment_a_command_has_answered(acme: Org, owner: Person, member: Person) -> None:
    for number in range(10):
        name = f"Fresh {RUN} {number}"
        owner.client.patch(f"/v1/users/{member.id}", {"name": name})
        (row,) = owner.client.get("/v1/users", q=member.email)["data"]
        assert row["name"] == name
        assert row == acme.user(member.id)


def test_sessions_of_a_user_with_their_address(acme: Org, owner: Person, member: Person) -> None:
    second, answer = acme.sign_in(member.email, member.password)
    found = owner.client.get(f"/v1/users/{member.id}/sessions")["data"]
    assert {row["id"] for row in found} == {member.session["id"], answer["session"]["id"]}
    assert all(row["ip"] == "127.0.0.1" and row["amr"] for row in found)
    change = owner.client.delete(f"/v1/users/{member.id}/sessions/{member.session['id']}")
    assert [event["type"] for event in change["events"]] == ["session.ended", "ip_rule.revoked"]
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
    second.get("/v1/me")
    path = f"/v1/users/{member.id}/sessions/{acme.owner.session['id']}"
    owner.client.refused("DELETE", path, code="not_found", status=404)


def test_the_timeline_shows_a_user_as_target_and_as_actor(acme: Org, owner: Person, admin: Person) -> None:
    person = acme.join("admin")
    target = acme.join()
    person.client.patch(f"/v1/users/{target.id}", {"name": "By Person", "reason": "typo"})
    owner.client.patch(f"/v1/users/{person.id}", {"labels": ["seen"]})
    timeline = owner.client.get(f"/v1/users/{person.id}/timeline")["data"]
    assert all({"id", "type", "at", "actor", "reason", "fields"} <= row.keys() for row in timeline)
    assert "127.0.0.1" not in str(timeline)
    newest, before = timeline[:2]
    assert (newest["type"], newest["actor"]["id"]) == ("user.labels_changed", owner.id)
    assert newest["fields"]["labels"] == {"old": [], "new": ["seen"]}
    assert (before["type"], before["actor"]["id"], before["reason"]) == ("user.renamed", person.id, "typo")
    assert timeline[-1]["type"] == "user.created"
    whole = [row["id"] for page in pages_of_timeline(owner.client, person.id) for row in page]
    assert whole == [row["id"] for row in timeline]


def pages_of_timeline(client: Client, user: str) -> list[list[Json]]:
    found: list[list[Json]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get(f"/v1/users/{user}/timeline", limit=3, **cursor)
        found.append(page["data"])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}
