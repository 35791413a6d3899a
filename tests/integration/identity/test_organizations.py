"""Organizations over HTTP, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import ValidationError

from services.identity.organizations.creation import NewOrganization, create, operator
from services.identity.organizations.decider import SlugTaken
from tests.support.identity import Place, running_identity
from tests.support.servers import PostgresServer

PATH = "/v1/organization"


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


def asked(slug: str) -> NewOrganization:
    return NewOrganization(slug=slug, name="Two", owner_email="a@two.example", owner_name="Ann")


async def test_a_slug_is_given_once_and_leaves_nothing_behind_when_it_is_taken(place: Place) -> None:
    await create(place.identity.runner, asked("two"), operator("root"))
    async with place.identity.pool.acquire() as connection:
        before = await connection.fetchval("SELECT count(*) FROM heads")
        with pytest.raises(SlugTaken):
            await create(place.identity.runner, asked("two"), operator("root"))
        assert await connection.fetchval("SELECT count(*) FROM heads") == before
        types = await connection.fetch(
            "SELECT e.type, e.actor_type FROM events e JOIN organizations o ON o.id = e.org "
            "WHERE o.slug = 'two' ORDER BY position"
        )
    assert [tuple(row) for row in types] == [
        (type_, "operator")
        for type_ in (
            "organization.created", "role.created", "role.created", "role.created", "user.created",
            "invitation.sent",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("slug", ["a", "A-corp", "acme.com", "x" * 41, "acme\n", ""])
def test_a_slug_is_of_small_letters_digits_and_hyphens(slug: str) -> None:
    with pytest.raises(ValidationError):
        asked(slug)


async def test_reading_shows_the_settings_in_force(place: Place) -> None:
    org = await place.organization("reading")
    response = await place.call("GET", PATH, org.admin)
    assert response.status_code == 200
    assert response.headers["etag"] == '"1"'
    assert response.json() == {
        "id": org.id, "slug": "reading", "name": "Reading", "support_contact": None, "mfa_enforced": False,
        "password_min_length": 15, "session_idle_seconds": 43200, "session_absolute_seconds": 2592000,
        "session_address": "record", "sign_in_networks": [], "audit_retention_days": 365,
        "audit_identity_days": 90, "version": 1,
    }  # fmt: skip
    assert (await place.call("GET", PATH, org.member)).json()["code"] == "permission_missing"


async def test_a_change_answers_with_the_organization_as_it_is_then(place: Place) -> None:
    org = await place.organization()
    body = {"name": "Renamed", "support_contact": "help@renamed.example", "reason": "new owner"}
    answer = (await place.call("PATCH", PATH, org.admin, body)).json()
    assert [(e["type"], e["version"]) for e in answer["events"]] == [("organization.settings_changed", 2)]
    assert (answer["object"], answer["user"], answer["effects"]) == ("change", None, {})
    assert answer["organization"]["name"] == "Renamed"
    assert (await place.call("GET", PATH, org.admin)).json() == answer["organization"]
    again = (await place.call("PATCH", PATH, org.admin, body)).json()
    assert again["events"] == []
    cleared = (await place.call("PATCH", PATH, org.admin, {"support_contact": None})).json()
    assert cleared["organization"]["support_contact"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"password_min_length": 20}, "/password_min_length"),
        ({"name": None}, "/name"),
        ({"name": " "}, "/name"),
        ({"mfa_enforced": "yes"}, "/mfa_enforced"),
        ({"support_contact": "a\nb"}, "/support_contact"),
    ],
)
async def test_what_cannot_be_set_is_named(place: Place, body: dict[str, object], pointer: str) -> None:
    org = await place.organization()
    response = await place.call("PATCH", PATH, org.owner, body)
    assert response.status_code == 400
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_a_stale_version_says_what_changed(place: Place) -> None:
    org = await place.organization()
    await place.call("PATCH", PATH, org.owner, {"name": "Second"})
    response = await place.call("PATCH", PATH, org.admin, {"name": "Third"}, headers={"If-Match": '"1"'})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["current_version"]) == (412, "version_conflict", 2)
    change = problem["changes"][0]
    assert change["type"] == "organization.settings_changed"
    assert change["by"] == {"id": org.owner.id, "name": org.owner.name}
    assert change["fields"]["name"]["new"] == "Second"


async def test_a_dry_run_changes_nothing(place: Place) -> None:
    org = await place.organization()
    answer = (await place.call("PATCH", f"{PATH}?dry_run=true", org.owner, {"name": "Dry"})).json()
    assert (answer["position"], answer["events"][0]["id"]) == (None, None)
    assert answer["organization"]["name"] == "Dry"
    assert (await place.call("GET", PATH, org.owner)).json()["name"] != "Dry"


async def test_enforcing_a_second_factor_is_for_owners_who_have_one(place: Place) -> None:
    org = await place.organization()
    refused = await place.call("PATCH", PATH, org.admin, {"mfa_enforced": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "owner_protected")
    assert refused.json()["who_can"] == [{"id": org.owner.id, "name": org.owner.name}]
    refused = await place.call("PATCH", PATH, org.owner, {"mfa_enforced": True})
    assert (refused.status_code, refused.json()["code"]) == (409, "would_lock_you_out")


async def test_who_has_no_factor_may_only_enroll_from_the_next_request_on(place: Place) -> None:
    org = await place.organization()
    await place.enroll(org, org.owner)
    org.owner.token = await place.session(org, org.owner, with_="factor")
    done = await place.call("PATCH", PATH, org.owner, {"mfa_enforced": True})
    assert done.json()["organization"]["password_min_length"] == 8
    assert (await place.call("GET", PATH, org.owner)).status_code == 200
    for path in (PATH, "/v1/roles"):
        stopped = await place.call("GET", path, org.admin)
        assert (stopped.status_code, stopped.json()["code"]) == (401, "enrollment_required")
    await place.enroll(org, org.admin)
    assert (await place.call("GET", PATH, org.admin)).status_code == 200
