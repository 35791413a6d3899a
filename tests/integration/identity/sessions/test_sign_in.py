"""Signing in with a password, being refused, and signing out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.identity import ADDRESS, PASSWORD, Org, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import events_of, sign_in, signed_in, unit_of_last

WRONG = "this is not the password"


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def test_the_right_password_opens_a_session_that_is_confirmed(place: Place, org: Org) -> None:
    answer = await sign_in(place, org.slug, org.member.email)
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {"token", "session", "next"}
    assert body["next"] == "done"
    assert body["token"].startswith("mus_")
    assert answer.headers["muster-position"]
    me = (await place.call("GET", "/v1/me", body["token"])).json()
    assert me["session"].keys() == {"id", "expires_at", "confirmed_until"}
    assert me["session"]["confirmed_until"]
    assert me["session"]["id"] == body["session"]["id"]
    assert me["session"]["expires_at"] == body["session"]["expires_at"]
    assert me["last_sign_in_at"]
    assert await events_of(place, body["session"]["id"]) == ["session.started", "ip_rule.granted"]


async def test_sign_in_takes_e_mail_and_username_in_any_case(place: Place, org: Org) -> None:
    await place.call("PATCH", f"/v1/users/{org.member.id}", org.admin, {"username": "Straße"})
    for login in (
        org.member.email.upper(),
        f" {org.member.email} ",
        "STRASSE",
        "straße",
        "\N{FULLWIDTH LATIN SMALL LETTER S}trasse",
    ):
        assert (await sign_in(place, org.slug, login)).status_code == 200


async def test_after_signing_out_the_token_opens_nothing(place: Place, org: Org) -> None:
    body = await signed_in(place, org, org.member)
    assert (await place.call("POST", "/v1/sign-out", body["token"])).status_code == 204
    for method, path in (("POST", "/v1/sign-out"), ("GET", "/v1/me/sessions")):
        answer = await place.call(method, path, body["token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    types = await events_of(place, body["session"]["id"])
    assert types == ["session.started", "ip_rule.granted", "session.ended", "ip_rule.revoked"]
    unit = await unit_of_last(place, "session.ended")
    assert (unit[0][1]["cause"], unit[0][1]["kill"][:4]) == ("signed_out", "kil_")


async def test_sixteen_at_one_account_with_the_right_password_all_get_in(place: Place, org: Org) -> None:
    answers = await asyncio.gather(*(sign_in(place, org.slug, org.member.email) for _ in range(16)))
    assert [a.status_code for a in answers] == [200] * 16
    assert len({a.json()["token"] for a in answers}) == 16


async def test_every_refusal_has_the_same_status_body_and_headers(place: Place, org: Org) -> None:
    invited = await place.person(org, "invited", active=False)
    gone = await place.person(org, "gone")
    await place.call("POST", f"/v1/users/{gone.id}/deactivate", org.admin)
    answers = [
        await sign_in(place, org.slug, org.member.email, WRONG, "198.51.100.1"),
        await sign_in(place, org.slug, "nobody@acme.example", PASSWORD, "198.51.100.2"),
        await sign_in(place, "no-such-organization", org.member.email, PASSWORD, "198.51.100.3"),
        await sign_in(place, org.slug, invited.email, PASSWORD, "198.51.100.4"),
        await sign_in(place, org.slug, gone.email, PASSWORD, "198.51.100.5"),
    ]
    for _ in range(6):
        answers.append(await sign_in(place, org.slug, org.admin.email, WRONG, "198.51.100.7"))  # noqa: PERF401
    answers.append(await sign_in(place, org.slug, org.admin.email, PASSWORD, "198.51.100.7"))
    bodies = [{**a.json(), "request_id": ""} for a in answers]
    assert bodies == [bodies[0]] * len(bodies)
    assert (bodies[0]["status"], bodies[0]["code"]) == (401, "sign_in_refused")
    headers = [{n: len(v) for n, v in a.headers.items() if n != "date"} for a in answers]
    assert headers == [headers[0]] * len(headers)


async def test_a_refusal_is_recorded_with_its_person_or_a_keyed_hash_of_the_login(
    place: Place, org: Org
) -> None:
    pool = place.identity.pool
    for login in (org.member.email, "nobody@acme.example", "NOBODY@acme.example"):
        await sign_in(place, org.slug, login, WRONG)
    await sign_in(place, "no-such-organization", "nobody@acme.example")
    rows = await pool.fetch(
        "SELECT org, actor_type, open FROM events WHERE type = 'attempt.refused' ORDER BY position DESC LIMIT 4"
    )
    unknown, again, nobody, member = rows
    assert (member["open"]["target"], member["open"]["login_hash"]) == (org.member.id, None)
    assert (member["open"]["act"], member["open"]["code"]) == ("session.start", "sign_in_refused")
    assert nobody["open"]["target"] is None
    assert nobody["open"]["login_hash"] == again["open"]["login_hash"] != unknown["open"]["login_hash"]
    assert [row["org"] for row in rows] == ["org_0", org.id, org.id, org.id]
    assert {row["actor_type"] for row in rows} == {"anonymous"}
    kept = str([dict(row) for row in await pool.fetch("SELECT * FROM events")])
    assert "nobody" not in kept.lower()


async def test_who_is_signed_in_somewhere_sees_and_ends_own_sessions_only(place: Place, org: Org) -> None:
    body = await signed_in(place, org, org.member)
    listed = (await place.call("GET", "/v1/me/sessions", body["token"])).json()
    assert listed.keys() == {"data", "next_cursor", "previous_cursor", "count"}
    fields = {"id", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "amr", "current"}
    assert all(session.keys() == fields for session in listed["data"])
    assert [s["current"] for s in listed["data"] if s["id"] == body["session"]["id"]] == [True]
    assert listed["data"][0]["ip"] == ADDRESS
    for session in ("ses_00000000000000000000000000", body["session"]["id"], "%00"):
        refused = await place.call("DELETE", f"/v1/me/sessions/{session}", org.admin)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    for session in listed["data"]:
        ended = await place.call("DELETE", f"/v1/me/sessions/{session['id']}", body["token"])
        assert ended.status_code in (204, 401)
    assert (await place.call("GET", "/v1/me", body["token"])).status_code == 401


async def test_the_hundred_and_first_session_ends_the_oldest_in_the_same_unit(place: Place, org: Org) -> None:
    for _ in range(99):
        await place.session(org, org.member)
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 200
    await signed_in(place, org, org.member)
    unit = await unit_of_last(place, "session.started")
    assert [type_ for type_, _ in unit] == [
        "session.ended", "ip_rule.revoked", "session.started", "ip_rule.granted",
    ]  # fmt: skip
    assert (unit[0][1]["cause"], unit[0][1]["kill"][:4]) == ("replaced", "kil_")
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 401


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("203.0.113.9", "203.0.113.9/32"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9/32"),
    ],
)
async def test_a_session_grants_a_rule_for_its_network(place: Place, org: Org, ip: str, network: str) -> None:
    await sign_in(place, org.slug, org.member.email, ip=ip)
    rules = (await place.call("GET", "/v1/ip-rules", org.admin)).json()
    assert rules["data"][-1].keys() == {"id", "user", "session", "network", "expires_at"}
    assert (rules["data"][-1]["user"], rules["data"][-1]["network"]) == (org.member.id, network)
    refused = await place.call("GET", "/v1/ip-rules", org.member)
    assert (refused.status_code, refused.json()["missing_permission"]) == (403, "ip_rules.read")


async def test_no_sign_in_slips_past_a_deactivation(place: Place, org: Org) -> None:
    for _ in range(5):
        person = await place.person(org, f"p{_}")
        deactivation = place.call("POST", f"/v1/users/{person.id}/deactivate", org.admin)
        racing = [sign_in(place, org.slug, person.email) for _ in range(8)]
        answers = await asyncio.gather(*racing[:4], deactivation, *racing[4:])
        live = await place.identity.pool.fetchval(
            'SELECT count(*) FROM sessions WHERE "user" = $1', person.id
        )
        assert live == 0
        for answer in answers:
            if "token" in answer.json():
                me = await place.call("GET", "/v1/me", answer.json()["token"])
                assert me.status_code == 401


async def test_a_body_that_is_no_sign_in_is_refused_as_such(place: Place, org: Org) -> None:
    nul = {"organization": org.slug, "login": "\0", "password": "x"}
    for body in ({}, {"organization": org.slug, "login": [], "password": ""}, {"organization": 1}, nul):
        refused = await place.call("POST", "/v1/sign-in", json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    half = await place.call("POST", "/v1/sign-in/otp", json={"code": "123456"})
    assert (half.status_code, half.json()["code"]) == (401, "unauthenticated")
    whole = await place.call("POST", "/v1/sign-in/otp", org.member, {"code": "123456"})
    assert whole.status_code == 401
    content = b'{"organization": "x", "login": "\\ud800", "password": "\\ud800"}'
    refused = await place.http.post("/v1/sign-in", content=content)
    assert refused.status_code == 400


async def test_own_name_phone_and_time_zone_may_be_edited_and_nothing_else(place: Place, org: Org) -> None:
    patch = {"name": "Mia Member", "phone": "+14155550123", "timezone": "Europe/Berlin"}
    answer = await place.call("PATCH", "/v1/me", org.member, patch)
    body = answer.json()
    assert answer.status_code == 200
    assert {name: body[name] for name in patch} == patch
    assert body == (await place.call("GET", "/v1/me", org.member)).json()
    assert body["permissions"] == []
    assert body["organization"] == {
        "id": org.id, "slug": org.slug, "name": org.slug.title(), "mfa_enforced": False,
    }  # fmt: skip
    for field in ("role", "email", "username", "status", "version", "labels", "active"):
        refused = await place.call("PATCH", "/v1/me", org.member, {field: "x"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert (await place.call("PATCH", "/v1/me", org.owner, {"name": "Olga O."})).status_code == 200


async def test_positions_of_refusals_do_not_tell_whether_there_is_such_an_organization(
    place: Place, org: Org
) -> None:
    """Where nothing is recorded any more two positions are the same one; their texts still differ."""
    for slug in (org.slug, "no-such-organization"):
        refused = [await sign_in(place, slug, "nobody@example.com", WRONG) for _ in range(14)]
        asked = [
            await place.call(
                "POST", "/v1/password-resets", None, {"organization": slug, "email": "nobody@example.com"}
            )
            for _ in range(3)
        ]
        texts = [answer.headers["muster-position"] for answer in (*refused, *asked)]
        assert len(set(texts)) == len(texts)
