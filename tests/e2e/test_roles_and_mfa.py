"""The second reference text, "Users, Roles & MFA", sentence by sentence."""

from __future__ import annotations

import pytest

from tests.e2e.acts import types
from tests.e2e.client import Json
from tests.e2e.people import RUN, Org, Person

ACTS: tuple[tuple[str, str, Json | None], ...] = (
    ("PATCH", "", {"name": "Taken Over"}),
    ("POST", "/deactivate", None),
    ("POST", "/reset-mfa", None),
    ("POST", "/reset-password", None),
    ("DELETE", "", {"confirm": "whoever@x.example"}),
)


def test_each_organization_starts_with_owner_admin_and_member(other_org: Org) -> None:
    """Each organization starts with three. There is exactly one Owner role per organization."""
    roles = other_org.owner.client.get("/v1/roles")["data"]
    assert sorted(role["name"] for role in roles) == ["Admin", "Member", "Owner"]
    by_name = {role["name"]: role for role in roles}
    assert set(by_name["Admin"]["permissions"]) <= set(by_name["Owner"]["permissions"])
    assert by_name["Member"]["permissions"] == []
    for role in roles:
        one = other_org.owner.client.get(f"/v1/roles/{role['id']}")
        assert one["id"] == role["id"]
        assert other_org.owner.client.get(f"/v1/roles/{role['name'].lower()}")["id"] == role["id"]


def test_every_member_holds_exactly_one_role(acme: Org, owner: Person) -> None:
    """Every member holds exactly one role."""
    rows = owner.client.get("/v1/users", limit=200)["data"]
    assert len(rows) >= 60
    assert all(row["role"].keys() == {"id", "name"} for row in rows)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize("role", ["owner", "admin", "member"])
def test_a_built_in_role_cannot_be_renamed_retuned_or_deleted(
    acme: Org, owner: Person, role: str, method: str
) -> None:
    """It can't be renamed, retuned, or deleted, so administration is never locked out."""
    before = owner.client.get(f"/v1/roles/{role}")
    body = {"name": "Other", "permissions": []} if method == "PATCH" else None
    answer = owner.client.send(method, f"/v1/roles/{role}", body)
    assert 400 <= answer.status_code < 500, answer.text  # 409 once custom roles exist
    assert owner.client.get(f"/v1/roles/{role}") == before


def test_an_owner_resets_mfa_for_any_member_including_other_owners(acme: Org, owner: Person) -> None:
    """Owner: the ability to reset MFA for any member (including other Owners)."""
    for role in ("owner", "admin", "member"):
        target = acme.join(role).enroll()
        assert types(owner.client.post(f"/v1/users/{target.id}/reset-mfa"))[0] == "mfa.reset"
        acme.enter(target)


def test_an_admin_resets_mfa_for_members_and_other_admins(acme: Org, admin: Person) -> None:
    """Admin: including resetting MFA for Members and other Admins."""
    for role in ("member", "admin"):
        target = acme.join(role).enroll()
        assert types(admin.client.post(f"/v1/users/{target.id}/reset-mfa"))[0] == "mfa.reset"


def test_only_owners_act_on_owners(acme: Org, admin: Person) -> None:
    """Admins act on Members and other Admins; only Owners act on Owners (spec §2)."""
    target = acme.join("owner").enroll()
    for method, path, body in ACTS:
        document = admin.client.refused(
            method, f"/v1/users/{target.id}{path}", body, code="owner_protected", status=403
        )
        assert document["rule"]
        assert acme.owner.id in {who["id"] for who in document["who_can"]} or len(document["who_can"]) == 5
        assert all(who.keys() == {"id", "name"} for who in document["who_can"])
    assert acme.user(target.id)["mfa"]["status"] == "enabled"
    target.client.get("/v1/me")


def test_only_an_owner_grants_or_takes_away_owner(acme: Org, admin: Person, member: Person) -> None:
    """Only an Owner grants or takes away Owner (spec §2)."""
    path = f"/v1/users/{member.id}"
    answer = admin.client.send("PATCH", path, {"role": "owner"})
    assert answer.status_code == 403
    assert answer.json()["code"] in ("owner_protected", "permission_not_held"), answer.text
    given = {"email": "owner.by.admin@x.example", "name": "N", "role": "owner"}
    assert admin.client.send("POST", "/v1/users", given).status_code == 403
    assert types(acme.owner.client.patch(path, {"role": "owner"})) == ["user.role_changed"]
    assert types(acme.owner.client.patch(path, {"role": "member"})) == ["user.role_changed"]


def test_a_member_has_no_administration_privileges(acme: Org, owner: Person, member: Person) -> None:
    """Member: a standard contributor without organization-administration privileges."""
    target = acme.join()
    assert member.client.get("/v1/me")["permissions"] == []
    for method, path, body in ACTS:
        document = member.client.refused(
            method, f"/v1/users/{target.id}{path}", body, code="permission_missing", status=403
        )
        assert document["missing_permission"].startswith("users.")
    for path in ("/v1/users", "/v1/roles", "/v1/organization", "/v1/api-keys", "/v1/ip-rules", "/v1/audit"):
        member.client.refused("GET", path, code="permission_missing", status=403)


def test_the_user_info_dialog_has_all_it_shows(acme: Org, owner: Person) -> None:
    """Username, Email, Phone, Timezone, MFA status, Password age, Role, Labels."""
    target = acme.join(username=f"info.{RUN}", phone="+4930123456", timezone="Europe/Berlin", labels=["x"])
    shown = acme.user(target.id)
    assert (shown["username"], shown["email"]) == (f"info.{RUN}", target.email)
    assert (shown["phone"], shown["timezone"], shown["labels"]) == ("+4930123456", "Europe/Berlin", ["x"])
    assert shown["mfa"] == {"status": "not_enabled", "factors": []}
    assert shown["password_changed_at"]
    assert shown["role"]["name"] == "Member"
    target.enroll()
    shown = acme.user(target.id)
    assert shown["mfa"]["status"] == "enabled"
    assert [factor["type"] for factor in shown["mfa"]["factors"]] == ["totp"]


def test_a_reset_is_only_possible_for_who_has_mfa_enabled(acme: Org, owner: Person, member: Person) -> None:
    """If a member's MFA status is Not Enabled, there's nothing to reset."""
    before = acme.user(member.id)["version"]
    owner.client.refused("POST", f"/v1/users/{member.id}/reset-mfa", code="mfa_not_enabled", status=409)
    assert acme.user(member.id)["version"] == before
    member.client.get("/v1/me")


def test_after_a_reset_the_user_is_not_prompted_and_can_set_mfa_up_again(
    acme: Org, owner: Person, member: Person
) -> None:
    """No longer prompted for an MFA code at login and can set MFA up again themselves."""
    member.enroll()
    owner.client.post(f"/v1/users/{member.id}/reset-mfa")
    acme.enter(member).enroll()
    half, answer = acme.sign_in(member.email, member.password)
    assert answer["next"] == "otp"
    assert member.app is not None
    full = half.post("/v1/sign-in/otp", {"code": member.app.code()})
    assert full["next"] == "done"
    assert acme.anyone.with_token(full["token"]).get("/v1/me")["id"] == member.id


def test_an_auth_app_is_offered_with_a_qr_code(acme: Org, member: Person) -> None:
    """Auth App (recommended): use an authenticator app to get auto-generated codes."""
    factor = member.client.post("/v1/me/factors", {"type": "totp"})
    assert factor["id"].startswith("fac_")
    assert factor["otpauth_uri"].startswith("otpauth://totp/")
    assert factor["secret"] in factor["otpauth_uri"]
    assert "<svg" in factor["qr_svg"]
    assert acme.user(member.id)["mfa"]["status"] == "not_enabled"  # not before its first code


def test_a_text_message_is_refused_while_no_provider_is_configured(acme: Org, member: Person) -> None:
    """Text Message: without a provider the method is disabled, with the reason (spec §5)."""
    answer = member.client.send("POST", "/v1/me/factors", {"type": "sms", "phone": "+4930123456"})
    assert answer.status_code in (400, 409), answer.text
    assert answer.json()["detail"]


def test_an_admin_manages_settings_people_and_content(acme: Org, admin: Person) -> None:
    """Admin: manages organization settings, people, and content."""
    permissions = set(admin.client.get("/v1/me")["permissions"])
    assert {"organization.manage", "users.edit", "users.create", "content.manage"} <= permissions
    change = admin.client.patch("/v1/organization", {"support_contact": "help@acme.example"})
    assert change["user"] is None
    assert change["organization"]["support_contact"] == "help@acme.example"
