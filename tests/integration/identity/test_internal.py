"""Routes for our own services: who may call them, and that they answer what Kafka and the mails need."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
import pytest
from muster_contracts.envelope import from_record

from services.kit.ids import new_id
from services.kit.tokens import is_token
from tests.support.identity import SERVICE_KEYS, Org, Place, running_identity
from tests.support.servers import PostgresServer

NONE = "0" * 26
"""The rest of an id that nobody has."""
ROUTES = {
    ("POST", "/internal/authorize"): ("AUDIT", "NOTIFIER"),
    ("GET", "/internal/head"): ("AUDIT", "NOTIFIER"),
    ("GET", "/internal/events?after=0"): ("AUDIT", "NOTIFIER"),
    ("PUT", "/internal/progress"): ("AUDIT", "NOTIFIER"),
    ("GET", f"/internal/links/lnk_{NONE}"): ("NOTIFIER",),
    ("GET", f"/internal/users/usr_{NONE}"): ("NOTIFIER",),
    ("GET", f"/internal/kills/kil_{NONE}?user=usr_{NONE}"): ("NOTIFIER",),
}


@dataclass
class Inside:
    place: Place
    org: Org

    async def call(
        self, caller: str, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
    ) -> httpx.Response:
        key = {"Muster-Service-Key": SERVICE_KEYS.get(f"MUSTER_SERVICE_KEYS__{caller}_IDENTITY", caller)}
        return await self.place.call(method, path, token, body, headers=key | headers)

    async def events(self, query: str) -> list[dict[str, Any]]:
        answer = await self.call("AUDIT", "GET", f"/internal/events?{query}")
        assert answer.status_code == 200, answer.text
        return answer.json()["events"]

    async def act(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer = await self.place.call(method, path, self.org.owner, body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def sql(self, statement: str, *args: Any) -> Any:
        async with self.place.identity.pool.acquire() as connection:
            return await connection.fetchval(statement, *args)


@pytest.fixture(scope="module")
async def inside(postgres_server: PostgresServer) -> AsyncIterator[Inside]:
    async with running_identity(postgres_server) as place:
        yield Inside(place, await place.organization())


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_a_route_opens_to_the_services_that_are_named_for_it_and_to_no_other(
    inside: Inside, method: str, path: str
):
    for caller in ("AUDIT", "NOTIFIER", "GATEWAY", "wrong", ""):
        answer = await inside.call(caller, method, path, {} if method != "GET" else None)
        refused = answer.status_code == 401 and "service" in answer.json()["detail"]
        assert refused != (caller in ROUTES[method, path]), (caller, answer.text)


async def test_a_caller_who_may_is_named_with_permissions(inside: Inside):
    asked = {"permission": "audit.read", "method": "GET", "route": "/v1/audit"}
    answer = await inside.call("AUDIT", "POST", "/internal/authorize", asked, inside.org.admin.token)
    assert answer.status_code == 200
    found = answer.json()
    assert found["actor"] == {"type": "user", "id": inside.org.admin.id, "name": "Admin"}
    assert found["org"] == inside.org.id
    assert "audit.read" in found["permissions"]
    assert found["session_id"].startswith("ses_")


async def test_who_is_nobody_gets_a_problem_with_a_position_to_be_handed_on(inside: Inside):
    asked = {"permission": "audit.read", "method": "GET", "route": "/v1/audit"}
    for token in (None, "mus_nobody"):
        answer = await inside.call("AUDIT", "POST", "/internal/authorize", asked, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert answer.headers["Muster-Position"]


async def test_a_caller_who_may_not_gets_the_problem_and_is_recorded(inside: Inside):
    asked = {"permission": "audit.read", "method": "GET", "route": "/v1/audit/{id}"}
    request_id = new_id("req")
    answer = await inside.call(
        "AUDIT", "POST", "/internal/authorize", asked, inside.org.member.token,
        **{"Muster-Request-Id": request_id, "Muster-Client-Address": "198.51.100.9", "User-Agent": "their agent"},
    )  # fmt: skip
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["missing_permission"]) == ("permission_missing", "audit.read")
    assert problem["request_id"] == request_id
    assert "who_can" not in problem  # a member may not read people
    last = (await inside.events(f"after={await inside.sql('SELECT position - 1 FROM log_head')}"))[0]
    data = json.loads(last["value"])
    assert last["headers"]["ce_type"] == "muster.attempt.refused"
    assert last["headers"]["ce_correlationid"] == request_id
    assert (data["act"], data["code"], data["target"]) == ("audit.read", "permission_missing", None)
    assert (data["ip"], data["user_agent"]) == ("198.51.100.9", "their agent")
    assert data["actor"]["id"] == inside.org.member.id


async def test_a_caller_without_a_credential_gets_401_and_a_strange_question_400(inside: Inside):
    asked = {"permission": "audit.read", "method": "GET", "route": "/v1/audit"}
    for token in (None, "nonsense", "mus_" + "a" * 49):
        answer = await inside.call("AUDIT", "POST", "/internal/authorize", asked, token)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    for wrong in (
        {"permission": "audit.burn"}, {"permission": 1}, {"method": "get it"}, {"route": "x"}, {"more": 1}
    ):  # fmt: skip
        answer = await inside.call(
            "AUDIT", "POST", "/internal/authorize", asked | wrong, inside.org.owner.token
        )
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


async def test_events_come_in_log_order_exactly_as_they_are_published(inside: Inside):
    head = (await inside.call("NOTIFIER", "GET", "/internal/head")).json()
    assert head == {"position": await inside.sql("SELECT position FROM log_head"), "epoch": 1}
    found: list[dict[str, Any]] = []
    while page := await inside.events(f"after={len(found)}&limit=7"):
        assert len(page) <= 7
        found += page
    assert [int(e["headers"]["ce_position"]) for e in found] == list(range(1, head["position"] + 1))
    for event in found:
        envelope = from_record(
            event["topic"], event["key"].encode(), event["value"].encode(),
            [(name, text.encode()) for name, text in event["headers"].items()],
        )  # fmt: skip
        assert envelope.position == int(event["headers"]["ce_position"])
        assert envelope.event()


async def test_one_stream_is_read_from_a_sequence_on(inside: Inside):
    user = inside.org.member.id
    for n in range(3):
        await inside.act("PATCH", f"/v1/users/{user}", {"name": f"Member {n}"})
    every = await inside.events(f"subject={user}")
    assert [int(e["headers"]["ce_sequence"]) for e in every] == list(range(1, len(every) + 1))
    assert await inside.events(f"subject={user}&from=3&limit=2") == every[2:4]
    assert await inside.events(f"subject={user}&from={len(every) + 1}") == []
    assert await inside.events(f"subject={new_id('usr')}") == []


@pytest.mark.parametrize(
    "query",
    [
        "", "after=0&subject=usr_1", "after=-1", "after=0&limit=0", "after=0&limit=1001", "subject=%00",
        "subject=usr_1&from=0", "after=99999999999999999999", "aftre=1", "after=x",
    ],
)  # fmt: skip
async def test_a_malformed_question_for_events_is_a_400(inside: Inside, query: str):
    assert (await inside.call("AUDIT", "GET", f"/internal/events?{query}")).status_code == 400


async def test_progress_is_kept_per_service_as_it_was_said(inside: Inside):
    for position in (5, 9, 3):
        said = {"service": "audit", "position": position}
        assert (await inside.call("AUDIT", "PUT", "/internal/progress", said)).status_code == 204
    assert await inside.sql("SELECT position FROM progress WHERE service = 'audit'") == 3
    for caller, wrong in (("NOTIFIER", {"service": "audit", "position": 9}), ("AUDIT", {"position": 1})):
        answer = await inside.call(caller, "PUT", "/internal/progress", wrong)
        assert answer.status_code in (400, 401)
    answer = await inside.call("AUDIT", "PUT", "/internal/progress", {"service": "audit", "position": 2**63})
    assert answer.status_code == 400
    assert await inside.sql("SELECT position FROM progress WHERE service = 'audit'") == 3


async def test_an_open_link_is_given_with_its_token_until_it_is_void(inside: Inside):
    made = await inside.act("POST", "/v1/users", {"email": "lina@new.example", "name": "Lina"})
    user = made["user"]["id"]
    events = await inside.events(f"subject={user}")
    link = json.loads(events[-1]["value"])["link"]
    answer = await inside.call("NOTIFIER", "GET", f"/internal/links/{link}")
    found = answer.json()
    assert is_token(found.pop("token"), "mui")
    assert datetime.fromisoformat(found.pop("expires_at")).tzinfo
    assert found == {
        "kind": "invitation",
        "by_admin": False,
        "user": {"id": user, "email": "lina@new.example", "name": "Lina", "status": "invited"},
        "organization": {
            "id": inside.org.id, "slug": inside.org.slug, "name": inside.org.slug.title(),
            "support_contact": None,
        },
    }  # fmt: skip
    await inside.sql("UPDATE links SET expires_at = now() - interval '1 s' WHERE id = $1", link)
    assert (await inside.call("NOTIFIER", "GET", f"/internal/links/{link}")).status_code == 404
    await inside.sql("UPDATE links SET expires_at = now() + interval '1 h' WHERE id = $1", link)
    await inside.act("POST", f"/v1/users/{user}/deactivate", {})
    for gone in (link, new_id("lnk"), "%00", "x"):
        assert (await inside.call("NOTIFIER", "GET", f"/internal/links/{gone}")).status_code == 404


async def test_a_link_is_not_given_for_someone_who_may_not_have_it(inside: Inside):
    made = await inside.act("POST", "/v1/users", {"email": "lars@new.example", "name": "Lars"})
    link = json.loads((await inside.events(f"subject={made['user']['id']}"))[-1]["value"])["link"]
    await inside.sql("UPDATE links SET kind = 'reset' WHERE id = $1", link)
    assert (await inside.call("NOTIFIER", "GET", f"/internal/links/{link}")).status_code == 404


async def test_a_person_is_shown_to_the_notifier_until_deleted(inside: Inside):
    person = await inside.place.person(inside.org, "paula")
    answer = await inside.call("NOTIFIER", "GET", f"/internal/users/{person.id}")
    assert answer.json() == {
        "id": person.id, "email": person.email, "name": "Paula", "status": "active", "timezone": None,
        "organization": {
            "id": inside.org.id, "slug": inside.org.slug, "name": inside.org.slug.title(),
            "support_contact": None,
        },
    }  # fmt: skip
    await inside.act("DELETE", f"/v1/users/{person.id}", {"confirm": person.email})
    for gone in (person.id, new_id("usr"), "%00"):
        assert (await inside.call("NOTIFIER", "GET", f"/internal/users/{gone}")).status_code == 404


async def test_a_kill_names_the_sessions_that_it_ended_and_none_that_live(inside: Inside):
    person = await inside.place.person(inside.org, "kim")
    await inside.place.session(inside.org, person)
    done = await inside.act("POST", f"/v1/users/{person.id}/deactivate", {})
    kill = done["effects"]["kill"]
    answer = await inside.call("NOTIFIER", "GET", f"/internal/kills/{kill}?user={person.id}")
    found = answer.json()
    assert (found["kill"], found["user"], found["live"]) == (kill, person.id, [])
    assert len(found["sessions"]) == done["effects"]["sessions_ended"] == 2
    path = f"/internal/kills/{kill}?user={new_id('usr')}"
    assert (await inside.call("NOTIFIER", "GET", path)).status_code == 404
    await inside.sql("INSERT INTO session_tokens (hash, session) VALUES ('\\x00', $1)", found["sessions"][0])
    again = await inside.call("NOTIFIER", "GET", f"/internal/kills/{kill}?user={person.id}")
    assert again.json()["live"] == found["sessions"][:1]


async def test_a_kill_that_found_no_session_is_known_all_the_same(inside: Inside):
    made = await inside.act("POST", "/v1/users", {"email": "nora@new.example", "name": "Nora"})
    user = made["user"]["id"]
    kill = (await inside.act("POST", f"/v1/users/{user}/deactivate", {}))["effects"]["kill"]
    answer = await inside.call("NOTIFIER", "GET", f"/internal/kills/{kill}?user={user}")
    assert answer.json() == {"kill": kill, "user": user, "sessions": [], "live": []}
    path = f"/internal/kills/{new_id('kil')}?user={user}"
    assert (await inside.call("NOTIFIER", "GET", path)).status_code == 404
