"""How a refused attempt is named in the log, from which audit tells it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.identity import Org, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import link_of


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[tuple[Place, Org]]:
    async with running_identity(postgres_server) as place:
        yield place, await place.organization()


async def last_attempt(place: Place) -> tuple[str, str, str | None]:
    row = await place.identity.pool.fetchrow(
        "SELECT open FROM events WHERE type = 'attempt.refused' ORDER BY position DESC LIMIT 1"
    )
    assert row is not None
    return row["open"]["act"], row["open"]["code"], row["open"]["target"]


@pytest.mark.parametrize(
    ("body", "act"),
    [
        ({"name": "X"}, "user.edit"),
        ({"role": "member"}, "user.assign_role"),
        ({"name": "X", "role": "member", "active": False}, "user.assign_role"),
        ({"active": False, "reason": "left"}, "user.deactivate"),
        ({"active": True}, "user.reactivate"),
        ({"active": False, "name": "X"}, "user.edit"),
        ({}, "user.edit"),
        ([], "user.edit"),
    ],
)
async def test_a_refused_patch_is_named_by_what_it_would_have_done(
    place: tuple[Place, Org], body: Any, act: str
):
    asked, org = place
    answer = await asked.call("PATCH", f"/v1/users/{org.owner.id}", org.member, body)
    assert answer.json()["code"] == "permission_missing"
    assert await last_attempt(asked) == (act, "permission_missing", org.owner.id)


async def test_a_refused_patch_that_is_no_json_is_an_attempt_to_edit(place: tuple[Place, Org]):
    asked, org = place
    for content in (b"{", b"[" * 100_000, b"\xff", b"9" * 5_000):
        answer = await asked.call("PATCH", f"/v1/users/{org.owner.id}", org.member, content=content)
        assert answer.status_code == 403, answer.text
    assert (await last_attempt(asked))[0] == "user.edit"


async def test_a_password_refused_at_a_link_is_recorded_and_leaves_the_link_open(place: tuple[Place, Org]):
    asked, org = place
    ask = {"organization": org.slug, "email": org.member.email}
    assert (await asked.call("POST", "/v1/password-resets", json=ask)).status_code == 202
    token = await link_of(asked, org.member)
    for password, code in (("short", "password_too_short"), ("passwordpassword", "password_too_common")):
        body = {"token": token, "password": password}
        answer = await asked.call("POST", "/v1/password-resets/complete", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert answer.headers["Muster-Position"]
        assert await last_attempt(asked) == ("password.reset", code, org.member.id)
