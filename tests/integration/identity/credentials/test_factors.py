"""Second factors: set up, asked for, used once, removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.identity import Org, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import (
    begin_enrolling,
    enroll,
    events_of,
    sign_in,
    signed_in,
    unit_of_last,
)


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def test_setting_up_an_app_shows_seed_and_qr_code_and_its_first_code_activates_it(
    place: Place, org: Org
) -> None:
    answer = await place.call("POST", "/v1/me/factors", org.member, {"type": "totp"})
    body = answer.json()
    assert body.keys() == {"id", "secret", "otpauth_uri", "qr_svg"}
    assert len(body["secret"]) == 32
    assert body["otpauth_uri"].startswith("otpauth://totp/")
    assert body["secret"] in body["otpauth_uri"]
    assert body["qr_svg"].startswith("<svg")
    assert "mfa.enrolled" not in await events_of(place, org.member.id)
    app, recovery = await enroll(place, org.member.token)
    assert len(set(recovery)) == 10
    assert (await events_of(place, org.member.id))[-2:] == ["mfa.enrolled", "recovery_codes.generated"]
    me = (await place.call("GET", "/v1/me", org.member)).json()
    assert me["mfa"]["status"] == "enabled"
    assert [f["id"] for f in me["mfa"]["factors"]] == [app.factor]
    assert me["session"]["confirmed_until"]


async def test_with_a_factor_the_password_opens_nothing_but_the_next_step(place: Place, org: Org) -> None:
    app, _ = await enroll(place, org.member.token)
    half = await signed_in(place, org, org.member)
    assert half["next"] == "otp"
    for method, path in (("GET", "/v1/me"), ("POST", "/v1/sign-out"), ("POST", "/v1/me/factors")):
        refused = await place.call(method, path, half["token"])
        assert (refused.status_code, refused.json()["code"]) == (401, "second_factor_required")
    answer = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    whole = answer.json()
    assert (answer.status_code, whole["next"]) == (200, "done")
    assert whole["token"] != half["token"]
    assert (await place.call("GET", "/v1/me", whole["token"])).status_code == 200
    again = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert (again.status_code, again.json()["code"]) == (401, "unauthenticated")


async def test_fifty_parallel_posts_of_one_code_open_one_session(place: Place, org: Org) -> None:
    app, _ = await enroll(place, org.member.token)
    halves = [await signed_in(place, org, org.member) for _ in range(10)]
    code = app.code()
    answers = await asyncio.gather(
        *(place.call("POST", "/v1/sign-in/otp", h["token"], {"code": code}) for h in halves * 5)
    )
    assert sorted({a.status_code for a in answers}) == [200, 401]
    assert [a.status_code for a in answers].count(200) == 1


async def test_a_recovery_code_counts_once_also_under_fifty_parallel_tries(place: Place, org: Org) -> None:
    _, recovery = await enroll(place, org.member.token)
    halves = [await signed_in(place, org, org.member) for _ in range(10)]
    typed = recovery[0].upper().replace("-", " ")
    answers = await asyncio.gather(
        *(place.call("POST", "/v1/sign-in/otp", h["token"], {"recovery_code": typed}) for h in halves * 5)
    )
    assert [a.status_code for a in answers].count(200) == 1
    unit = await unit_of_last(place, "recovery_codes.used")
    assert [type_ for type_, _ in unit] == ["recovery_codes.used", "session.started", "ip_rule.granted"]
    assert unit[0][1]["remaining"] == 9


async def test_a_code_is_used_up_across_activation_confirmation_and_sign_in(place: Place, org: Org) -> None:
    app = await begin_enrolling(place, org.member.token)
    code = app.code()
    path = f"/v1/me/factors/{app.factor}/activate"
    assert (await place.call("POST", path, org.member, {"code": code})).status_code == 200
    refused = await place.call("POST", "/v1/me/confirm", org.member, {"code": code})
    assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_refused")
    half = await signed_in(place, org, org.member)
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": code})
    assert (refused.status_code, refused.json()["code"]) == (401, "code_refused")
    next_code = app.code()
    assert (await place.call("POST", "/v1/me/confirm", org.member, {"code": next_code})).status_code == 204
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": next_code})
    assert refused.json()["code"] == "code_refused"


async def test_half_a_session_is_dead_after_five_wrong_codes(place: Place, org: Org) -> None:
    app, _ = await enroll(place, org.member.token)
    half = await signed_in(place, org, org.member)
    answers = [
        await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.wrong()}) for _ in range(6)
    ]
    assert [a.json()["code"] for a in answers] == ["code_refused"] * 5 + ["unauthenticated"]
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert refused.status_code == 401


async def test_ten_wrong_codes_in_a_row_delay_the_account_but_not_its_password(
    place: Place, org: Org
) -> None:
    app, _ = await enroll(place, org.member.token)
    for _ in range(2):
        half = await signed_in(place, org, org.member)
        for _ in range(5):
            await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.wrong()})
    half = await signed_in(place, org, org.member)
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert refused.json()["code"] == "code_refused"
    refused = await place.call("POST", "/v1/me/confirm", org.member, {"code": app.code()})
    assert refused.json()["code"] == "confirmation_refused"
    await place.identity.pool.execute("UPDATE throttles SET blocked_until = now() WHERE id LIKE 'code:%'")
    app.used.clear()
    app.code()  # the one of the activation
    answer = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert answer.status_code == 200


async def test_who_has_a_factor_confirms_with_it_and_not_with_the_password(place: Place, org: Org) -> None:
    app, recovery = await enroll(place, org.member.token)
    for proof in ({"password": "correct horse battery staple"}, {"code": recovery[0]}):
        refused = await place.call("POST", "/v1/me/confirm", org.member, proof)
        assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_refused")
    assert (await place.call("POST", "/v1/me/confirm", org.member, {"code": app.code()})).status_code == 204


async def test_removing_a_factor_needs_a_proof_of_it(place: Place, org: Org) -> None:
    app, _ = await enroll(place, org.member.token)
    await place.identity.pool.execute("UPDATE session_use SET confirmed_at = now() - interval '11 minutes'")
    path = f"/v1/me/factors/{app.factor}"
    for method, url, body in (
        ("DELETE", path, None),
        ("POST", "/v1/me/recovery-codes", None),
        ("POST", "/v1/me/factors", {"type": "totp"}),
    ):
        refused = await place.call(method, url, org.member, body)
        assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_required")
    assert (await place.call("POST", "/v1/me/confirm", org.member, {"code": app.code()})).status_code == 204
    codes = (await place.call("POST", "/v1/me/recovery-codes", org.member)).json()
    assert len(codes["recovery_codes"]) == 10
    assert (await place.call("DELETE", path, org.member)).status_code == 204
    me = (await place.call("GET", "/v1/me", org.member)).json()
    assert me["mfa"] == {"status": "not_enabled", "factors": []}
    left = await place.identity.pool.fetchval(
        'SELECT count(*) FROM recovery_codes WHERE "user" = $1', org.member.id
    )
    assert left == 0
    assert (await signed_in(place, org, org.member))["next"] == "done"


async def test_new_recovery_codes_void_the_old_ones(place: Place, org: Org) -> None:
    _, old = await enroll(place, org.member.token)
    new = (await place.call("POST", "/v1/me/recovery-codes", org.member)).json()["recovery_codes"]
    half = await signed_in(place, org, org.member)
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"recovery_code": old[0]})
    assert refused.json()["code"] == "code_refused"
    answer = await place.call("POST", "/v1/sign-in/otp", half["token"], {"recovery_code": new[0]})
    assert answer.status_code == 200


async def test_an_enrollment_is_finished_by_the_session_that_began_it_within_ten_minutes(
    place: Place, org: Org
) -> None:
    app = await begin_enrolling(place, org.member.token)
    other = await signed_in(place, org, org.member)
    path = f"/v1/me/factors/{app.factor}/activate"
    refused = await place.call("POST", path, other["token"], {"code": app.code()})
    assert refused.status_code == 404
    await place.identity.pool.execute("UPDATE factors SET created_at = now() - interval '11 minutes'")
    refused = await place.call("POST", path, org.member, {"code": app.code()})
    assert refused.status_code == 404
    assert (
        await place.call("POST", path.replace(app.factor, "%00"), org.member, {"code": "1"})
    ).status_code == 404


async def test_text_messages_are_refused_while_no_provider_is_configured(place: Place, org: Org) -> None:
    body = {"type": "sms", "phone": "+14155550123"}
    refused = await place.call("POST", "/v1/me/factors", org.member, body)
    assert (refused.status_code, refused.json()["code"]) == (409, "method_unavailable")


async def test_an_organization_that_enforces_mfa_lets_the_password_open_enrollment_and_nothing_else(
    place: Place, org: Org
) -> None:
    await place.identity.pool.execute("UPDATE organizations SET mfa_enforced = true WHERE id = $1", org.id)
    half = await signed_in(place, org, org.member)
    assert half["next"] == "enroll"
    for method, path in (("GET", "/v1/me"), ("POST", "/v1/me/confirm"), ("POST", "/v1/sign-in/otp")):
        refused = await place.call(method, path, half["token"])
        assert (refused.status_code, refused.json()["code"]) == (401, "enrollment_required")
    app = await begin_enrolling(place, half["token"])
    path = f"/v1/me/factors/{app.factor}/activate"
    refused = await place.call("POST", path, half["token"], {"code": app.wrong()})
    assert (refused.status_code, refused.json()["code"]) == (401, "code_refused")
    whole = (await place.call("POST", path, half["token"], {"code": app.code()})).json()
    assert whole.keys() == {"recovery_codes", "token", "session", "next"}
    assert whole["next"] == "done"
    me = (await place.call("GET", "/v1/me", whole["token"])).json()
    assert me["session"]["confirmed_until"]
    unit = [type_ for type_, _ in await unit_of_last(place, "mfa.enrolled")]
    assert unit == ["mfa.enrolled", "recovery_codes.generated", "session.started", "ip_rule.granted"]
    assert (await place.call("GET", "/v1/me", half["token"])).json()["code"] == "unauthenticated"


async def test_half_a_session_that_waits_for_enrollment_dies_when_another_one_enrolls(
    place: Place, org: Org
) -> None:
    await place.identity.pool.execute("UPDATE organizations SET mfa_enforced = true WHERE id = $1", org.id)
    thief, mine = await signed_in(place, org, org.member), await signed_in(place, org, org.member)
    app = await begin_enrolling(place, mine["token"])
    path = f"/v1/me/factors/{app.factor}/activate"
    assert (await place.call("POST", path, mine["token"], {"code": app.code()})).status_code == 200
    refused = await place.call("POST", "/v1/me/factors", thief["token"], {"type": "totp"})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")


async def test_resetting_mfa_takes_factors_codes_and_sessions_and_the_password_is_enough_again(
    place: Place, org: Org
) -> None:
    await enroll(place, org.member.token)
    answer = await place.call("POST", f"/v1/users/{org.member.id}/reset-mfa", org.admin)
    body = answer.json()
    assert answer.status_code == 200
    kill = body["effects"].pop("kill")
    assert body["effects"] == {
        "factors_removed": 1, "recovery_codes_deleted": 10, "sessions_ended": 1, "ip_rules_revoked": 1,
    }  # fmt: skip
    unit = await unit_of_last(place, "mfa.reset")
    assert [type_ for type_, _ in unit] == ["mfa.reset", "session.ended", "ip_rule.revoked"]
    assert unit[0][1]["kill"] == kill
    assert body["user"]["mfa"] == {"status": "not_enabled", "factors": []}
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 401
    assert (await signed_in(place, org, org.member))["next"] == "done"
    refused = await place.call("POST", f"/v1/users/{org.member.id}/reset-mfa", org.admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "mfa_not_enabled")


async def test_nobody_resets_their_own_mfa_on_the_administrators_path(place: Place, org: Org) -> None:
    await enroll(place, org.admin.token)
    refused = await place.call("POST", f"/v1/users/{org.admin.id}/reset-mfa", org.admin)
    assert (refused.status_code, refused.json()["code"]) == (403, "self_action")


async def test_a_wrong_password_before_the_second_step_says_nothing_about_it(place: Place, org: Org) -> None:
    await enroll(place, org.member.token)
    refused = await sign_in(place, org.slug, org.member.email, "not this one, I am sure")
    assert refused.json()["code"] == "sign_in_refused"


async def test_t44_of_fifty_parallel_wrong_codes_five_are_looked_at(place: Place, org: Org) -> None:
    app, _ = await enroll(place, org.member.token)
    half = await signed_in(place, org, org.member)
    path, body = "/v1/sign-in/otp", {"code": app.wrong()}
    answers = await asyncio.gather(*(place.call("POST", path, half["token"], body) for _ in range(50)))
    assert {a.status_code for a in answers} == {401}
    assert [a.json()["code"] for a in answers].count("code_refused") <= 5
    failures = await place.identity.pool.fetchval(
        "SELECT failures FROM throttles WHERE id = $1", f"code:{org.member.id}"
    )
    assert failures <= 5


async def test_t05_who_is_deactivated_between_password_and_code_is_out(place: Place, org: Org) -> None:
    app, recovery = await enroll(place, org.member.token)
    half = await signed_in(place, org, org.member)
    assert (await place.call("POST", f"/v1/users/{org.member.id}/deactivate", org.admin)).status_code == 200
    for proof in ({"code": app.code()}, {"recovery_code": recovery[0]}):
        refused = await place.call("POST", "/v1/sign-in/otp", half["token"], proof)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    await place.call("POST", f"/v1/users/{org.member.id}/reactivate", org.admin)
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert refused.status_code == 401
    assert (await signed_in(place, org, org.member))["next"] == "otp"


async def test_a_reset_of_mfa_ends_half_sessions_and_begun_enrollments(place: Place, org: Org) -> None:
    app, _ = await enroll(place, org.member.token)
    half = await signed_in(place, org, org.member)
    begun = await begin_enrolling(place, org.member.token)
    assert (await place.call("POST", f"/v1/users/{org.member.id}/reset-mfa", org.admin)).status_code == 200
    refused = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    left = await place.identity.pool.fetchval("SELECT count(*) FROM factors WHERE id = $1", begun.factor)
    assert left == 0


async def test_two_codes_that_both_count_complete_half_a_session_once(place: Place, org: Org) -> None:
    app, recovery = await enroll(place, org.member.token)
    for turn in range(4):
        half = await signed_in(place, org, org.member)
        proofs = [{"recovery_code": recovery[2 * turn]}, {"recovery_code": recovery[2 * turn + 1]}]
        if turn == 0:
            proofs.append({"code": app.code()})
        answers = await asyncio.gather(
            *(place.call("POST", "/v1/sign-in/otp", half["token"], proof) for proof in proofs)
        )
        codes = sorted(a.json().get("code", "") for a in answers)
        assert codes == ["", *["unauthenticated"] * (len(proofs) - 1)]
