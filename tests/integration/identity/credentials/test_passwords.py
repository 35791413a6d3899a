"""Passwords: changed, reset by mail, reset by an administrator, chosen with an invitation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from services.kit.tokens import make_token
from tests.support.identity import PASSWORD, Org, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import enroll, events_of, link_of, sign_in, signed_in, unit_of_last

NEW = "a wholly different staple of horses"


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def ask(place: Place, org: str, email: str) -> None:
    answer = await place.call("POST", "/v1/password-resets", json={"organization": org, "email": email})
    assert (answer.status_code, answer.text) == (202, "{}")


async def complete(place: Place, token: object, password: str = NEW) -> tuple[int, str]:
    body = {"token": token, "password": password}
    answer = await place.call("POST", "/v1/password-resets/complete", json=body)
    return answer.status_code, answer.json()["code"] if answer.content else ""


async def links_of(place: Place, user: str) -> list[str]:
    rows = await place.identity.pool.fetch('SELECT id FROM links WHERE "user" = $1', user)
    return [row["id"] for row in rows]


async def test_changing_the_password_ends_all_other_sessions_and_keeps_this_one(
    place: Place, org: Org
) -> None:
    others = [(await signed_in(place, org, org.member))["token"] for _ in range(2)]
    body = {"current_password": PASSWORD, "password": NEW}
    assert (await place.call("POST", "/v1/me/password", org.member, body)).status_code == 204
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 200
    for token in others:
        assert (await place.call("GET", "/v1/me", token)).status_code == 401
    unit = await unit_of_last(place, "password.changed")
    kinds = ["password.changed"] + ["session.ended", "ip_rule.revoked"] * 2
    assert [type_ for type_, _ in unit] == kinds
    assert {data["kill"] for type_, data in unit if "ip_rule" not in type_} == {unit[0][1]["kill"]}
    assert (await sign_in(place, org.slug, org.member.email)).status_code == 401
    await signed_in(place, org, org.member, NEW)


async def test_a_wrong_current_password_changes_nothing(place: Place, org: Org) -> None:
    body = {"current_password": "not the one that it is", "password": NEW}
    refused = await place.call("POST", "/v1/me/password", org.member, body)
    assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_refused")
    await signed_in(place, org, org.member)


@pytest.mark.parametrize(
    ("password", "status", "code"),
    [
        ("short but ok 1", 422, "password_too_short"),
        ("passwordpassword", 422, "password_too_common"),
        ("qwertyuiopasdfgh", 422, "password_too_common"),
        ("member@acme.example", 422, "password_too_common"),
        ("x" * 257, 400, "invalid_request"),
    ],
)
async def test_a_new_password_must_be_long_and_not_be_on_a_list(
    place: Place, org: Org, password: str, status: int, code: str
) -> None:
    if "@" in password:
        password = org.member.email
    body = {"current_password": PASSWORD, "password": password}
    refused = await place.call("POST", "/v1/me/password", org.member, body)
    assert (refused.status_code, refused.json()["code"]) == (status, code)


async def test_passwords_of_256_characters_count_to_the_last_one(place: Place, org: Org) -> None:
    long = "".join(chr(0x4E00 + n) for n in random.Random(1).sample(range(2000), 256))
    body = {"current_password": PASSWORD, "password": long}
    assert (await place.call("POST", "/v1/me/password", org.member, body)).status_code == 204
    assert (await sign_in(place, org.slug, org.member.email, long[:-1] + "x")).status_code == 401
    assert (await sign_in(place, org.slug, org.member.email, long)).status_code == 200


async def test_eight_characters_are_enough_where_mfa_is_enforced(place: Place, org: Org) -> None:
    await enroll(place, org.member.token)
    await place.identity.pool.execute("UPDATE organizations SET mfa_enforced = true WHERE id = $1", org.id)
    for password, status in (("kV9#tq2", 422), ("kV9#tq2z", 204)):
        body = {"current_password": PASSWORD, "password": password}
        assert (await place.call("POST", "/v1/me/password", org.member, body)).status_code == status


async def test_a_reset_by_mail_ends_all_sessions_signs_nobody_in_and_asks_for_mfa_still(
    place: Place, org: Org
) -> None:
    app, _ = await enroll(place, org.member.token)
    await ask(place, org.slug, org.member.email)
    unit = await unit_of_last(place, "password.reset_requested")
    assert [(t, d["by_admin"], d["revoked"], d["kill"]) for t, d in unit] == [
        ("password.reset_requested", False, False, None)
    ]
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 200
    assert await complete(place, await link_of(place, org.member)) == (204, "")
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 401
    unit = await unit_of_last(place, "password.reset_completed")
    assert [t for t, _ in unit] == ["password.reset_completed", "session.ended", "ip_rule.revoked"]
    half = await signed_in(place, org, org.member, NEW)
    assert half["next"] == "otp"
    answer = await place.call("POST", "/v1/sign-in/otp", half["token"], {"code": app.code()})
    assert answer.status_code == 200


async def test_a_link_works_once_also_when_it_is_followed_twice_at_once(place: Place, org: Org) -> None:
    await ask(place, org.slug, org.member.email)
    token = await link_of(place, org.member)
    results = await asyncio.gather(*(complete(place, token, f"{NEW} {n}") for n in range(10)))
    assert sorted(results)[:2] == [(204, ""), (400, "link_invalid")]
    assert results.count((204, "")) == 1


async def test_every_token_that_opens_nothing_has_the_same_answer(place: Place, org: Org) -> None:
    await ask(place, org.slug, org.member.email)
    token = await link_of(place, org.member)
    await complete(place, token)
    await ask(place, org.slug, org.owner.email)
    expired = await link_of(place, org.owner)
    await place.identity.pool.execute('UPDATE links SET expires_at = now() WHERE "user" = $1', org.owner.id)
    bodies: list[dict[str, object]] = []
    for shown in (
        None,
        "",
        "x",
        7,
        [token],
        token,
        token[:-1],
        make_token("mur"),
        make_token("mui"),
        expired,
    ):
        body = {"token": shown, "password": "short"}
        answer = await place.call("POST", "/v1/password-resets/complete", json=body)
        bodies.append(answer.json() | {"request_id": ""})
    bodies.append(
        (await place.call("POST", "/v1/password-resets/complete", json={"password": NEW})).json()
        | {"request_id": ""}
    )
    assert all(body == bodies[0] for body in bodies)
    assert (bodies[0]["status"], bodies[0]["code"]) == (400, "link_invalid")


async def test_a_refused_password_leaves_the_link_open(place: Place, org: Org) -> None:
    await ask(place, org.slug, org.member.email)
    token = await link_of(place, org.member)
    assert await complete(place, token, "short") == (422, "password_too_short")
    assert await complete(place, token) == (204, "")


async def test_asked_again_while_one_is_open_the_same_link_is_mailed_with_its_own_expiry(
    place: Place, org: Org
) -> None:
    for _ in range(2):
        await ask(place, org.slug, org.member.email)
    rows = await place.identity.pool.fetch(
        "SELECT open FROM events WHERE stream = $1 AND type = 'password.reset_requested'", org.member.id
    )
    assert len(rows) == 2
    assert len({(row["open"]["link"], row["open"]["expires_at"]) for row in rows}) == 1


async def test_at_most_three_reset_mails_an_hour_and_the_answer_stays_the_same(
    place: Place, org: Org
) -> None:
    for _ in range(5):
        await ask(place, org.slug, org.member.email)
    assert (await events_of(place, org.member.id)).count("password.reset_requested") == 3


async def test_nobody_gets_a_reset_mail_who_could_not_use_it(place: Place, org: Org) -> None:
    invited = await place.person(org, "invited", active=False)
    await place.call("POST", f"/v1/users/{org.member.id}/deactivate", org.admin)
    head = await place.identity.pool.fetchval("SELECT position FROM log_head")
    for email in (invited.email, org.member.email, "nobody@acme.example"):
        await ask(place, org.slug, email)
    await ask(place, "no-such-organization", org.admin.email)
    assert await place.identity.pool.fetchval("SELECT position FROM log_head") == head


async def test_an_address_is_one_text_and_looks_like_no_other(place: Place, org: Org) -> None:
    for email in ([org.member.email], {"x": org.member.email}, "no address", None):
        body = {"organization": org.slug, "email": email}
        assert (await place.call("POST", "/v1/password-resets", json=body)).status_code == 400


async def test_an_administrators_reset_revokes_at_once_and_voids_open_links(place: Place, org: Org) -> None:
    await ask(place, org.slug, org.member.email)
    old = await link_of(place, org.member)
    answer = await place.call("POST", f"/v1/users/{org.member.id}/reset-password", org.admin)
    effects = answer.json()["effects"]
    assert answer.status_code == 200
    assert effects.keys() == {"link_expires_at", "sessions_ended", "ip_rules_revoked", "kill"}
    assert (effects["sessions_ended"], effects["ip_rules_revoked"]) == (1, 1)
    unit = await unit_of_last(place, "password.reset_requested")
    assert [t for t, _ in unit] == ["password.reset_requested", "session.ended", "ip_rule.revoked"]
    assert (unit[0][1]["by_admin"], unit[0][1]["revoked"]) == (True, True)
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 401
    assert (await sign_in(place, org.slug, org.member.email)).status_code == 401
    assert await complete(place, old) == (400, "link_invalid")
    assert await complete(place, await link_of(place, org.member)) == (204, "")
    await signed_in(place, org, org.member, NEW)


async def test_without_revoke_now_the_old_password_works_until_the_new_one_is_set(
    place: Place, org: Org
) -> None:
    path = f"/v1/users/{org.member.id}/reset-password"
    answer = await place.call("POST", path, org.admin, {"revoke_now": False})
    assert answer.json()["effects"]["kill"] is None
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 200
    await signed_in(place, org, org.member)


async def test_the_last_owner_is_not_reset_with_revoke_now(place: Place, org: Org) -> None:
    path = f"/v1/users/{org.owner.id}/reset-password"
    refused = await place.call("POST", path, org.owner)
    assert (refused.status_code, refused.json()["code"]) == (409, "last_owner")
    assert (await place.call("POST", path, org.owner, {"revoke_now": False})).status_code == 200
    refused = await place.call("POST", path, org.admin)
    assert (refused.status_code, refused.json()["code"]) == (403, "owner_protected")


async def test_a_password_is_reset_of_active_people_only(place: Place, org: Org) -> None:
    invited = await place.person(org, "invited", active=False)
    refused = await place.call("POST", f"/v1/users/{invited.id}/reset-password", org.admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "user_invited")
    await place.call("POST", f"/v1/users/{org.member.id}/deactivate", org.admin)
    refused = await place.call("POST", f"/v1/users/{org.member.id}/reset-password", org.admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "user_inactive")


async def test_accepting_an_invitation_sets_name_and_password_and_opens_no_session(
    place: Place, org: Org
) -> None:
    invited = await place.person(org, "invited", active=False)
    body = {"token": await link_of(place, invited), "password": NEW, "name": "Ivy Invited"}
    answer = await place.call("POST", "/v1/invitations/accept", json=body)
    assert answer.status_code == 200
    assert answer.json().keys() == {"user"}
    user = answer.json()["user"]
    assert (user["status"], user["name"], user["id"]) == ("active", "Ivy Invited", invited.id)
    unit = await unit_of_last(place, "invitation.accepted")
    assert [t for t, _ in unit] == ["invitation.accepted", "password.changed", "user.renamed"]
    assert unit[1][1]["kill"] is None
    await signed_in(place, org, invited, NEW)
    again = await place.call("POST", "/v1/invitations/accept", json=body)
    assert (again.status_code, again.json()["code"]) == (400, "link_invalid")


async def test_an_invitation_that_is_refused_a_password_stays_open(place: Place, org: Org) -> None:
    invited = await place.person(org, "invited", active=False)
    token = await link_of(place, invited)
    for password, status in (("short", 422), ("Invited invited", 422), (NEW, 200)):
        body = {"token": token, "password": password}
        assert (await place.call("POST", "/v1/invitations/accept", json=body)).status_code == status


async def test_a_link_opens_only_what_it_was_made_for(place: Place, org: Org) -> None:
    invited = await place.person(org, "invited", active=False)
    assert await complete(place, await link_of(place, invited)) == (400, "link_invalid")


async def test_confirming_with_the_password_counts_for_ten_minutes(place: Place, org: Org) -> None:
    await place.identity.pool.execute("UPDATE session_use SET confirmed_at = now() - interval '11 minutes'")
    path = f"/v1/users/{org.member.id}/reset-password"
    assert (await place.call("POST", path, org.admin)).json()["code"] == "confirmation_required"
    for proof in ({"password": "no"}, {"code": "123456"}):
        refused = await place.call("POST", "/v1/me/confirm", org.admin, proof)
        assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_refused")
    proof = {"password": PASSWORD}
    assert (await place.call("POST", "/v1/me/confirm", org.admin, proof)).status_code == 204
    assert (await place.call("POST", path, org.admin)).status_code == 200
