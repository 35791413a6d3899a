"""The three built-in roles over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.identity.permissions import ALL
from services.kit.ids import new_id
from tests.support.identity import Place, running_identity
from tests.support.servers import PostgresServer


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


async def test_roles_are_listed_with_what_they_give_and_to_how_many(place: Place) -> None:
    org = await place.organization(None, "owner2", "admin", "member", "member2")
    answer = (await place.call("GET", "/v1/roles", org.admin)).json()
    assert [(r["builtin"], r["name"], r["users"]) for r in answer["data"]] == [
        ("owner", "Owner", 2),
        ("admin", "Admin", 1),
        ("member", "Member", 2),
    ]
    assert answer["count"] == {"value": 3, "exact": True}
    assert (answer["next_cursor"], answer["previous_cursor"]) == (None, None)
    assert set(answer["data"][0]["permissions"]) == ALL
    assert answer["data"][2]["permissions"] == []


async def test_pages_of_roles_lead_on_and_back(place: Place) -> None:
    org = await place.organization()
    first = (await place.call("GET", "/v1/roles?limit=2", org.owner)).json()
    second = (await place.call("GET", f"/v1/roles?limit=2&cursor={first['next_cursor']}", org.owner)).json()
    back = (
        await place.call("GET", f"/v1/roles?limit=2&cursor={second['previous_cursor']}", org.owner)
    ).json()
    assert [r["name"] for r in first["data"] + second["data"]] == ["Owner", "Admin", "Member"]
    assert (second["next_cursor"], back["data"]) == (None, first["data"])
    refused = await place.call("GET", f"/v1/api-keys?cursor={first['next_cursor']}", org.owner)
    assert refused.json()["code"] == "cursor_mismatch"


async def test_a_role_is_named_by_id_and_a_built_in_one_also_by_its_name(place: Place) -> None:
    org, other = await place.organization(), await place.organization()
    by_name = (await place.call("GET", "/v1/roles/admin", org.admin)).json()
    assert (await place.call("GET", f"/v1/roles/{by_name['id']}", org.admin)).json() == by_name
    missing = [
        await place.call("GET", f"/v1/roles/{role}", org.admin)
        for role in (new_id("rol"), (await place.call("GET", "/v1/roles/admin", other.owner)).json()["id"])
    ]
    assert [r.status_code for r in missing] == [404, 404]
    assert len({r.json()["detail"] for r in missing}) == 1


async def test_members_see_no_roles(place: Place) -> None:
    org = await place.organization()
    refused = (await place.call("GET", "/v1/roles", org.member)).json()
    assert (refused["code"], refused["missing_permission"]) == ("permission_missing", "roles.read")


async def test_a_misspelt_parameter_is_named(place: Place) -> None:
    org = await place.organization()
    refused = await place.call("GET", "/v1/roles?limits=3", org.owner)
    assert (refused.status_code, refused.json()["code"]) == (400, "unknown_parameter")
    assert "'limit'" in refused.json()["detail"]
