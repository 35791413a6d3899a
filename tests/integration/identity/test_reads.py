"""The table of people, one person, their sessions and their timeline, over HTTP on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from muster_contracts.events import Change
from muster_contracts.users import (
    UserDeactivated,
    UserLabelsChanged,
    UserPhoneChanged,
    UserRenamed,
    UserUsernameChanged,
)

from services.identity.users.projection import searchable
from services.kit.ids import new_id
from tests.support.identity import Org, Person, Place, running_identity
from tests.support.servers import PostgresServer

NAMES = ("Zoë Núñez", "ann", "Ann Bee", "Álvaro", "Björn", "bob", "Charlie_100%", "Dora", "Emil", "Ångström")


@dataclass
class Acme:
    place: Place
    org: Org
    people: list[Person]

    async def get(self, path: str, person: Person | None = None, **query: Any) -> Any:
        answer = await self.place.call("GET", path, person or self.org.admin, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def pages(self, path: str, **query: Any) -> list[Any]:
        """All rows, page by page, and back again to prove that both ways agree."""
        pages, cursor = [], {}
        while True:
            page = await self.get(path, **query, **cursor)
            pages.append(page)
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        for known, page in zip(reversed(pages[:-1]), reversed(pages[1:]), strict=True):
            back = await self.get(path, **query, cursor=page["previous_cursor"])
            assert back["data"] == known["data"]
        assert pages[0]["previous_cursor"] is None
        return [row for page in pages for row in page["data"]]

    async def names(self, **query: Any) -> list[str]:
        return [row["name"] for row in (await self.get("/v1/users", **query))["data"]]

    async def ids(self, **query: Any) -> set[str]:
        return {row["id"] for row in (await self.get("/v1/users", **query))["data"]}


@pytest.fixture(scope="module")
async def acme(postgres_server: PostgresServer) -> AsyncIterator[Acme]:
    async with running_identity(postgres_server) as place:
        org = await place.organization()
        people = [await place.person(org, f"p{n}", active=n % 3 != 0) for n in range(len(NAMES))]
        for n, (person, name) in enumerate(zip(people, NAMES, strict=True)):
            events: list[Any] = [UserRenamed(user=person.id, name=Change(old=None, new=name))]
            if n % 2:
                username = Change(old=None, new=f"nick{n}")
                events.append(UserUsernameChanged(user=person.id, username=username))
            if n in (2, 4):
                labels = Change[tuple[str, ...]](old=(), new=("contractor", "berlin"))
                events.append(UserLabelsChanged(user=person.id, labels=labels))
            await place.write(org, org.owner, events, [], ())
        gone = UserDeactivated(
            user=people[5].id, kill=new_id("kil"), status=Change(old="active", new="inactive")
        )
        await place.write(org, org.owner, [gone], [], ())
        await place.enroll(org, people[1])
        await place.organization("other-org")
        yield Acme(place, org, people)


SORT_KEYS: dict[str, Any] = {
    "name": lambda u: searchable(u["name"]),
    "email": lambda u: u["email"].lower(),
    "username": lambda u: u["username"],
    "role": lambda u: u["role"]["name"],
    "status": lambda u: u["status"],
    "mfa": lambda u: u["mfa"]["status"],
    "created_at": lambda u: u["created_at"],
    "last_sign_in_at": lambda u: u["last_sign_in_at"],
    "password_changed_at": lambda u: u["password_changed_at"],
}


@pytest.mark.parametrize("column", SORT_KEYS)
@pytest.mark.parametrize("descending", [False, True])
async def test_every_column_sorts_both_ways_with_nulls_last_over_all_pages(
    acme: Acme, column: str, descending: bool
):
    rows = await acme.pages("/v1/users", sort=f"{'-' * descending}{column}", limit=4)
    assert len(rows) == len({row["id"] for row in rows}) == len(NAMES) + 3
    keys = [SORT_KEYS[column](row) for row in rows]
    filled = [key for key in keys if key is not None]
    assert keys == sorted(filled, reverse=descending) + [None] * (len(keys) - len(filled))


@pytest.mark.parametrize(
    "sort", ["role,-name", "-status,email", "mfa,username,-created_at", "-role,username"]
)
async def test_several_columns_sort_one_after_the_other(acme: Acme, sort: str):
    rows = await acme.pages("/v1/users", sort=sort, limit=3)
    expected = list(rows)
    for part in reversed(sort.split(",")):
        key, descending = SORT_KEYS[part.removeprefix("-")], part.startswith("-")
        filled = sorted((r for r in expected if key(r) is not None), key=key, reverse=descending)
        expected = filled + [r for r in expected if key(r) is None]
    plain = [[SORT_KEYS[p.removeprefix("-")](row) for p in sort.split(",")] for row in rows]
    assert plain == [[SORT_KEYS[p.removeprefix("-")](row) for p in sort.split(",")] for row in expected]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("zoe", {"Zoë Núñez"}),
        ("NUNEZ zoë", {"Zoë Núñez"}),
        ("angstrom", {"Ångström"}),
        ("bjo", {"Björn"}),
        ("ann", {"ann", "Ann Bee"}),
        ("100%", {"Charlie_100%"}),
        ("e_1", {"Charlie_100%"}),
        ("r_e", set()),
        ("nick3", {"Álvaro"}),
        ("P7@", {"Dora"}),
        ("\\", set()),
        ("zoe bob", set()),
    ],
)
async def test_search_finds_name_email_and_username_without_case_and_accents(
    acme: Acme, q: str, found: set[str]
):
    assert set(await acme.names(q=q)) == found


async def test_any_id_from_a_log_leads_to_the_person(acme: Acme):
    person = acme.people[1]
    async with acme.place.identity.pool.acquire() as connection:
        session = await connection.fetchval('SELECT id FROM sessions WHERE "user" = $1', person.id)
        event = await connection.fetchrow("SELECT * FROM events WHERE stream = $1 LIMIT 1", session)
        assert event
        rule = await connection.fetchval("SELECT id FROM ip_rules WHERE session = $1", session)
    for id_ in (person.id, session, rule, event["id"], event["request_id"], event["action"]):
        assert await acme.ids(q=f"  {id_.upper()} ") == {person.id}, id_
    for prefix in ("usr", "ses", "key", "evt", "req", "act", "kil", "fac", "ipr", "lnk", "att", "rol", "xyz"):
        assert await acme.ids(q=new_id(prefix)) == set()


async def test_an_id_of_another_organization_finds_nobody(acme: Acme):
    async with acme.place.identity.pool.acquire() as connection:
        other = await connection.fetchval("SELECT id FROM users WHERE org <> $1", acme.org.id)
        event = await connection.fetchval("SELECT id FROM events WHERE org <> $1 LIMIT 1", acme.org.id)
    assert await acme.ids(q=other) == set()
    assert await acme.ids(q=event) == set()


async def test_filters_of_one_kind_are_alternatives_and_of_several_kinds_all_hold(acme: Acme):
    assert await acme.names(role="owner") == ["Olga Owner"]
    assert set(await acme.names(role=["owner", "admin"])) == {"Olga Owner", "Admin"}
    assert await acme.names(status="inactive") == ["bob"]
    invited = set(await acme.names(status="invited"))
    assert invited == {NAMES[n] for n in (0, 3, 6, 9)}
    assert set(await acme.names(status=["invited", "inactive"])) == invited | {"bob"}
    assert await acme.names(mfa="enabled") == ["ann"]
    assert await acme.names(mfa="enabled", status="invited") == []
    assert set(await acme.names(label=["berlin", "no such"])) == {"Ann Bee", "Björn"}
    assert set(await acme.names(last_sign_in="never")) == invited
    assert set(await acme.names(last_sign_in_before="2999-01-01T00:00:00Z")).isdisjoint(invited)
    assert await acme.names(last_sign_in_before="2000-01-01T00:00:00+02:00") == []
    assert await acme.names(created_since="2999-01-01T00:00:00Z") == []
    assert len(await acme.names(created_since="2000-01-01T00:00:00Z")) == len(NAMES) + 3
    assert await acme.names(role="no-such-role") == []


async def test_the_count_is_of_all_that_match(acme: Acme):
    page = await acme.get("/v1/users", limit=2)
    assert page["count"] == {"value": len(NAMES) + 3, "exact": True}
    assert len(page["data"]) == 2
    page = await acme.get("/v1/users", status="invited", limit=1)
    assert page["count"] == {"value": 4, "exact": True}


async def test_pages_stay_stable_while_people_are_added(acme: Acme):
    first = await acme.get("/v1/users", sort="-created_at", limit=5)
    late = await acme.place.person(acme.org, "late", active=False)
    second = await acme.get("/v1/users", sort="-created_at", limit=200, cursor=first["next_cursor"])
    seen = [row["id"] for row in (*first["data"], *second["data"])]
    assert len(seen) == len(set(seen)) == len(NAMES) + 3
    assert late.id not in seen
    answer = await acme.place.call(
        "POST", f"/v1/users/{late.id}/delete", acme.org.owner, {"confirm": late.email}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"stauts": "active"}, "unknown_parameter"),
        ({"sort": "shoe_size"}, "invalid_request"),
        ({"sort": "name,"}, "invalid_request"),
        ({"limit": "0"}, "invalid_request"),
        ({"limit": "201"}, "invalid_request"),
        ({"limit": "ten"}, "invalid_request"),
        ({"status": "asleep"}, "invalid_request"),
        ({"mfa": "maybe"}, "invalid_request"),
        ({"cursor": "x"}, "invalid_request"),
        ({"cursor": "AAAA" * 30}, "invalid_request"),
        ({"q": "a\x00b"}, "invalid_request"),
        ({"label": "\x00"}, "invalid_request"),
        ({"role": "\x00"}, "invalid_request"),
        ({"q": "x" * 201}, "invalid_request"),
        ({"last_sign_in_before": "yesterday"}, "invalid_request"),
        ({"last_sign_in_before": "2026-01-01"}, "invalid_request"),
        ({"created_since": "0001-01-01T00:00:00+14:00"}, "invalid_request"),
        ({"last_sign_in": "always"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_asked_is_a_400(acme: Acme, query: dict[str, str], code: str):
    answer = await acme.place.call("GET", "/v1/users", acme.org.admin, params=query)
    assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text


async def test_an_unknown_parameter_is_answered_with_the_nearest_one(acme: Acme):
    answer = await acme.place.call("GET", "/v1/users", acme.org.admin, params={"stauts": "active"})
    assert "'status'" in answer.json()["detail"]


async def test_a_cursor_continues_its_own_query_only(acme: Acme):
    cursor = (await acme.get("/v1/users", sort="name", limit=2))["next_cursor"]
    for other in ({"sort": "email"}, {"sort": "name", "status": "active"}, {}):
        answer = await acme.place.call("GET", "/v1/users", acme.org.admin, params={**other, "cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "cursor_mismatch")
    assert (await acme.get("/v1/users", sort="name", limit=7, cursor=cursor))["data"]


async def test_one_person_is_shown_with_the_version_as_etag(acme: Acme):
    person = acme.people[1]
    answer = await acme.place.call("GET", f"/v1/users/{person.id}", acme.org.admin)
    user = answer.json()
    assert answer.headers["ETag"] == f'"{user["version"]}"'
    assert answer.headers["Muster-Position"]
    assert set(user) == {
        "id", "email", "name", "username", "phone", "timezone", "role", "status", "mfa", "labels",
        "created_at", "last_sign_in_at", "password_changed_at", "version",
    }  # fmt: skip
    assert (user["email"], user["name"], user["username"]) == (person.email, "ann", "nick1")
    assert user["mfa"]["status"] == "enabled"
    assert user["role"]["name"] == "Member"


async def test_unknown_foreign_and_malformed_ids_get_the_same_404(acme: Acme):
    async with acme.place.identity.pool.acquire() as connection:
        other = await connection.fetchval("SELECT id FROM users WHERE org <> $1", acme.org.id)
    for tail in ("", "/sessions", "/timeline"):
        answers = [
            await acme.place.call("GET", f"/v1/users/{id_}{tail}", acme.org.admin)
            for id_ in (other, new_id("usr"), "x", "%00", "%FF", acme.org.id)
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({tuple(answer.json() | {"request_id": ""}) for answer in answers}) == 1


async def test_a_member_may_not_read_people(acme: Acme):
    paths = ("", f"/{acme.people[1].id}", f"/{acme.people[1].id}/sessions", f"/{acme.people[1].id}/timeline")
    for path in paths:
        answer = await acme.place.call("GET", f"/v1/users{path}", acme.org.member)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_missing")


async def test_live_sessions_are_listed_and_the_own_one_is_marked(acme: Acme):
    token = await acme.place.session(acme.org, acme.org.admin)
    page = await acme.get(f"/v1/users/{acme.org.admin.id}/sessions")
    assert page["count"] == {"value": 2, "exact": True}
    assert sorted(session["current"] for session in page["data"]) == [False, True]
    own = next(session for session in page["data"] if session["current"])
    assert own.keys() == {
        "id", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "amr", "current"
    }  # fmt: skip
    assert (own["ip"], own["user_agent"], own["amr"]) == ("203.0.113.7", "tests", ["pwd"])
    ended = next(session["id"] for session in page["data"] if not session["current"])
    answer = await acme.place.call(
        "DELETE", f"/v1/users/{acme.org.admin.id}/sessions/{ended}", acme.org.owner
    )
    assert answer.status_code == 200
    assert [s["id"] for s in (await acme.get(f"/v1/users/{acme.org.admin.id}/sessions"))["data"]] == [
        own["id"]
    ]
    assert (await acme.place.call("GET", "/v1/users", token)).status_code == 401


async def test_the_timeline_tells_what_was_done_to_and_by_a_person_newest_first(acme: Acme):
    admin, target = await acme.place.person(acme.org, "tilda", role="admin"), acme.people[7]
    for n in range(4):
        answer = await acme.place.call(
            "PATCH", f"/v1/users/{target.id}", admin, {"name": f"Dora {n}", "reason": f"try {n}"}
        )
        assert answer.status_code == 200, answer.text
    rows = await acme.pages(f"/v1/users/{target.id}/timeline", limit=3)
    assert [row["fields"]["name"]["new"] for row in rows[:4]] == [f"Dora {n}" for n in (3, 2, 1, 0)]
    assert rows[0]["fields"] == {"name": {"old": "Dora 2", "new": "Dora 3"}}
    assert rows[0]["actor"] == {"id": admin.id, "name": "Tilda"}
    assert (rows[0]["type"], rows[0]["reason"]) == ("user.renamed", "try 3")
    assert rows[-1]["type"] == "user.created"
    assert "203.0.113" not in str(rows)
    assert all(row.keys() == {"id", "type", "at", "actor", "reason", "fields"} for row in rows)
    done = await acme.pages(f"/v1/users/{admin.id}/timeline", limit=3)
    assert [row["id"] for row in done[:4]] == [row["id"] for row in rows[:4]]
    ats = [row["at"] for row in done]
    assert ats == sorted(ats, reverse=True)


async def test_the_timeline_of_one_person_does_not_take_the_cursor_of_another(acme: Acme):
    page = await acme.get(f"/v1/users/{acme.people[1].id}/timeline", limit=1)
    path = f"/v1/users/{acme.people[2].id}/timeline"
    answer = await acme.place.call("GET", path, acme.org.admin, params={"cursor": page["next_cursor"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor_mismatch")


async def test_a_refused_attempt_is_not_in_the_timeline(acme: Acme):
    answer = await acme.place.call("POST", f"/v1/users/{acme.org.owner.id}/deactivate", acme.org.admin, {})
    assert answer.status_code == 403
    for person in (acme.org.owner, acme.org.admin):
        rows = (await acme.get(f"/v1/users/{person.id}/timeline", limit=200))["data"]
        assert "attempt.refused" not in {row["type"] for row in rows}


async def test_an_erased_actor_stays_an_id_without_a_name(acme: Acme):
    leaver, target = await acme.place.person(acme.org, "leaver", role="admin"), acme.people[8]
    await acme.place.write(
        acme.org,
        leaver,
        [UserPhoneChanged(user=target.id, phone=Change(old=None, new="+49301234567"))],
        [],
        (),
    )
    async with acme.place.identity.pool.acquire() as connection:
        await connection.execute(
            "UPDATE person_keys SET wrapped = NULL, destroyed_at = now() WHERE id = $1", leaver.id
        )
    page = await acme.get(f"/v1/users/{target.id}/timeline", limit=1)
    acme.place.identity.keys.forget(leaver.id)
    assert page["data"][0]["actor"]["id"] == leaver.id
    assert page["data"][0]["fields"] == {"phone": {"old": None, "new": "+49301234567"}}
