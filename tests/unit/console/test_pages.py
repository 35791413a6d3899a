"""What the console works out by itself: addresses, differences, words and times."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from starlette.datastructures import QueryParams

from services.console import texts, times
from services.console.pages import audit, users
from services.console.pages.edit import patch, shown
from services.console.visit import START, local

USER = {
    "id": "usr_1", "name": "Ada", "username": None, "phone": None, "timezone": "Europe/Vienna", "labels": ["a", "b"],
    "role": {"id": "rol_1", "name": "Member"}, "status": "active",
}  # fmt: skip
NOW = datetime(2026, 11, 24, 16, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:x",
        "/_/users/table",
        "/a\nb",
        "a",
    ],
)
def test_nobody_is_led_out_of_the_console(address: str) -> None:
    assert local(address) == START


def test_an_address_of_a_page_is_kept() -> None:
    assert local("/account?x=1") == "/account?x=1"


def test_an_untouched_form_changes_nothing() -> None:
    assert patch(shown(USER), shown(USER)) == {}


def test_only_what_differs_is_sent_in_the_form_that_the_api_wants() -> None:
    was = shown(USER)
    mine = was | {"name": "Ada L", "username": "ada", "timezone": "", "labels": "b, c ,", "active": ""}
    assert patch(mine, was) == {
        "name": "Ada L", "username": "ada", "timezone": None, "labels": ["b", "c"], "active": False,
    }  # fmt: skip


def test_an_invited_person_is_no_inactive_one() -> None:
    assert shown(USER | {"status": "invited"})["active"] == "on"
    assert shown(USER | {"status": "inactive"})["active"] == ""


def test_an_address_of_the_table_says_only_what_is_no_default() -> None:
    assert users.Asked().query() == ""
    asked = users.Asked.of(QueryParams("q=ada&sort=-created_at&limit=50&status=active&first=7&unknown=1"))
    assert asked.query() == "?q=ada&status=active"


@pytest.mark.parametrize(
    "query", ["first=0&cursor=x", "first=-1&cursor=x", "first=1e9&cursor=x", "first=²&cursor=x"]
)
def test_a_number_that_makes_no_sense_is_the_first_row(query: str) -> None:
    assert users.Asked.of(QueryParams(query)).first == 1


def test_sorting_turns_round_and_begins_at_the_first_page() -> None:
    asked = users.Asked.of(QueryParams("sort=name&cursor=x&first=51"))
    assert asked.sorted_by("name") == "?sort=-name"
    assert asked.sorted_by("last_sign_in_at") == "?sort=-last_sign_in_at"
    assert users.Asked().sorted_by("created_at") == "?sort=created_at"


def test_not_signed_in_for_days_begins_with_a_day_so_that_cursors_stay_good() -> None:
    def asked(choice: str) -> dict[str, str]:
        return dict(users.Asked.of(QueryParams(f"last_sign_in={choice}")).params(NOW))

    assert asked("30")["last_sign_in_before"].startswith("2026-10-25T00:00:00")
    assert asked("never")["last_sign_in"] == "never"
    assert not [name for name in asked("x") if "sign_in" in name]


def test_days_of_the_audit_are_those_of_the_reader() -> None:
    asked = audit.Asked.of(QueryParams("since=2026-11-24&until=2026-11-24"))
    moments = [value[:19] for _, value in asked.params("Europe/Vienna")]
    assert moments == ["2026-11-23T23:00:00", "2026-11-24T23:00:00"]
    assert audit.Asked.of(QueryParams("since=yesterday&until=9999-12-31")).params(None) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T16:05:00Z", "just now"),
        ("2026-11-24T15:04:00Z", "1 hour ago"),
        ("2026-11-22T16:05:12Z", "2 days ago"),
        ("2025-11-20T16:05:12Z", "1 year ago"),
        ("2026-11-24T18:05:12Z", "in 2 hours"),
    ],
)
def test_how_long_ago(text: str, expected: str) -> None:
    assert times.ago(text, NOW) == expected


def test_a_time_is_told_in_the_readers_zone() -> None:
    assert times.exact("2026-11-24T16:05:12Z", ZoneInfo("Europe/Vienna")) == "24 Nov 2026, 17:05:12 CET"
    assert times.zone_of("Mars/Olympus") == ZoneInfo("UTC")


def test_effects_are_told_in_numbers_and_nothing_of_what_is_zero() -> None:
    found = {
        "sessions_ended": 2,
        "ip_rules_revoked": 1,
        "api_keys_revoked": 0,
        "links_voided": None,
        "kill": "kil_1",
    }
    assert texts.effects(found) == ["2 sessions end", "1 IP rule is revoked"]


def test_a_refusal_is_told_with_rule_people_and_fields() -> None:
    document = {
        "code": "owner_protected", "detail": "No.", "rule": "owner_protected", "request_id": "req_1",
        "who_can": [{"id": "usr_1", "name": "Ada"}], "errors": [{"pointer": "/name", "code": "x", "detail": "bad"}],
    }  # fmt: skip
    told = texts.refusal(document)
    assert told.rule == texts.RULES["owner_protected"]
    assert told.who_can == ("Ada",)
    assert told.fields == (("Name", "bad"),)
    assert texts.refusal({}).detail == "Something went wrong on our side."


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"),
        (None, "Unknown device"),
    ],
)
def test_a_device_is_named_as_far_as_it_can_be_told(agent: str | None, expected: str) -> None:
    assert texts.device(agent) == expected
