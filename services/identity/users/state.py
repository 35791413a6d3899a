"""A user as the log tells it: the state that deciders judge and that table `users` holds.

One fold for all of it (`evolve`): the row, the answer to a command and the rebuilt table are the same
function of the same events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from muster_contracts.credentials import (
    MfaEnrolled,
    MfaFactorRemoved,
    MfaReset,
    PasswordChanged,
    PasswordResetCompleted,
    PasswordResetRequested,
    RecoveryCodesGenerated,
    RecoveryCodesUsed,
)
from muster_contracts.events import Event
from muster_contracts.sessions import SessionEvent, SessionStarted
from muster_contracts.users import (
    InvitationAccepted,
    UserCreated,
    UserDeactivated,
    UserDeleted,
    UserEmailChanged,
    UserEvent,
    UserLabelsChanged,
    UserPhoneChanged,
    UserReactivated,
    UserRenamed,
    UserRoleChanged,
    UserTimezoneChanged,
    UserUsernameChanged,
)

ACTIVE, INACTIVE, INVITED = "active", "inactive", "invited"


@dataclass(frozen=True, slots=True)
class Factor:
    """A second proof in force."""

    id: str
    type: str
    added_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """One person in one organization; `role` is a role's id, `version` that of the `usr_` stream.

    `accepted` stays true once an invitation was accepted: an inactive person who never did is reactivated as
    invited.
    """

    id: str
    org: str
    email: str
    name: str
    username: str | None
    phone: str | None
    timezone: str | None
    labels: tuple[str, ...]
    role: str
    status: str
    accepted: bool
    has_password: bool
    factors: tuple[Factor, ...]
    recovery_codes: int
    created_at: datetime
    last_sign_in_at: datetime | None
    password_changed_at: datetime | None
    version: int

    @property
    def mfa_enabled(self) -> bool:
        return bool(self.factors) or self.recovery_codes > 0

    @property
    def can_sign_in(self) -> bool:
        """Active, with a password: what the lock-out guard counts."""
        return self.status == ACTIVE and self.has_password


def evolve(user: User | None, org: str, event: Event, at: datetime) -> User | None:
    """The user after this event; None after a deletion.

    Args:
        user: before it; None before `user.created`.
        org: of the event.
        event: any event about this user, of the `usr_` stream or of one of their sessions.
        at: when it occurred.
    """
    if isinstance(event, UserCreated):
        return _created(org, event, at)
    if user is None or isinstance(event, UserDeleted):
        return None
    if isinstance(event, SessionEvent):
        return replace(user, last_sign_in_at=at) if isinstance(event, SessionStarted) else user
    if not isinstance(event, UserEvent):
        return user
    return replace(_changed(user, event, at), version=user.version + 1)


def _created(org: str, event: UserCreated, at: datetime) -> User:
    return User(
        id=event.user, org=org, email=event.email or "", name=event.name or "", username=event.username,
        phone=event.phone, timezone=event.timezone, labels=event.labels or (), role=event.role.id,
        status=event.status, accepted=False, has_password=False, factors=(), recovery_codes=0, created_at=at,
        last_sign_in_at=None, password_changed_at=None, version=1,
    )  # fmt: skip


def _changed(user: User, event: UserEvent, at: datetime) -> User:  # noqa: C901 (a table of events)
    match event:
        case UserRenamed(name=change):
            return replace(user, name=change.new or "")
        case UserEmailChanged(email=change):
            return replace(user, email=change.new or "")
        case UserUsernameChanged(username=change):
            return replace(user, username=change.new)
        case UserPhoneChanged(phone=change):
            return replace(user, phone=change.new)
        case UserTimezoneChanged(timezone=change):
            return replace(user, timezone=change.new)
        case UserLabelsChanged(labels=change):
            return replace(user, labels=change.new or ())
        case UserRoleChanged(role=change):
            return replace(user, role=change.new.id if change.new else user.role)
        case UserDeactivated():
            return replace(user, status=INACTIVE)
        case UserReactivated(status=change):
            return replace(user, status=change.new or ACTIVE)
        case InvitationAccepted():
            return replace(user, status=ACTIVE, accepted=True)
        case _:
            return _proof_changed(user, event, at)


def _proof_changed(user: User, event: UserEvent, at: datetime) -> User:
    match event:
        case PasswordChanged() | PasswordResetCompleted():
            return replace(user, has_password=True, password_changed_at=at)
        case PasswordResetRequested(revoked=True):
            return replace(user, has_password=False)
        case MfaEnrolled(factor=factor, factor_type=kind):
            return replace(user, factors=(*user.factors, Factor(factor, kind, at)))
        case MfaFactorRemoved(factor=factor):
            left = tuple(f for f in user.factors if f.id != factor)
            # Recovery codes stand in for a factor: they go with the last one.
            return replace(user, factors=left, recovery_codes=user.recovery_codes if left else 0)
        case RecoveryCodesGenerated(count=count):
            return replace(user, recovery_codes=count)
        case RecoveryCodesUsed(remaining=remaining):
            return replace(user, recovery_codes=remaining)
        case MfaReset():
            return replace(user, factors=(), recovery_codes=0)
        case _:
            return user
