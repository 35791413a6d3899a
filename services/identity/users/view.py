"""A user as others see it: the object that answers, lists and the directory topic show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from muster_contracts.events import Ref

from services.identity.users.projection import factor_objects
from services.identity.users.state import User
from services.kit.times import rfc3339


def user_object(row: Mapping[str, Any], role: Ref) -> dict[str, Any]:
    """Return the object `user` of the HTTP API.

    Args:
        row: of table `users`, with all columns.
        role: the user's role, with its name as it is now.
    """
    factors = [
        {"id": factor["id"], "type": factor["type"], "added_at": factor["added_at"]}
        for factor in row["factors"]
    ]
    return {
        "id": row["id"],
        "email": row["email"],
        "name": row["name"],
        "username": row["username"],
        "phone": row["phone"],
        "timezone": row["timezone"],
        "role": {"id": role.id, "name": role.name},
        "status": row["status"],
        "mfa": {
            "status": "enabled" if factors or row["recovery_codes"] else "not_enabled",
            "factors": factors,
        },
        "labels": list(row["labels"]),
        "created_at": rfc3339(row["created_at"]),
        "last_sign_in_at": rfc3339(row["last_sign_in_at"]),
        "password_changed_at": rfc3339(row["password_changed_at"]),
        "version": row["version"],
    }


def of_state(user: User, role: Ref) -> dict[str, Any]:
    """The same object, from the state that a decision has just led to."""
    return user_object(user._asdict() | {"factors": factor_objects(user)}, role)
