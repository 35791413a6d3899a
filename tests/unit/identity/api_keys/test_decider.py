"""Deciders of API keys."""

from __future__ import annotations

import pytest
from muster_contracts.api_keys import ApiKeyCreated, ApiKeyRevoked
from muster_contracts.events import Ref

from services.identity import permissions as rights
from services.identity.api_keys.decider import Make, Owner, make, revoke
from services.identity.rules import (
    By,
    ConfirmationRequired,
    OwnerProtected,
    PermissionNotHeld,
    TargetOutranks,
)

CLERK = frozenset({"api_keys.manage", "users.read"})
BY = By("usr_c", CLERK, is_owner=False, confirmed=True)


def asked(by: By = BY, *permissions: str, service: Ref | None = None) -> Make:
    return Make(by, "key_1", "Export", frozenset(permissions), None, "usr_c", service)


def test_a_key_is_in_the_name_of_its_maker_or_of_a_service_account() -> None:
    service = Ref(id="svc_1", name="Nightly export")
    for account in (None, service):
        assert make(asked(BY, "users.read", service=account)) == [
            ApiKeyCreated(
                key="key_1", name="Export", user="usr_c", service=account, permissions=("users.read",),
                expires_at=None,
            )
        ]  # fmt: skip


def test_a_key_never_holds_more_than_its_maker() -> None:
    with pytest.raises(PermissionNotHeld) as refusal:
        make(asked(BY, "users.read", "users.delete"))
    assert refusal.value.members["missing_permission"] == "users.delete"


def test_making_a_key_needs_a_fresh_proof() -> None:
    with pytest.raises(ConfirmationRequired):
        make(asked(By("usr_c", CLERK, is_owner=False), "users.read"))


def test_anyones_key_may_be_revoked_unless_its_owner_outranks() -> None:
    revoked = [ApiKeyRevoked(key="key_1", name="Export", user="usr_x", cause="revoked")]
    equal = Owner("usr_x", CLERK, is_owner=False)
    assert revoke(BY, "key_1", "Export", "usr_x", equal) == revoked
    with pytest.raises(TargetOutranks):
        revoke(BY, "key_1", "Export", "usr_x", Owner("usr_x", rights.ALL, is_owner=False))
    with pytest.raises(OwnerProtected):
        revoke(BY, "key_1", "Export", "usr_x", Owner("usr_x", rights.ALL, is_owner=True))


def test_the_key_of_a_service_account_belongs_to_the_organization() -> None:
    assert revoke(BY, "key_1", "Export", "usr_x", None)


def test_ones_own_key_may_always_be_revoked() -> None:
    mine = Owner("usr_c", rights.ALL, is_owner=True)
    assert revoke(BY, "key_1", "Export", "usr_c", mine)
