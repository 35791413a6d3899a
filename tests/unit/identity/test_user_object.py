"""The object `user` that answers, lists and the directory show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from muster_contracts.events import Ref

from services.identity.users.view import user_object

FACTOR = {"id": "fac_1", "type": "totp", "added_at": "2026-11-24T10:00:00.000000Z"}
ROW: dict[str, Any] = {
    "id": "usr_1", "org": "org_1", "email": "ada@acme.example", "name": "Ada", "username": None, "phone": None,
    "timezone": "Europe/Vienna", "labels": ["blue"], "role": "rol_1", "status": "active", "accepted": True,
    "has_password": True, "factors": [], "recovery_codes": 0, "search": "ada", "version": 3,
    "created_at": datetime(2026, 11, 24, 12, 0, tzinfo=timezone(timedelta(hours=1))),
    "last_sign_in_at": None, "password_changed_at": datetime(2026, 11, 24, 12, 0, 0, 5, tzinfo=UTC),
}  # fmt: skip


def shown(**changes: Any) -> dict[str, Any]:
    return user_object(ROW | changes, Ref(id="rol_1", name="Member"))


def test_it_has_exactly_the_promised_fields():
    assert shown() == {
        "id": "usr_1", "email": "ada@acme.example", "name": "Ada", "username": None, "phone": None,
        "timezone": "Europe/Vienna", "role": {"id": "rol_1", "name": "Member"}, "status": "active",
        "mfa": {"status": "not_enabled", "factors": []}, "labels": ["blue"],
        "created_at": "2026-11-24T11:00:00.000000Z", "last_sign_in_at": None,
        "password_changed_at": "2026-11-24T12:00:00.000005Z", "version": 3,
    }  # fmt: skip


def test_mfa_is_enabled_by_a_factor():
    assert shown(factors=[FACTOR])["mfa"] == {"status": "enabled", "factors": [FACTOR]}


def test_mfa_is_enabled_by_unused_recovery_codes_alone():
    assert shown(recovery_codes=1)["mfa"] == {"status": "enabled", "factors": []}
