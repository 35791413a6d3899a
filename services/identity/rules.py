"""Rules that hold for every act on a person, each in one place, in the order in which they are checked.

Pure: what they need arrives as values, read together with the versions of the heads that guard them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from services.kit.errors import Conflict, Forbidden, Invalid, MusterError, Stale, Unprocessable


class RuleRefusal(MusterError):
    """A rule forbids this."""

    def __init__(self, **members: Any) -> None:
        super().__init__(members={"rule": self.code, **members})


class OwnerProtected(RuleRefusal, Forbidden):
    """Only an Owner acts on an Owner, and only an Owner grants or takes away Owner."""

    code = "owner_protected"


class TargetOutranks(RuleRefusal, Forbidden):
    """Nobody acts on someone whose permissions are not all their own."""

    code = "target_outranks"


class PermissionNotHeld(RuleRefusal, Forbidden):
    """Nobody grants a permission that they lack themselves."""

    code = "permission_not_held"


class LastAdministrator(RuleRefusal, Conflict):
    """You cannot delete the last administrator in an organization."""

    code = "last_administrator"


class LastOwner(RuleRefusal, Conflict):
    """An organization keeps at least one Owner who can sign in."""

    code = "last_owner"


class SelfAction(RuleRefusal, Forbidden):
    """Nobody does this to themself."""

    code = "self_action"


class ConfirmationRequired(RuleRefusal, Forbidden):
    """Confirm that it is you first: this asks for a fresh proof."""

    code = "confirmation_required"


class VersionConflict(Stale):
    """It was changed by someone else since you read it."""

    def __init__(self, current_version: int, asked: int) -> None:
        self.asked = asked
        super().__init__(members={"current_version": current_version})


class ConfirmationMismatch(RuleRefusal, Unprocessable):
    """The confirmation does not match."""

    code: ClassVar[str] = "confirmation_mismatch"


class LinkInvalid(Invalid):
    """This link does not work: it was used, replaced or has expired."""

    code = "link_invalid"


@dataclass(frozen=True, slots=True)
class By:
    """Who acts: a person by their user id (None for a service or an operator), with what they hold.

    `confirmed` is whether a fresh proof was given, or none is asked. `sovereign` is the system, an operator,
    or the person acting on their own account: rules about rank do not apply.
    """

    id: str | None
    permissions: frozenset[str]
    is_owner: bool
    confirmed: bool = False
    sovereign: bool = False


@dataclass(frozen=True, slots=True)
class Remaining:
    """Who can sign in beside the target: Active, with a password. Source: guarded by `owners:org_…`."""

    owners: int
    administrators: int


def check_rank(by: By, target: frozenset[str], *, target_is_owner: bool) -> None:
    """Whether `by` may act on someone who holds `target`. Raises OwnerProtected, TargetOutranks."""
    if by.sovereign:
        return
    if target_is_owner and not by.is_owner:
        raise OwnerProtected
    if not target <= by.permissions:
        raise TargetOutranks


def check_grant(by: By, granted: frozenset[str], *, grants_owner: bool, takes_owner: bool = False) -> None:
    """Whether `by` may give a role that holds `granted`. Raises OwnerProtected, PermissionNotHeld."""
    if by.sovereign:
        return
    if (grants_owner or takes_owner) and not by.is_owner:
        raise OwnerProtected
    if not granted <= by.permissions:
        raise PermissionNotHeld


def check_lockout(
    remaining: Remaining, *, owner_before: bool, owner_after: bool, admin_before: bool, admin_after: bool
) -> None:
    """The lock-out guard, judging the change: refused when someone could before and nobody could after.

    Args:
        remaining: who can sign in beside the target.
        owner_before: the target is an Owner who can sign in now.
        owner_after: … and would be afterwards.
        admin_before: the target can sign in and administer now.
        admin_after: … and could afterwards.

    Raises:
        LastAdministrator: nobody with administration rights would remain.
        LastOwner: administrators remain, but no Owner.
    """
    if admin_before and not admin_after and not remaining.administrators:
        raise LastAdministrator
    if owner_before and not owner_after and not remaining.owners:
        raise LastOwner if remaining.administrators or admin_after else LastAdministrator


def check_not_self(by: By, target: str) -> None:
    """Raises SelfAction."""
    if by.id == target and not by.sovereign:
        raise SelfAction


def check_confirmed(by: By) -> None:
    """Raises ConfirmationRequired."""
    if not (by.confirmed or by.sovereign):
        raise ConfirmationRequired


def check_version(current: int, expected: int | None) -> None:
    """Raises VersionConflict."""
    if expected is not None and expected != current:
        raise VersionConflict(current, expected)
