"""API keys over HTTP: made, listed, signed in with, revoked, and gone with their person."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.kit.ids import new_id
from services.kit.tokens import is_token
from tests.support.identity import Org, Person, Place, running_identity
from tests.support.servers import PostgresServer

PATH = "/v1/api-keys"


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def make(place: Place, by: Person, **body: Any) -> Any:
    response = await place.call("POST", PATH, by, {"name": "Export", "permissions": ["roles.read"]} | body)
    assert response.status_code == 201, response.text
    return response.json()


async def test_a_key_is_shown_once_and_signs_in_as_its_maker(place: Place, org: Org) -> None:
    made = await make(place, org.admin)
    assert [(e["type"], e["version"]) for e in made["events"]] == [("api_key.created", 1)]
    assert (made["object"], made["user"], made["effects"]) == ("change", None, {})
    assert is_token(made["token"], "muk")
    listed = (await place.call("GET", PATH, org.owner)).json()
    assert listed["data"] == [made["api_key"]]
    assert made["api_key"] == {
        "id": made["api_key"]["id"], "name": "Export", "permissions": ["roles.read"],
        "created_at": made["api_key"]["created_at"], "expires_at": None, "last_used_at": None,
        "user": {"id": org.admin.id, "name": org.admin.name}, "service": None, "needs_rotation": False,
    }  # fmt: skip
    assert made["token"] not in str(listed)
    assert (await place.call("GET", "/v1/roles", made["token"])).status_code == 200
    missing = await place.call("GET", "/v1/organization", made["token"])
    assert missing.json()["missing_permission"] == "organization.read"
    assert (await place.call("GET", PATH, org.owner)).json()["data"][0]["last_used_at"]


async def test_a_key_names_at_most_a_hundred_permissions(place: Place, org: Org) -> None:
    await make(place, org.admin, permissions=["roles.read"] * 100)
    answer = await place.call("POST", PATH, org.admin, {"name": "Many", "permissions": ["roles.read"] * 101})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/permissions"), answer.text


async def test_a_personal_key_dies_with_its_person_and_is_not_revived(place: Place, org: Org) -> None:
    token = (await make(place, org.admin))["token"]
    users = f"/v1/users/{org.admin.id}"
    done = (await place.call("POST", f"{users}/deactivate", org.owner)).json()
    assert done["effects"]["api_keys_revoked"] == 1
    assert (await place.call("GET", "/v1/roles", token)).status_code == 401
    assert (await place.call("POST", f"{users}/reactivate", org.owner)).status_code == 200
    assert (await place.call("GET", "/v1/roles", token)).status_code == 401
    assert (await place.call("GET", PATH, org.owner)).json()["data"] == []


async def test_the_log_names_the_key_through_which_something_was_done(place: Place, org: Org) -> None:
    made = await make(place, org.owner, permissions=["users.edit"])
    path = f"/v1/users/{org.member.id}"
    for credential in (made["token"], org.owner):
        await place.call("PATCH", path, credential, {"name": f"Renamed {new_id('req')}"})
    rows = await place.identity.pool.fetch(
        "SELECT key_id, actor_id FROM events WHERE stream = $1 AND type = 'user.renamed' ORDER BY version",
        org.member.id,
    )
    assert [tuple(row) for row in rows] == [(made["api_key"]["id"], org.owner.id), (None, org.owner.id)]


async def test_the_key_of_a_service_account_outlives_its_person_and_is_listed_for_rotation(
    place: Place, org: Org
) -> None:
    made = await make(place, org.admin, service={"name": "Nightly export"})
    account = made["api_key"]["service"]
    assert account["name"] == "Nightly export"
    assert account["id"].startswith("svc_")
    second = await make(place, org.owner, service={"id": account["id"]})
    assert second["api_key"]["service"] == account
    deleted = {"confirm": org.admin.email}
    assert (
        await place.call("POST", f"/v1/users/{org.admin.id}/delete", org.owner, deleted)
    ).status_code == 200
    assert (await place.call("GET", "/v1/roles", made["token"])).status_code == 200
    rows = (await place.call("GET", PATH, org.owner)).json()["data"]
    assert [(row["needs_rotation"], row["user"]) for row in rows] == [
        (True, None),
        (False, {"id": org.owner.id, "name": org.owner.name}),
    ]
    revoked = await place.call(
        "DELETE", f"{PATH}/{made['api_key']['id']}", org.owner, {"reason": "nobody answers for it"}
    )
    assert revoked.status_code == 200, revoked.text


async def test_a_revoked_key_is_out_at_once(place: Place, org: Org) -> None:
    made = await make(place, org.owner)
    path = f"{PATH}/{made['api_key']['id']}"
    refused = await place.call("DELETE", path, org.admin)
    assert (refused.status_code, refused.json()["code"]) == (403, "owner_protected")
    done = (await place.call("DELETE", path, org.owner)).json()
    assert [e["type"] for e in done["events"]] == ["api_key.revoked"]
    assert (await place.call("GET", "/v1/roles", made["token"])).status_code == 401
    assert (await place.call("DELETE", path, org.owner)).status_code == 404
    assert (await place.call("DELETE", f"{PATH}/{new_id('key')}", org.owner)).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"permissions": ["roles.manage"]}, "/permissions/0"),
        ({"permissions": ["roles.read", "users.fly"]}, "/permissions/1"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2126-01-01T00:00:00"}, "/expires_at"),
        ({"service": {}}, "/service"),
        ({"service": {"id": "svc_1", "name": "x"}}, "/service"),
        ({"service": {"id": "svc_1"}}, "/service/id"),
        ({"name": ""}, "/name"),
    ],
)
async def test_what_no_key_may_be_is_named(
    place: Place, org: Org, body: dict[str, object], pointer: str
) -> None:
    response = await place.call("POST", PATH, org.owner, {"name": "x", "permissions": []} | body)
    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_a_key_makes_no_keys(place: Place, org: Org) -> None:
    token = (await make(place, org.owner))["token"]
    refused = await place.call("POST", PATH, token, {"name": "x", "permissions": []})
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_missing")


async def test_a_key_ends_when_it_expires(place: Place, org: Org) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    token = (await make(place, org.owner, expires_at=soon))["token"]
    assert (await place.call("GET", "/v1/roles", token)).status_code == 200
    while (await place.call("GET", "/v1/roles", token)).status_code == 200:
        assert datetime.now(UTC) < datetime.fromisoformat(soon) + timedelta(seconds=5)
    assert (await place.call("GET", "/v1/roles", token)).status_code == 401


async def test_a_repeat_with_the_same_idempotency_key_leaves_the_token_out(place: Place, org: Org) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"name": "Export", "permissions": []}
    first = await place.call("POST", PATH, org.owner, body, headers=headers)
    second = await place.call("POST", PATH, org.owner, body, headers=headers)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.status_code == 201
    assert second.json() == {name: value for name, value in first.json().items() if name != "token"}
    assert len((await place.call("GET", PATH, org.owner)).json()["data"]) == 1


async def test_a_dry_run_shows_no_token(place: Place, org: Org) -> None:
    body = {"name": "Export", "permissions": []}
    answer = await place.call("POST", f"{PATH}?dry_run=true", org.owner, body)
    assert answer.status_code == 201
    assert "token" not in answer.json()
    assert (await place.call("GET", PATH, org.owner)).json()["data"] == []


async def test_another_organizations_keys_are_unknown(place: Place, org: Org) -> None:
    other = await place.organization()
    made = await make(place, other.owner, service={"name": "Theirs"})
    assert (await place.call("DELETE", f"{PATH}/{made['api_key']['id']}", org.owner)).status_code == 404
    theirs = {"name": "x", "permissions": [], "service": {"id": made["api_key"]["service"]["id"]}}
    assert (await place.call("POST", PATH, org.owner, theirs)).status_code == 400


async def test_no_key_slips_past_the_deactivation_of_its_maker(place: Place) -> None:
    for _ in range(10):
        org = await place.organization(None, "admin")
        body = {"name": "race", "permissions": ["roles.read"]}
        makings = [place.call("POST", PATH, org.admin, body) for _ in range(4)]
        answers = await asyncio.gather(
            *makings, place.call("POST", f"/v1/users/{org.admin.id}/deactivate", org.owner)
        )
        assert answers.pop().status_code == 200
        assert {answer.status_code for answer in answers} <= {201, 401}
        assert (
            await place.call("POST", f"/v1/users/{org.admin.id}/reactivate", org.owner)
        ).status_code == 200
        for answer in answers:
            if answer.status_code == 201:
                token = answer.json()["token"]
                assert (await place.call("GET", "/v1/roles", token)).status_code == 401
        assert (await place.call("GET", PATH, org.owner)).json()["data"] == []
