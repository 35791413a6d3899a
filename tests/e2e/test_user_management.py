"""The first reference text, "User Management", sentence by sentence; what only a page can show is not here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.e2e.acts import RFC_3339_UTC, audit_of, types
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Org, Person, new_password


def test_only_visible_to_organization_administrators(acme: Org, member: Person) -> None:
    """This page is only visible to organization administrators."""
    document = member.client.refused("GET", "/v1/users", code="permission_missing", status=403)
    assert document["missing_permission"] == "users.read"
    assert "who_can" not in document  # who may not read users learns no names


def test_the_table_shows_name_email_role_status_and_created(acme: Org, owner: Person, member: Person) -> None:
    """Name, Email, Role, Status (Active or Inactive), Created: When the user was added."""
    (row,) = owner.client.get("/v1/users", q=member.email)["data"]
    assert (row["name"], row["email"], row["status"]) == (member.name, member.email, "active")
    assert row["role"]["name"] == "Member"
    assert RFC_3339_UTC.fullmatch(row["created_at"])


def test_edit_name_role_and_active_in_one_save(acme: Org, owner: Person, member: Person) -> None:
    """Name: Update the user's name. Role: Change between Admin and Member. Active: Enable or disable."""
    asked = {"name": "Another Name", "role": "admin", "active": True}
    assert types(owner.client.patch(f"/v1/users/{member.id}", asked)) == ["user.renamed", "user.role_changed"]
    assert acme.user(member.id)["role"]["name"] == "Admin"
    back = owner.client.patch(f"/v1/users/{member.id}", {"role": "member"})
    assert types(back) == ["user.role_changed"]
    assert acme.user(member.id)["name"] == "Another Name"


def test_after_an_mfa_reset_mfa_is_disabled_and_recovery_codes_are_deleted(
    acme: Org, owner: Person, member: Person
) -> None:
    """The user's MFA is disabled and recovery codes are deleted."""
    member.enroll()
    owner.client.post(f"/v1/users/{member.id}/reset-mfa")
    assert acme.user(member.id)["mfa"] == {"status": "not_enabled", "factors": []}
    acme.enter(member)
    member.enroll()
    half, answer = acme.sign_in(member.email, member.password)
    assert answer["next"] == "otp"
    half.post("/v1/sign-in/otp", {"recovery_code": member.recovery_codes[0]})


def test_after_an_mfa_reset_they_can_sign_in_with_just_their_password(
    acme: Org, owner: Person, member: Person
) -> None:
    """They can sign in with just their password."""
    member.enroll()
    assert acme.sign_in(member.email, member.password)[1]["next"] == "otp"
    owner.client.post(f"/v1/users/{member.id}/reset-mfa")
    assert acme.sign_in(member.email, member.password)[1]["next"] == "done"


def test_after_an_mfa_reset_old_recovery_codes_are_dead(acme: Org, owner: Person, member: Person) -> None:
    """Recovery codes are deleted."""
    old = member.enroll().recovery_codes[0]
    owner.client.post(f"/v1/users/{member.id}/reset-mfa")
    acme.enter(member).enroll()
    half, _ = acme.sign_in(member.email, member.password)
    half.refused("POST", "/v1/sign-in/otp", {"recovery_code": old}, code="code_refused", status=401)


def test_if_organization_mfa_is_enforced_they_are_prompted_to_set_it_up(strict_org: Org) -> None:
    """If organization MFA is enforced, they'll be prompted to set up MFA again on next login."""
    person = strict_org.accept(strict_org.invite())
    person.client, answer = strict_org.sign_in(person.email, person.password)
    assert answer["next"] == "enroll"
    person.enroll()
    person.client.get("/v1/me")
    strict_org.owner.client.post(f"/v1/users/{person.id}/reset-mfa")
    half, answer = strict_org.sign_in(person.email, person.password)
    assert answer["next"] == "enroll"
    half.refused("GET", "/v1/me/sessions", code="enrollment_required", status=401)
    person.client = half
    person.enroll()
    assert person.client.get("/v1/me")["mfa"]["status"] == "enabled"


def test_the_user_receives_a_password_reset_email(
    acme: Org, owner: Person, member: Person, mailbox: Mailbox
) -> None:
    """The user receives a password reset email."""
    owner.client.post(f"/v1/users/{member.id}/reset-password")
    mail = mailbox.wait(member.email, link="reset-password")
    assert mail["to"] == member.email
    assert "password" in mail["subject"].lower()
    assert member.name in mail["text"]


def test_when_deactivated_all_active_sessions_are_immediately_terminated(
    acme: Org, owner: Person, member: Person
) -> None:
    """All active sessions are immediately terminated."""
    first = member.client
    second = acme.enter(member).client
    owner.client.patch(f"/v1/users/{member.id}", {"active": False})
    for session in (first, second):
        session.refused("GET", "/v1/me", code="unauthenticated", status=401)
    assert owner.client.get(f"/v1/users/{member.id}/sessions")["data"] == []


def test_when_deactivated_ip_rules_for_their_sessions_are_revoked(
    acme: Org, owner: Person, member: Person
) -> None:
    """IP rules for their sessions are revoked."""
    (rule,) = [r for r in _rules(acme) if r["user"] == member.id]
    assert (rule["session"], rule["network"]) == (member.session["id"], "127.0.0.1/32")
    assert rule["id"].startswith("ipr_")
    owner.client.patch(f"/v1/users/{member.id}", {"active": False})
    assert not [r for r in _rules(acme) if r["user"] == member.id]


def test_when_deactivated_they_cannot_sign_in(acme: Org, owner: Person, member: Person) -> None:
    """They cannot sign in. Their status changes to Inactive."""
    owner.client.patch(f"/v1/users/{member.id}", {"active": False})
    assert acme.try_sign_in(member.email, member.password).status_code == 401
    assert acme.user(member.id)["status"] == "inactive"


def test_to_reactivate_check_active_again(acme: Org, owner: Person, member: Person) -> None:
    """To reactivate, check the Active checkbox again and click Save."""
    owner.client.patch(f"/v1/users/{member.id}", {"active": False})
    assert types(owner.client.patch(f"/v1/users/{member.id}", {"active": True})) == ["user.reactivated"]
    acme.enter(member)


def test_deleting_a_user_is_irreversible(acme: Org, owner: Person, member: Person) -> None:
    """Confirm the deletion. Deleting a user is irreversible."""
    owner.client.refused("DELETE", f"/v1/users/{member.id}", code="confirmation_mismatch", status=422)
    owner.client.delete(f"/v1/users/{member.id}", {"confirm": member.email})
    for verb in ("reactivate", "deactivate", "reset-mfa", "reset-password", "resend-invitation"):
        owner.client.refused("POST", f"/v1/users/{member.id}/{verb}", code="not_found", status=404)
    again = acme.invite(email=member.email)  # the address is free again, for another person
    assert again["id"] != member.id


def test_the_last_administrator_cannot_be_deleted(other_org: Org) -> None:
    """You cannot delete the last administrator in an organization."""
    owner = other_org.owner
    other_org.join()
    document = owner.client.refused(
        "DELETE", f"/v1/users/{owner.id}", {"confirm": owner.email}, code="last_administrator", status=409
    )
    assert document["detail"] == "You cannot delete the last administrator in an organization."
    assert document["rule"]
    owner.client.get("/v1/me")


def test_the_last_owner_cannot_go_while_other_administrators_remain(acme: Org, other_org: Org) -> None:
    """Several users may hold Owner; an org always has at least one who can sign in (spec, lock-out guard)."""
    owner = other_org.owner
    admin = other_org.join("admin")
    for method, path, body in (
        ("POST", "deactivate", None),
        ("PATCH", "", {"active": False}),
        ("PATCH", "", {"role": "member"}),
        ("DELETE", "", {"confirm": owner.email}),
    ):
        url = f"/v1/users/{owner.id}/{path}".rstrip("/")
        owner.client.refused(method, url, body, code="last_owner", status=409)
    owner.client.delete(f"/v1/users/{admin.id}", {"confirm": admin.email})


def test_the_last_administrator_keeps_a_password_that_works(other_org: Org) -> None:
    """A reset that takes the password away at once would lock everybody out (spec, lock-out guard)."""
    owner = other_org.owner
    path = f"/v1/users/{owner.id}/reset-password"
    owner.client.refused("POST", path, code="last_administrator", status=409)
    assert types(owner.client.post(path, {"revoke_now": False})) == ["password.reset_requested"]
    other_org.enter(owner)


def test_user_management_actions_are_in_the_audit_log_with_identity_timestamp_and_address(
    acme: Org, admin: Person
) -> None:
    """All user management actions (MFA reset, password reset, deactivation, deletion) are recorded."""
    with ThreadPoolExecutor(1) as one:
        target = one.submit(acme.join).result()
    target.enroll()
    path = f"/v1/users/{target.id}"
    changes = [
        admin.client.post(f"{path}/reset-mfa"),
        admin.client.post(f"{path}/reset-password"),
        admin.client.post(f"{path}/deactivate"),
        admin.client.delete(path, {"confirm": target.email}),
    ]
    records = audit_of(acme.owner.client, changes[-1]["position"], actor=admin.id, target=target.id)
    found = [record["type"] for record in reversed(records)]
    assert [t for t in found if t.startswith(("mfa", "password", "user"))] == [
        *("mfa.reset", "password.reset_requested", "user.deactivated", "user.deleted")
    ]
    for record in records:
        assert record["actor"] == {"type": "user", "id": admin.id, "name": admin.name}
        assert RFC_3339_UTC.fullmatch(record["occurred_at"])
        assert record["ip"] == "127.0.0.1"
        assert target.name in record["sentence"] or not record["type"].startswith("user")


def test_a_new_password_is_the_persons_own(
    acme: Org, owner: Person, member: Person, mailbox: Mailbox
) -> None:
    """The administrator never sees a password, and none is set for anyone (spec, Reset password)."""
    document = owner.client.refused(
        "PATCH", f"/v1/users/{member.id}", {"password": new_password()}, code="invalid_request", status=400
    )
    assert document["errors"][0]["pointer"] == "/password"


def _rules(acme: Org) -> list[dict[str, str]]:
    rules: list[dict[str, str]] = []
    page = acme.owner.client.get("/v1/ip-rules", limit=200)
    rules += page["data"]
    while page["next_cursor"]:
        page = acme.owner.client.get("/v1/ip-rules", limit=200, cursor=page["next_cursor"])
        rules += page["data"]
    return rules
