"""What other services may ask about a token (RFC 7662)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest

from services.kit.ids import new_id
from services.kit.tokens import make_token
from tests.support.identity import ADDRESS, Org, Person, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import enroll, signed_in


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def introspect(place: Place, by: Person | str, **form: str) -> httpx.Response:
    token = by if isinstance(by, str) else by.token
    headers = {
        "Authorization": f"Bearer {token}",
        "Muster-Request-Id": new_id("req"),
        "Muster-Client-Address": ADDRESS,
    }
    return await place.http.post("/v1/introspect", data=form, headers=headers)


async def test_a_live_session_is_told_with_its_person_and_what_they_may(place: Place, org: Org) -> None:
    body = await signed_in(place, org, org.admin)
    answer = await introspect(place, org.owner, token=body["token"], token_type_hint="access_token")
    told = answer.json()
    assert answer.status_code == 200
    assert told.keys() == {
        "active", "sub", "org", "role", "permissions", "exp", "session_id", "auth_time", "amr", "position",
    }  # fmt: skip
    assert (told["active"], told["sub"], told["org"], told["role"]) == (True, org.admin.id, org.id, "admin")
    assert told["exp"] == int(datetime.fromisoformat(body["session"]["expires_at"]).timestamp())
    assert (told["session_id"], told["amr"]) == (body["session"]["id"], ["pwd"])
    assert "content.manage" in told["permissions"]


async def test_everything_else_is_exactly_inactive(place: Place, org: Org) -> None:
    other = await place.organization()
    ended = await signed_in(place, org, org.member)
    await place.call("POST", "/v1/sign-out", ended["token"])
    await enroll(place, org.member.token)
    half = await signed_in(place, org, org.member)
    gone = await place.person(org, "gone")
    await place.call("POST", f"/v1/users/{gone.id}/deactivate", org.admin)
    for token in ("x", make_token("mus"), ended["token"], half["token"], gone.token, other.admin.token, "\0"):
        answer = await introspect(place, org.owner, token=token)
        assert (answer.status_code, answer.json()) == (200, {"active": False})


async def test_asking_does_not_extend_a_session(place: Place, org: Org) -> None:
    body = await signed_in(place, org, org.member)
    query = "UPDATE session_use SET last_seen_at = now() - interval '11 h' WHERE session = $1 RETURNING last_seen_at"
    seen = await place.identity.pool.fetchval(query, body["session"]["id"])
    assert (await introspect(place, org.owner, token=body["token"])).json()["active"] is True
    query = "SELECT last_seen_at FROM session_use WHERE session = $1"
    assert await place.identity.pool.fetchval(query, body["session"]["id"]) == seen


async def test_an_api_key_may_ask_and_may_be_asked_about(place: Place, org: Org) -> None:
    body = {"name": "Proxy", "permissions": ["tokens.introspect"], "service": {"name": "Edge"}}
    key = (await place.call("POST", "/v1/api-keys", org.owner, body)).json()["token"]
    told = (await introspect(place, key, token=org.member.token)).json()
    assert (told["active"], told["role"]) == (True, "member")
    told = (await introspect(place, org.owner, token=key)).json()
    assert told.keys() == {"active", "sub", "org", "permissions", "position"}
    assert told["permissions"] == ["tokens.introspect"]
    me = (await place.call("GET", "/v1/me", key)).json()
    assert me.keys() == {"service", "organization", "permissions"}
    assert me["service"]["name"] == "Edge"
    for method, path in (
        ("PATCH", "/v1/me"), ("POST", "/v1/sign-out"), ("GET", "/v1/me/sessions"), ("POST", "/v1/me/confirm"),
        ("POST", "/v1/me/factors"), ("POST", "/v1/me/password"), ("POST", "/v1/me/recovery-codes"),
        ("DELETE", "/v1/me/factors/fac_x"), ("DELETE", "/v1/me/sessions/ses_x"),
        ("POST", "/v1/me/factors/fac_x/activate"),
    ):  # fmt: skip
        refused = await place.call(method, path, key)
        assert (refused.status_code, refused.json()["code"]) == (403, "person_required"), path


async def test_asking_needs_the_permission_and_a_form(place: Place, org: Org) -> None:
    refused = await introspect(place, org.member, token=org.member.token)
    assert (refused.status_code, refused.json()["missing_permission"]) == (403, "tokens.introspect")
    refused = await place.call("POST", "/v1/introspect", org.owner, {"token": org.owner.token})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    for form in ({}, {"token": ""}, {"token": "x", "colour": "red"}):
        assert (await introspect(place, org.owner, **form)).status_code == 400
    refused = await place.call("POST", "/v1/introspect", None, {"token": "x"})
    assert refused.status_code == 401
