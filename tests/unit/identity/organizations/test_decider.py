"""Deciders of organizations: given the settings, when asked, then events or a refusal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from muster_contracts.events import Change
from muster_contracts.organizations import OrganizationCreated, OrganizationSettingsChanged
from muster_contracts.roles import RoleCreated
from muster_contracts.users import InvitationSent, UserCreated

from services.identity import permissions as rights
from services.identity.organizations.decider import (
    ChangeSettings,
    Create,
    SlugTaken,
    WouldLockYouOut,
    change,
    create,
)
from services.identity.organizations.settings import OrganizationSettings
from services.identity.rules import By, ConfirmationRequired, OwnerProtected, VersionConflict
from services.identity.users.decider import NewLink

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ACME = OrganizationSettings("org_a", "acme", "Acme", version=3)
OWNER = By("usr_o", rights.ALL, is_owner=True, confirmed=True)
ADMIN = By("usr_a", rights.ALL, is_owner=False, confirmed=True)


def creation(**more: Any) -> Create:
    roles = {"owner": "rol_1", "admin": "rol_2", "member": "rol_3"}
    link = NewLink("lnk_1", NOW)
    return Create("org_a", "acme", "Acme", roles, "usr_o", "olga@acme.example", "Olga", link, **more)


def asking(by: By = OWNER, *, enrolled: bool = False, version: int | None = None, **settings: Any) -> Any:
    return change(ACME, ChangeSettings(by, settings, enrolled, version))


def test_a_new_organization_has_three_roles_and_an_invited_owner() -> None:
    events = create(creation())
    assert [type(event) for event in events] == [
        OrganizationCreated, RoleCreated, RoleCreated, RoleCreated, UserCreated, InvitationSent,
    ]  # fmt: skip
    roles = [event for event in events if isinstance(event, RoleCreated)]
    assert [role.builtin for role in roles] == ["owner", "admin", "member"]
    assert [role.name for role in roles] == ["Owner", "Admin", "Member"]
    assert set(roles[0].permissions) == rights.ALL
    user = next(event for event in events if isinstance(event, UserCreated))
    assert (user.role.id, user.status) == ("rol_1", "invited")


def test_a_slug_names_one_organization() -> None:
    with pytest.raises(SlugTaken):
        create(creation(taken=True))


def test_an_admin_changes_name_and_support_contact() -> None:
    assert asking(ADMIN, name="Acme Inc.", support_contact="help@acme.example") == [
        OrganizationSettingsChanged(
            organization="org_a",
            name=Change(old="Acme", new="Acme Inc."),
            support_contact=Change(old=None, new="help@acme.example"),
        )
    ]


def test_what_stays_as_it_is_makes_no_event() -> None:
    assert asking(ADMIN, name="Acme") == []
    assert asking(OWNER, mfa_enforced=False) == []
    assert asking(OWNER, name="New", mfa_enforced=False) == [
        OrganizationSettingsChanged(organization="org_a", name=Change(old="Acme", new="New"))
    ]


def test_only_an_owner_touches_an_owners_setting_even_where_it_stays() -> None:
    for value in (True, False):
        with pytest.raises(OwnerProtected) as refusal:
            asking(ADMIN, mfa_enforced=value, enrolled=True)
        assert refusal.value.members["rule"] == "owner_protected"


def test_changes_need_a_fresh_proof() -> None:
    with pytest.raises(ConfirmationRequired):
        asking(By("usr_o", rights.ALL, is_owner=True), name="New")


def test_a_stale_version_is_refused() -> None:
    with pytest.raises(VersionConflict):
        asking(name="New", version=2)
    assert asking(name="New", version=3)


def test_a_second_factor_is_enforced_only_by_someone_who_has_one() -> None:
    with pytest.raises(WouldLockYouOut):
        asking(mfa_enforced=True)
    assert asking(mfa_enforced=True, enrolled=True) == [
        OrganizationSettingsChanged(organization="org_a", mfa_enforced=Change(old=False, new=True))
    ]


def test_enforcing_what_is_enforced_changes_nothing_for_whom_ever() -> None:
    enforced = OrganizationSettings("org_a", "acme", "Acme", mfa_enforced=True)
    assert change(enforced, ChangeSettings(OWNER, {"mfa_enforced": True}, enrolled=False)) == []
    off = change(enforced, ChangeSettings(OWNER, {"mfa_enforced": False}, enrolled=False))
    assert off == [
        OrganizationSettingsChanged(organization="org_a", mfa_enforced=Change(old=True, new=False))
    ]
