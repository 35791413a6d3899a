"""API keys: pure decisions, in the order of checks of api.md §2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from muster_contracts.api_keys import ApiKeyCreated, ApiKeyRevoked
from muster_contracts.events import Event, Ref

from services.identity import rules
from services.identity.rules import By


@dataclass(frozen=True, slots=True)
class Make:
    """A new key; `service` is the account that it signs in as, None: the maker themself."""

    by: By
    key: str
    name: str
    permissions: frozenset[str]
    expires_at: datetime | None
    user: str
    service: Ref | None


@dataclass(frozen=True, slots=True)
class Owner:
    """The person whose personal key is about to be revoked, with what they hold."""

    user: str
    permissions: frozenset[str]
    is_owner: bool


def make(command: Make) -> list[Event]:
    """The key, never with more than its maker holds. Raises PermissionNotHeld, ConfirmationRequired."""
    by = command.by
    if lacking := sorted(command.permissions - by.permissions):
        raise rules.PermissionNotHeld(missing_permission=lacking[0])
    rules.check_confirmed(by)
    return [
        ApiKeyCreated(
            key=command.key, name=command.name, user=command.user, service=command.service,
            permissions=tuple(sorted(command.permissions)), expires_at=command.expires_at,
        )
    ]  # fmt: skip


def revoke(by: By, key: str, name: str, user: str | None, owner: Owner | None) -> list[Event]:
    """End a key.

    Args:
        by: who asks.
        key: its id.
        name: what it was called.
        user: the person in whose name it is, where there still is one.
        owner: of a personal key; None: it belongs to a service account, and so to the organization.

    Raises:
        OwnerProtected, TargetOutranks: it is someone's own whom the caller may not act on.
    """
    if owner is not None and owner.user != by.id:
        rules.check_rank(by, owner.permissions, target_is_owner=owner.is_owner)
    return [ApiKeyRevoked(key=key, name=name, user=user, cause="revoked")]
