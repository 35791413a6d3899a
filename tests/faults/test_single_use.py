"""Fifty at once want what there is one of: a link, a code, a key. Exactly one gets it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.faults.driver import Asker
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.history import Attempt
from tests.faults.report import SEED, Report, either
from tests.support.identity import Org
from tests.support.signing_in import App, link_of

PARALLEL = 50
ROUNDS = int(either(20, 1))
NAMES = ("identity-1", "identity-2")
NEW_PASSWORD = "a new and quite long pass phrase"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers, names=NAMES) as ground:
        yield ground


@pytest.fixture
def ask(ground: Ground) -> Asker:
    return Asker(ground, ground.history(SEED), random.Random(SEED))


async def _fifty(ask: Asker, method: str, path: str, token: str | None, body: Any) -> list[Attempt]:
    return await asyncio.gather(*(ask.send(method, path, token, body) for _ in range(PARALLEL)))


def _only_one(attempts: list[Attempt], report: Report, name: str) -> Attempt:
    counts = Counter(attempt.status for attempt in attempts)
    report.say(f"{PARALLEL} uses of one {name}", ", ".join(f"{n} of {s}" for s, n in counts.most_common()))
    done = [attempt for attempt in attempts if attempt.done]
    assert len(done) == 1, counts
    assert all(
        attempt.status is not None and attempt.status < 500 for attempt in attempts if attempt.status != 503
    )
    return done[0]


async def test_a_reset_link(ground: Ground, ask: Asker, report: Report) -> None:
    for _ in range(ROUNDS):
        org = await ground.place.organization(None, "member")
        path = f"/v1/users/{org.member.id}/reset-password"
        assert (await ask.once(org, org.owner, "reset", "POST", path, {})).done
        body = {"token": await link_of(ground.place, org.member), "password": NEW_PASSWORD}
        _only_one(await _fifty(ask, "POST", "/v1/password-resets/complete", None, body), report, "reset link")
        assert await _count(ground, org.member.id, "password.reset_completed") == 1


async def test_an_invitation(ground: Ground, ask: Asker, report: Report) -> None:
    for _ in range(ROUNDS):
        org = await ground.place.organization(None, "member")
        invited = await ground.place.person(org, "late", active=False)
        body = {"token": await link_of(ground.place, invited), "password": NEW_PASSWORD}
        _only_one(await _fifty(ask, "POST", "/v1/invitations/accept", None, body), report, "invitation")
        assert await _count(ground, invited.id, "invitation.accepted") == 1


async def test_a_code_of_an_authenticator(ground: Ground, ask: Asker, report: Report) -> None:
    for _ in range(ROUNDS):
        org = await ground.place.organization(None, "member")
        app, _codes = await _enroll(ask, org)
        half = await _half(ask, org)
        answers = await _fifty(ask, "POST", "/v1/sign-in/otp", half, {"code": app.code()})
        _only_one(answers, report, "TOTP code in one half session")


async def test_a_code_of_an_authenticator_in_many_sessions(
    ground: Ground, ask: Asker, report: Report
) -> None:
    for _ in range(ROUNDS):
        org = await ground.place.organization(None, "member")
        app, _codes = await _enroll(ask, org)
        halves, code = [await _half(ask, org) for _ in range(10)], app.code()
        posts = [ask.send("POST", "/v1/sign-in/otp", half, {"code": code}) for half in halves * 5]
        _only_one(await asyncio.gather(*posts), report, "TOTP code in ten half sessions")


async def test_a_recovery_code(ground: Ground, ask: Asker, report: Report) -> None:
    for _ in range(ROUNDS):
        org = await ground.place.organization(None, "member")
        _app, codes = await _enroll(ask, org)
        halves, body = [await _half(ask, org) for _ in range(10)], {"recovery_code": codes[0]}
        posts = [ask.send("POST", "/v1/sign-in/otp", half, body) for half in halves * 5]
        _only_one(await asyncio.gather(*posts), report, "recovery code in ten half sessions")
        assert await _count(ground, org.member.id, "recovery_codes.used") == 1


async def test_an_idempotency_key(ground: Ground, ask: Asker, report: Report) -> None:
    for _ in range(ROUNDS):
        org = await ground.place.organization(None, "member")
        body = {"name": "one", "permissions": ["users.read"]}
        posts = [
            ask.once(org, org.owner, "key", "POST", "/v1/api-keys", body, "same") for _ in range(PARALLEL)
        ]
        answers = [attempt for attempt in await asyncio.gather(*posts) if attempt.status != 503]
        assert {attempt.status for attempt in answers} == {201}
        assert len({attempt.body["api_key"]["id"] for attempt in answers}) == 1
        assert sum(not attempt.replayed for attempt in answers) == 1
        assert len([attempt for attempt in answers if "token" in attempt.body]) == 1
        report.say(f"{PARALLEL} uses of one idempotency key", f"{len(answers)} answers, one key made")


async def _enroll(ask: Asker, org: Org) -> tuple[App, list[str]]:
    token = org.member.token
    begun = await ask.send("POST", "/v1/me/factors", token, {"type": "totp"})
    assert begun.done, begun
    app = App(begun.body["id"], begun.body["secret"])
    path = f"/v1/me/factors/{app.factor}/activate"
    activated = await ask.send("POST", path, token, {"code": app.code()})
    assert activated.done, activated
    return app, activated.body["recovery_codes"]


async def _half(ask: Asker, org: Org) -> str:
    attempt = await ask.sign_in(org, org.member)
    assert attempt.done, attempt
    assert attempt.body["next"] == "otp"
    return attempt.body["token"]


async def _count(ground: Ground, stream: str, type_: str) -> int:
    query = "SELECT count(*) FROM events WHERE stream = $1 AND type = $2"
    return await ground.place.identity.pool.fetchval(query, stream, type_)
