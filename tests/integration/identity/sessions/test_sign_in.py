"""Signing in with a password, and out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.identity import PASSWORD, Org, Place, running_identity
from tests.support.servers import PostgresServer


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def sign_in(place: Place, org: str, login: str, password: str = PASSWORD, **more: str) -> httpx.Response:
    body = {"organization": org, "login": login, "password": password}
    headers = {f"Muster-Client-{name.title()}": value for name, value in more.items()}
    return await place.call("POST", "/v1/sign-in", json=body, headers=headers)


async def events_of(place: Place, stream: str) -> list[str]:
    rows = await place.identity.pool.fetch("SELECT type FROM events WHERE stream = $1 ORDER BY version", stream)
    return [row["type"] for row in rows]


async def test_the_right_password_opens_a_session_that_is_confirmed(place: Place, org: Org) -> None:
    answer = await sign_in(place, org.slug, org.member.email)
    body = answer.json()
    assert answer.status_code == 200
    assert body.keys() == {"token", "session", "next"}
    assert body["next"] == "done"
    assert body["token"].startswith("mus_")
    assert answer.headers["muster-position"]
    me = await place.call("GET", "/v1/me/sessions", body["token"])
    current = [s for s in me.json()["data"] if s["current"]]
    assert [s["id"] for s in current] == [body["session"]["id"]]
    assert current[0]["expires_at"] == body["session"]["expires_at"]
    assert await events_of(place, body["session"]["id"]) == ["session.started", "ip_rule.granted"]


async def test_after_signing_out_the_token_opens_nothing(place: Place, org: Org) -> None:
    body = (await sign_in(place, org.slug, org.member.email)).json()
    assert (await place.call("POST", "/v1/sign-out", body["token"])).status_code == 204
    for method, path in (("POST", "/v1/sign-out"), ("GET", "/v1/me/sessions")):
        answer = await place.call(method, path, body["token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    types = await events_of(place, body["session"]["id"])
    assert types == ["session.started", "ip_rule.granted", "session.ended", "ip_rule.revoked"]


async def test_sixteen_people_at_one_account_with_the_right_password_all_get_in(place: Place, org: Org) -> None:
    answers = await asyncio.gather(*(sign_in(place, org.slug, org.member.email) for _ in range(16)))
    assert [a.status_code for a in answers] == [200] * 16
    assert len({a.json()["token"] for a in answers}) == 16
