"""What every administrators' command understands: Idempotency-Key, If-Match, dry_run, reason."""

from __future__ import annotations

import secrets

import pytest

from tests.e2e.acts import audit_of, check_change
from tests.e2e.client import codes_of, problem, together
from tests.e2e.people import Org, Person

SESSION_GONE = ["session.ended", "ip_rule.revoked"]


def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(16)}


def test_a_repeat_gets_the_same_answer_and_does_nothing(acme: Org, owner: Person, member: Person) -> None:
    headers, path = key(), f"/v1/users/{member.id}"
    first = owner.client.send("PATCH", path, {"name": "Once"}, headers=headers)
    owner.client.patch(path, {"name": "Meanwhile"})
    again = owner.client.send("PATCH", path, {"name": "Once"}, headers=headers)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert acme.user(member.id)["name"] == "Meanwhile"


def test_a_refusal_is_repeated_too(owner: Person, member: Person) -> None:
    headers, path = key(), f"/v1/users/{member.id}/reset-mfa"
    first = owner.client.send("POST", path, headers=headers)
    problem(first, "mfa_not_enabled", 409)
    again = owner.client.send("POST", path, headers=headers)
    assert (again.status_code, again.content) == (409, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_key_with_another_body_is_refused(owner: Person, member: Person) -> None:
    headers, path = key(), f"/v1/users/{member.id}"
    owner.client.patch(path, {"name": "One"}, headers=headers)
    owner.client.refused(
        "PATCH", path, {"name": "Two"}, headers=headers, code="idempotency_key_reused", status=422
    )


def test_a_key_counts_per_credential(acme: Org, owner: Person, admin: Person, member: Person) -> None:
    headers, path = key(), f"/v1/users/{member.id}"
    owner.client.patch(path, {"name": "By Owner"}, headers=headers)
    other = admin.client.send("PATCH", path, {"name": "By Admin"}, headers=headers)
    assert "Idempotency-Replayed" not in other.headers
    assert acme.user(member.id)["name"] == "By Admin"


def test_parallel_repeats_all_get_the_first_ones_answer(acme: Org, owner: Person) -> None:
    headers, given = key(), {"email": f"parallel.{secrets.token_hex(4)}@e2e.example", "name": "Only Once"}
    answers = together(*[lambda: owner.client.send("POST", "/v1/users", given, headers=headers)] * 10)
    assert {answer.status_code for answer in answers} == {201}, codes_of(answers)
    assert len({answer.content for answer in answers}) == 1
    assert len(owner.client.get("/v1/users", q=given["email"])["data"]) == 1


def test_a_repeat_shows_no_secret_again(owner: Person) -> None:
    headers, given = key(), {"name": "shown once", "permissions": ["users.read"]}
    first = owner.client.send("POST", "/v1/api-keys", given, headers=headers)
    assert first.json()["token"].startswith("muk_")
    again = owner.client.send("POST", "/v1/api-keys", given, headers=headers)
    assert again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == {name: value for name, value in first.json().items() if name != "token"}


def test_authentication_and_permission_are_checked_before_a_replay(
    acme: Org, owner: Person, member: Person
) -> None:
    acting, headers, path = acme.join("admin"), key(), f"/v1/users/{member.id}"
    acting.client.patch(path, {"name": "Kept"}, headers=headers)
    owner.client.patch(f"/v1/users/{acting.id}", {"role": "member"})
    acting.client.refused(
        "PATCH", path, {"name": "Kept"}, headers=headers, code="permission_missing", status=403
    )


def test_a_stale_version_is_refused_and_told_what_changed(
    acme: Org, owner: Person, admin: Person, member: Person
) -> None:
    path = f"/v1/users/{member.id}"
    seen = owner.client.send("GET", path)
    version = seen.json()["version"]
    assert seen.headers["ETag"] == f'"{version}"'
    admin.client.patch(path, {"name": "Changed Meanwhile"})
    document = owner.client.refused(
        "PATCH",
        path,
        {"name": "Mine"},
        headers={"If-Match": seen.headers["ETag"]},
        code="version_conflict",
        status=412,
    )
    assert document["current_version"] == version + 1
    (entry,) = document["changes"]
    assert entry["type"] == "user.renamed"
    assert entry["by"] == {"id": admin.id, "name": admin.name}
    assert entry["at"]
    assert entry["fields"] == {"name": {"old": member.name, "new": "Changed Meanwhile"}}
    change = owner.client.patch(path, {"name": "Mine"}, headers={"If-Match": f'"{version + 1}"'})
    check_change(change, "user.renamed")
    assert change["user"]["version"] == version + 2 == change["events"][0]["version"]


@pytest.mark.parametrize("etag", ["x", '"x"', "17", 'W/"1"', '""'])
def test_an_if_match_that_fits_no_version_changes_nothing(
    acme: Org, owner: Person, member: Person, etag: str
) -> None:
    answer = owner.client.send("PATCH", f"/v1/users/{member.id}", {"name": "No"}, headers={"If-Match": etag})
    assert answer.status_code in (400, 412), answer.text
    assert acme.user(member.id)["name"] == member.name


def test_a_dry_run_answers_alike_and_writes_nothing(acme: Org, owner: Person, member: Person) -> None:
    before = acme.user(member.id)
    dry = owner.client.post(f"/v1/users/{member.id}/deactivate", params={"dry_run": "true"})
    assert dry["position"] is None
    assert [event["type"] for event in dry["events"]] == ["user.deactivated", *SESSION_GONE]
    assert all(event["id"] is None and event["version"] is None for event in dry["events"])
    assert dry["effects"]["sessions_ended"] == 1
    assert acme.user(member.id) == before
    member.client.get("/v1/me")
    real = owner.client.post(f"/v1/users/{member.id}/deactivate")
    assert real["effects"].keys() == dry["effects"].keys()
    assert real["effects"]["sessions_ended"] == dry["effects"]["sessions_ended"]


def test_a_dry_run_asks_neither_confirmation_nor_confirm_and_ignores_the_key(
    acme: Org, owner: Person, member: Person
) -> None:
    headers, path = key(), f"/v1/users/{member.id}"
    owner.client.call("DELETE", path, params={"dry_run": "true"}, headers=headers)
    real = owner.client.send("DELETE", path, {"confirm": member.email}, headers=headers)
    assert real.status_code == 200
    assert "Idempotency-Replayed" not in real.headers


def test_a_refused_dry_run_is_audited_like_the_act(acme: Org, admin: Person, owner: Person) -> None:
    answer = admin.client.send("POST", f"/v1/users/{owner.id}/deactivate", params={"dry_run": "true"})
    request = problem(answer, "owner_protected", 403)["request_id"]
    records = audit_of(owner.client, answer.headers["Muster-Position"], actor=admin.id, outcome="refused")
    assert request in {record["request_id"] for record in records}


def test_a_dry_run_elsewhere_is_refused(acme: Org, owner: Person, member: Person) -> None:
    assert member.client.send("PATCH", "/v1/me?dry_run=true", {"name": "X"}).status_code == 400
    assert member.client.send("POST", "/v1/sign-out?dry_run=true").status_code == 400
    member.client.get("/v1/me")


def test_a_reason_longer_than_500_characters_is_refused(owner: Person, member: Person) -> None:
    path = f"/v1/users/{member.id}/deactivate"
    owner.client.refused("POST", path, {"reason": "x" * 501}, code="invalid_request", status=400)
    owner.client.post(path, {"reason": "x" * 500})


def test_merge_patch_is_accepted_and_null_takes_away(acme: Org, owner: Person, member: Person) -> None:
    path = f"/v1/users/{member.id}"
    owner.client.patch(path, {"phone": "+4930123456", "timezone": "Europe/Berlin"})
    headers = {"Content-Type": "application/merge-patch+json"}
    change = owner.client.patch(path, {"phone": None}, headers=headers)
    check_change(change, "user.phone_changed")
    assert change["user"]["phone"] is None
    assert change["user"]["timezone"] == "Europe/Berlin"


def test_email_and_username_share_one_namespace(acme: Org, owner: Person, member: Person) -> None:
    taken = f"shared.{member.id[-8:]}"
    owner.client.patch(f"/v1/users/{member.id}", {"username": taken})
    other = acme.join()
    path = f"/v1/users/{other.id}"
    for same in (taken, taken.upper()):
        owner.client.refused("PATCH", path, {"username": same}, code="username_taken", status=409)
    owner.client.refused("PATCH", path, {"username": "has@sign"}, code="invalid_request", status=400)
    for same in (member.email, member.email.upper()):
        owner.client.refused(
            "POST", "/v1/users", {"email": same, "name": "N"}, code="email_taken", status=409
        )
    assert acme.sign_in(taken.upper(), member.password)[1]["next"] == "done"


def test_of_parallel_invitations_of_one_address_one_wins(acme: Org, owner: Person) -> None:
    email = f"race.{secrets.token_hex(4)}@e2e.example"
    given = [{"email": email if n % 2 else email.upper(), "name": f"Race {n}"} for n in range(8)]
    answers = together(*[lambda one=one: owner.client.send("POST", "/v1/users", one) for one in given])
    assert sorted(codes_of(answers)) == ["201"] + ["409 email_taken"] * 7


def test_a_key_is_looked_up_before_the_user_is(acme: Org, owner: Person, member: Person) -> None:
    headers, path, body = key(), f"/v1/users/{member.id}", {"confirm": member.email}
    first = owner.client.send("DELETE", path, body, headers=headers)
    again = owner.client.send("DELETE", path, body, headers=headers)
    assert (again.status_code, again.content) == (200, first.content)
    owner.client.refused("DELETE", path, body, code="not_found", status=404)


def test_what_can_be_mended_is_not_kept_under_a_key(acme: Org, owner: Person, member: Person) -> None:
    """Not kept: 401, `confirmation_required`, 412, 429, 5xx."""
    headers, path, body = key(), f"/v1/users/{member.id}", {"name": "After All"}
    stale = headers | {"If-Match": '"1"'}
    owner.client.refused("PATCH", path, body, headers=stale, code="version_conflict", status=412)
    check_change(owner.client.patch(path, body, headers=headers), "user.renamed")
    boss = acme.join("admin")
    earlier = boss.client
    app = acme.enter(boss).enroll().app
    assert app is not None
    headers, path = key(), f"{path}/reset-password"
    earlier.refused("POST", path, headers=headers, code="confirmation_required", status=403)
    earlier.post("/v1/me/confirm", {"code": app.code()}, status=204)
    check_change(earlier.post(path, headers=headers), "password.reset_requested", *SESSION_GONE)


def test_confirmation_comes_before_the_version_and_that_before_the_rest(acme: Org, member: Person) -> None:
    boss = acme.join("admin")
    earlier = boss.client
    acme.enter(boss).enroll()
    path, stale = f"/v1/users/{member.id}", {"If-Match": '"1"'}
    wrong = {"confirm": "wrong"}
    boss.client.refused(
        "POST", f"/v1/users/{boss.id}/deactivate", headers=stale, code="self_action", status=403
    )
    earlier.refused("DELETE", path, wrong, headers=stale, code="confirmation_required", status=403)
    boss.client.refused("DELETE", path, wrong, headers=stale, code="version_conflict", status=412)
    boss.client.refused("DELETE", path, wrong, code="confirmation_mismatch", status=422)
    earlier.refused("POST", f"{path}/reset-mfa", code="confirmation_required", status=403)
    boss.client.refused("POST", f"{path}/reset-mfa", headers=stale, code="version_conflict", status=412)
    boss.client.refused(
        "PATCH", path, {"name": member.name}, headers=stale, code="version_conflict", status=412
    )
