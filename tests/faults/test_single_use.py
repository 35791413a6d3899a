"""Fifty at once want what there is one of: a link, a code, a key. One gets it, and the others hear why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from tests.faults.crowd import MOST_BUSY, PARALLEL, Crowd
from tests.faults.driver import Asker
from tests.faults.ground import Ground, Servers, open_ground
from tests.faults.history import Attempt, Command
from tests.faults.racing import BUSY, NAMES, NO_SESSION, told
from tests.faults.report import Report, either
from tests.support.identity import PASSWORD, Org
from tests.support.signing_in import App, link_of

ROUNDS = int(either(20, 1))
HALVES = 10
LINK_INVALID, CODE_REFUSED = (400, "link_invalid"), (401, "code_refused")
BEGINS = ["session.started", "ip_rule.granted"]
CODE, LEFT = "/v1/sign-in/otp", 'SELECT count(*) FROM links WHERE "user" = $1'

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers, names=NAMES) as ground:
        yield ground


@pytest.fixture
def crowd(ground: Ground, report: Report) -> Crowd:
    return Crowd(ground, report)


def password_of(number: int) -> str:
    """Each of the fifty chooses another one."""
    return f"a new and quite long pass phrase {number}"


async def test_a_reset_link(crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        org = await crowd.ground.place.organization(None, "member")
        path = f"/v1/users/{org.member.id}/reset-password"
        assert (await crowd.ask.once(org, org.owner, "reset", "POST", path, {"revoke_now": False})).done
        ends = ["password.reset_completed", "session.ended", "ip_rule.revoked"]
        await _follow(crowd, org, "member", "reset link", "/v1/password-resets/complete", ends)
        assert told(await crowd.ask.send("GET", "/v1/me", org.member.token, None)) == NO_SESSION
    await crowd.settle("reset link")


async def test_an_invitation(crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        org = await crowd.ground.place.organization(None, "member")
        org.people["late"] = await crowd.ground.place.person(org, "late", active=False)
        accepts = ["invitation.accepted", "password.changed"]
        await _follow(crowd, org, "late", "invitation", "/v1/invitations/accept", accepts)
        assert await crowd.value("SELECT status FROM users WHERE id = $1", org.late.id) == "active"
    await crowd.settle("invitation")


async def _follow(crowd: Crowd, org: Org, name: str, what: str, path: str, types: list[str]) -> None:
    """Everybody follows the link with a password of their own: that of the one who was first is the one."""
    person = org.people[name]
    token = await link_of(crowd.ground.place, person)

    async def use(ask: Asker, number: int) -> Attempt:
        return await ask.send("POST", path, None, {"token": token, "password": password_of(number)})

    attempts = await crowd.at_once(use)
    one = await crowd.only_one(what, attempts, [LINK_INVALID], types)
    first = attempts.index(one)
    others = [PASSWORD, password_of((first + 1) % PARALLEL), password_of((first + 2) % PARALLEL)]
    await crowd.check_password(org, person, password_of(first), others)
    assert await crowd.value(LEFT, person.id) == 0


async def test_a_code_of_an_authenticator(crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        org = await crowd.ground.place.organization(None, "member")
        app, _codes = await crowd.enroll(org.member)
        [half], body = await crowd.half_sessions(org, org.member, 1), {"code": app.code()}
        attempts = await crowd.at_once(lambda ask, _: ask.send("POST", CODE, half, body))  # noqa: B023
        one = await crowd.only_one(
            "TOTP code in one half session", attempts, [CODE_REFUSED, NO_SESSION], BEGINS
        )
        await _entered(crowd, org, one, halves=0)
        await _step_is_used(crowd, app)
    await crowd.settle("TOTP code in one half session")


async def test_a_code_of_an_authenticator_in_many_sessions(crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        org = await crowd.ground.place.organization(None, "member")
        app, _codes = await crowd.enroll(org.member)
        one = await _in_many_sessions(crowd, org, "TOTP code", {"code": app.code()}, BEGINS)
        await _entered(crowd, org, one, halves=HALVES - 1)
        await _step_is_used(crowd, app)
    await crowd.settle("TOTP code in many half sessions")


async def test_a_recovery_code(crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        org = await crowd.ground.place.organization(None, "member")
        _app, codes = await crowd.enroll(org.member)
        uses = ["recovery_codes.used", *BEGINS]
        one = await _in_many_sessions(crowd, org, "recovery code", {"recovery_code": codes[0]}, uses)
        await _entered(crowd, org, one, halves=HALVES - 1)
        kept = await crowd.value('SELECT count(*) FROM recovery_codes WHERE "user" = $1', org.member.id)
        shown = await crowd.value("SELECT recovery_codes FROM users WHERE id = $1", org.member.id)
        assert (kept, shown) == (len(codes) - 1, len(codes) - 1)
    await crowd.settle("recovery code in many half sessions")


async def _in_many_sessions(
    crowd: Crowd, org: Org, what: str, body: dict[str, str], types: list[str]
) -> Attempt:
    """The same code in half sessions; only who shares the one that became a session may hear that it is gone."""
    halves = await crowd.half_sessions(org, org.member, HALVES)
    attempts = await crowd.at_once(lambda ask, n: ask.send("POST", CODE, halves[n // 2 % HALVES], body))
    name = f"{what} in {HALVES} half sessions"
    one = await crowd.only_one(name, attempts, [CODE_REFUSED, NO_SESSION], types)
    place = attempts.index(one) // 2 % HALVES
    assert {n // 2 % HALVES for n, each in enumerate(attempts) if told(each) == NO_SESSION} <= {place}
    return one


async def _entered(crowd: Crowd, org: Org, one: Attempt, *, halves: int) -> None:
    """There is one session more, whose token counts, and its half session is gone."""
    user = org.member.id
    sessions = 'SELECT array_agg(id) FROM sessions WHERE "user" = $1 AND id <> $2'
    before = await crowd.ask.send("GET", "/v1/me", org.member.token, None)
    assert await crowd.value(sessions, user, before.body["session"]["id"]) == [one.body["session"]["id"]]
    await crowd.check_token(one.body["token"], org.member)
    assert await crowd.value('SELECT count(*) FROM half_sessions WHERE "user" = $1', user) == halves


async def _step_is_used(crowd: Crowd, app: App) -> None:
    assert await crowd.value("SELECT last_step FROM factors WHERE id = $1", app.factor) == max(app.used)


async def test_an_idempotency_key(crowd: Crowd) -> None:
    for _ in range(ROUNDS):
        org = await crowd.ground.place.organization(None, "member")
        body = {"name": "one", "permissions": ["users.read"]}
        command = Command(org.id, org.owner.id, "make_key", None, "same", "POST", "/v1/api-keys", body)
        crowd.history.commands.append(command)
        answers = await crowd.at_once(lambda ask, _: ask.attempt(command, org.owner.token))  # noqa: B023
        counts = Counter("replayed" if each.replayed else told(each) for each in answers)
        text = f"{counts['replayed']} replayed, {counts[BUSY]} busy, one key made"
        crowd.report.say(f"{PARALLEL} uses of one idempotency key", text)
        assert counts.keys() <= {"replayed", (201, ""), BUSY}
        assert counts[201, ""] == 1
        assert counts["replayed"] >= PARALLEL - 1 - MOST_BUSY
        await _one_key(crowd, org, answers)
    await crowd.settle("idempotency key")


async def _one_key(crowd: Crowd, org: Org, answers: list[Attempt]) -> None:
    """Every answer tells of the same key, the first one shows its token, and there is no other one."""
    [one] = [answer for answer in answers if answer.done and not answer.replayed]
    repeated = [answer.body for answer in answers if answer.replayed]
    token, key = one.body["token"], one.body["api_key"]["id"]
    shown = {name: value for name, value in one.body.items() if name != "token"}
    assert all(body == shown for body in repeated), [shown, *repeated[:3]]
    assert await crowd.events_of(answers) == [(one.request_id, "api_key.created")]
    assert await crowd.value("SELECT array_agg(id) FROM api_keys WHERE org = $1", org.id) == [key]
    await crowd.check_token(token, org.owner)
