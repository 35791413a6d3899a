"""Whatever is sent, the answer is a refusal and never a 5xx: texts that no database takes, ids that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.kit.ids import new_id
from tests.support.identity import Org, Place, running_identity
from tests.support.servers import PostgresServer

NO_IDS = ("%00", "x", "%C3%28", "a" * 3000, "usr_" + "0" * 26, "%F0%9F%98%80", new_id("usr"))
PATHS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("PATCH", "/v1/users/{}", {"name": "x"}),
    ("POST", "/v1/users/{}/deactivate", {}),
    ("POST", "/v1/users/{}/reactivate", {}),
    ("POST", "/v1/users/{}/delete", {"confirm": "x"}),
    ("POST", "/v1/users/{}/resend-invitation", {}),
    ("POST", "/v1/users/{}/reset-mfa", {}),
    ("POST", "/v1/users/{}/reset-password", {}),
    ("DELETE", "/v1/users/{}/sessions", {}),
    ("GET", "/v1/roles/{}", {}),
    ("DELETE", "/v1/api-keys/{}", {}),
    ("DELETE", "/v1/me/sessions/{}", {}),
)
TEXTS = ("\0", "a\0b", "\x1b[31m", "x" * 70_000, "")
BODIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("PATCH", "/v1/users/{member}", ("role",)),
    ("PATCH", "/v1/users/{member}", ("name",)),
    ("PATCH", "/v1/users/{member}", ("username",)),
    ("PATCH", "/v1/users/{member}", ("timezone",)),
    ("POST", "/v1/users/{member}/delete", ("confirm",)),
    ("POST", "/v1/users", ("email", "name")),
    ("POST", "/v1/sign-in", ("organization", "login", "password")),
    ("POST", "/v1/password-resets/complete", ("token", "password")),
    ("POST", "/v1/invitations/accept", ("token", "password")),
    ("POST", "/v1/me/password", ("current_password", "password")),
    ("PATCH", "/v1/organization", ("name",)),
)


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[tuple[Place, Org]]:
    async with running_identity(postgres_server) as place:
        yield place, await place.organization()


@pytest.mark.parametrize(("method", "path", "body"), PATHS)
async def test_what_is_no_id_of_ours_does_not_exist(
    place: tuple[Place, Org], method: str, path: str, body: dict[str, Any]
):
    asked, org = place
    for id_ in NO_IDS:
        answer = await asked.call(method, path.format(id_), org.owner, body if method != "GET" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (id_[:20], answer.text)


@pytest.mark.parametrize(("method", "path", "fields"), BODIES)
async def test_texts_that_cannot_be_kept_are_refused(
    place: tuple[Place, Org], method: str, path: str, fields: tuple[str, ...]
):
    asked, org = place
    for text in TEXTS:
        body = dict.fromkeys(fields, text)
        answer = await asked.call(method, path.format(member=org.member.id), org.owner, body)
        assert 400 <= answer.status_code < 500, (text[:10], answer.text)


async def test_a_nul_in_any_field_of_a_body_or_query_is_a_400(place: tuple[Place, Org]):
    asked, org = place
    path = f"/v1/users/{org.member.id}"
    for body in ({"reason": "a\0"}, {"labels": ["a", "b\0"]}, {"name": "x", "role": "\0"}):
        answer = await asked.call("PATCH", path, org.owner, body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    kept = await asked.call("PATCH", path, org.owner, {"name": "Back\\u0000slash"})
    assert kept.json()["user"]["name"] == "Back\\u0000slash"
    answer = await asked.call("POST", f"{path}/deactivate", org.owner, {}, params={"dry_run": "\0"})
    assert answer.status_code == 400


async def test_a_version_that_no_stream_can_have_is_just_another_one(place: tuple[Place, Org]):
    asked, org = place
    for version in ("9" * 5000, "99999999999999999999999", "2147483647", "0"):
        answer = await asked.call(
            "PATCH",
            f"/v1/users/{org.member.id}",
            org.owner,
            {"name": "x"},
            headers={"If-Match": f'"{version}"'},
        )
        assert answer.status_code == 412, answer.text
    assert answer.json()["changes"]


async def test_a_weak_tag_is_no_version_to_write_by(place: tuple[Place, Org]):
    asked, org = place
    path = f"/v1/users/{org.member.id}"
    version = (await asked.call("GET", path, org.owner)).json()["version"]
    weak = {"headers": {"If-Match": f'W/"{version}"'}}
    answer = await asked.call("PATCH", path, org.owner, {"name": "Weak"}, **weak)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), answer.text
    assert "W/" in answer.json()["detail"]
    assert (await asked.call("GET", path, org.owner)).json()["version"] == version


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "2030", "2e9", 5])
async def test_a_time_that_no_database_takes_is_a_400(place: tuple[Place, Org], time: Any):
    asked, org = place
    body = {"name": "Key", "permissions": ["users.read"], "expires_at": time}
    answer = await asked.call("POST", "/v1/api-keys", org.owner, body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/expires_at"), answer.text
    answer = await asked.call("GET", "/v1/users", org.owner, params={"created_since": time})
    assert answer.status_code == 400, answer.text


async def test_a_key_may_last_as_long_as_there_are_years(place: tuple[Place, Org]):
    asked, org = place
    body = {"name": "Key", "permissions": [], "expires_at": "9999-12-31T23:59:59Z"}
    made = await asked.call("POST", "/v1/api-keys", org.owner, body)
    assert made.status_code == 201, made.text
    listed = await asked.call("GET", "/v1/api-keys", org.owner)
    assert listed.json()["data"][0]["expires_at"] == "9999-12-31T23:59:59.000000Z"


@pytest.mark.parametrize("spelling", ["true", "True", "1", "yes"])
async def test_a_dry_run_ignores_the_idempotency_key_however_it_is_asked_for(
    place: tuple[Place, Org], spelling: str
):
    asked, org = place
    path, headers = f"/v1/users/{org.owner.id}/deactivate", {"Idempotency-Key": f"dry {spelling}"}
    for _ in range(2):
        tried = await asked.call("POST", path, org.admin, {}, params={"dry_run": spelling}, headers=headers)
        assert tried.json()["code"] == "owner_protected"
        assert "idempotency-replayed" not in tried.headers
    done = await asked.call("POST", path, org.admin, {}, headers=headers)
    assert "idempotency-replayed" not in done.headers


async def test_many_refusals_at_once_do_not_wait_for_each_other(place: tuple[Place, Org]):
    """Each is recorded before it is answered, with a connection of its own: none holds one while it waits."""
    asked, org = place
    calls = (asked.call("POST", f"/v1/users/{org.owner.id}/deactivate", org.admin, {}) for _ in range(60))
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*calls)
    assert {answer.json()["code"] for answer in answers} == {"owner_protected"}
