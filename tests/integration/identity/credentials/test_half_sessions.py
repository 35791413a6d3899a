"""T37, T39: half a session opens its next step and nothing else, on every route that there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.identity.access import access_guard
from services.identity.sessions import account as accounts
from services.identity.sessions import start
from services.identity.sessions.start import OTP, Ticket
from services.identity.store import Conflict, Unit
from services.identity.vault import DropHalfSessions
from services.kit.ids import new_id
from tests.support.identity import Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import enroll, signed_in

PUBLIC = {
    ("POST", "/v1/sign-in"), ("POST", "/v1/password-resets"), ("POST", "/v1/password-resets/complete"),
    ("POST", "/v1/invitations/accept"),
}  # fmt: skip
STEPS = {
    "second_factor_required": {("POST", "/v1/sign-in/otp")},
    "enrollment_required": {("POST", "/v1/me/factors"), ("POST", "/v1/me/factors/{factor}/activate")},
}


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


async def routes(place: Place) -> list[tuple[str, str]]:
    document = (await place.http.get("/internal/openapi.json")).json()
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if (method.upper(), path) not in PUBLIC
    ]


@pytest.mark.parametrize("code", list(STEPS))
async def test_half_a_session_is_refused_on_every_other_route(place: Place, code: str) -> None:
    org = await place.organization()
    if code == "second_factor_required":
        await enroll(place, org.owner.token)
    else:
        query = "UPDATE organizations SET mfa_enforced = true WHERE id = $1"
        await place.identity.pool.execute(query, org.id)
    half = (await signed_in(place, org, org.owner))["token"]
    found = await routes(place)
    assert len(found) > 30
    for method, path in found:
        if (method, path) in STEPS[code]:
            continue
        url = path.replace("{user}", org.member.id)
        for name in ("session", "factor", "role", "key"):
            url = url.replace(f"{{{name}}}", new_id(name[:3]))
        answer = await place.call(method, url, half, None if method == "GET" else {})
        assert (answer.status_code, answer.json()["code"]) == (401, code), (method, path)


async def test_nothing_is_open_without_a_credential(place: Place) -> None:
    for method, path in await routes(place):
        answer = await place.call(method, path, None, None if method == "GET" else {})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path)


async def test_half_a_session_does_not_survive_what_is_committed_with_it_and_takes_half_sessions_away(
    place: Place,
) -> None:
    org = await place.organization()
    await enroll(place, org.owner.token)
    async with place.identity.pool.acquire() as connection:
        account = await accounts.read(connection, org.owner.id)
    assert account
    guard = access_guard(org.owner.id)
    half = start.half(account, Ticket(), OTP)
    begins = Unit(org.id, reads=half.reads, touches=half.touches, writes=half.writes)
    takes_away = Unit(
        org.id, reads={guard: account.heads[guard]}, touches=frozenset({guard}),
        writes=(DropHalfSessions(org.owner.id),),
    )  # fmt: skip
    store = place.identity.store
    outcomes = await asyncio.gather(store.commit(begins), store.commit(takes_away), return_exceptions=True)
    assert [isinstance(outcome, Conflict) for outcome in outcomes] == [False, True]
