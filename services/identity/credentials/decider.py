"""What happens to a person's proofs: pure decisions, `decide(situation, command) -> events`.

The order of checks is that of api.md §2: rank → lock-out → self → confirmation → version → conflicts of state.
Whether a password or a code was right is decided before, and is no part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from muster_contracts.credentials import (
    Factor,
    MfaEnrolled,
    MfaFactorRemoved,
    MfaReset,
    PasswordChanged,
    PasswordResetCompleted,
    PasswordResetRequested,
    RecoveryCodesGenerated,
)
from muster_contracts.events import Change, Event
from muster_contracts.users import InvitationAccepted, UserRenamed

from services.identity import rules
from services.identity.rules import By, LinkInvalid
from services.identity.users.decider import NewLink, UserInactive
from services.identity.users.ending import end_sessions
from services.identity.users.situation import RESET, OpenLink, Situation
from services.identity.users.state import ACTIVE, INACTIVE, INVITED, User
from services.kit.errors import Conflict, NotFound

RECOVERY_CODES = 10


class MfaNotEnabled(Conflict):
    """There is no second factor to act on."""

    code = "mfa_not_enabled"


class UserInvited(Conflict):
    """This person has not accepted the invitation yet."""

    code = "user_invited"


class MethodUnavailable(Conflict):
    """Codes by text message are not offered here: no provider is configured."""

    code = "method_unavailable"


@dataclass(frozen=True, slots=True)
class ResetMfa:
    """By an administrator: every second proof of someone else goes."""

    by: By
    kill: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ResetPassword:
    """By an administrator: `revoke_now` also takes the old password and the sessions away."""

    by: By
    link: NewLink
    kill: str
    revoke_now: bool = True
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class RequestReset:
    """By whoever names the address: mail the open link again; `link` is used where none is open at `now`."""

    link: NewLink
    now: datetime


@dataclass(frozen=True, slots=True)
class CompleteReset:
    """By who holds the link."""

    link: str
    kill: str


@dataclass(frozen=True, slots=True)
class Accept:
    """By who holds the invitation; `name` as they write it themselves."""

    link: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """By its owner, in `session`, which stays."""

    session: str
    kill: str


@dataclass(frozen=True, slots=True)
class Activate:
    """By its owner: the first code of this factor was right."""

    factor: str
    kind: str


@dataclass(frozen=True, slots=True)
class RemoveFactor:
    """By its owner."""

    by: By
    factor: str


@dataclass(frozen=True, slots=True)
class RenewCodes:
    """By their owner: ten new recovery codes, the old ones are void."""

    by: By


Command = (
    ResetMfa
    | ResetPassword
    | RequestReset
    | CompleteReset
    | Accept
    | ChangePassword
    | Activate
    | RemoveFactor
    | RenewCodes
)


def decide(situation: Situation, command: Command) -> list[Event]:
    """The events that this command leads to.

    Raises:
        MusterError: the first rule in the order of checks that forbids it.
    """
    match command:
        case ResetMfa():
            return _reset_mfa(situation, command)
        case ResetPassword():
            return _reset_password(situation, command)
        case RequestReset():
            return _request_reset(situation, command)
        case CompleteReset():
            return _complete_reset(situation, command)
        case Accept():
            return _accept(situation, command)
        case ChangePassword():
            return _change_password(situation, command)
        case Activate():
            return activate(situation.user, command)
        case RemoveFactor():
            return _remove_factor(situation, command)
        case RenewCodes():
            return _renew_codes(situation, command)
        case _:
            assert_never(command)


def _reset_mfa(situation: Situation, command: ResetMfa) -> list[Event]:
    user, by = situation.user, command.by
    rules.check_rank(by, situation.role.permissions, target_is_owner=situation.role.is_owner)
    rules.check_not_self(by, user.id)
    rules.check_confirmed(by)
    rules.check_version(user.version, command.expected_version)
    if not user.mfa_enabled:
        raise MfaNotEnabled
    reset = MfaReset(
        user=user.id,
        factors=tuple(Factor(id=factor.id, type=factor.type) for factor in user.factors),
        recovery_codes_deleted=user.recovery_codes,
        kill=command.kill,
    )
    return [reset, *end_sessions(user.id, situation.sessions, "mfa_reset", command.kill)]


def _reset_password(situation: Situation, command: ResetPassword) -> list[Event]:
    user, by, role = situation.user, command.by, situation.role
    rules.check_rank(by, role.permissions, target_is_owner=role.is_owner)
    if command.revoke_now:
        able = user.can_sign_in
        rules.check_lockout(
            situation.remaining,
            owner_before=able and role.is_owner,
            owner_after=False,
            admin_before=able and role.administers,
            admin_after=False,
        )
    rules.check_confirmed(by)
    rules.check_version(user.version, command.expected_version)
    if user.status == INACTIVE:
        raise UserInactive
    if user.status == INVITED:
        raise UserInvited
    kill = command.kill if command.revoke_now else None
    requested = _requested(user, command.link, by_admin=True, revoked=command.revoke_now, kill=kill)
    ended = end_sessions(user.id, situation.sessions, "password_reset", kill) if kill else []
    return [requested, *ended]


def _requested(
    user: User, link: NewLink, *, by_admin: bool = False, revoked: bool = False, kill: str | None = None
) -> PasswordResetRequested:
    return PasswordResetRequested(
        user=user.id, link=link.id, expires_at=link.expires_at, by_admin=by_admin, revoked=revoked, kill=kill,
        email=user.email,
    )  # fmt: skip


def _request_reset(situation: Situation, command: RequestReset) -> list[Event]:
    """Nothing for who cannot use it: what is answered is the same."""
    user = situation.user
    if user.status != ACTIVE:
        return []
    open_link = open_reset(situation, command.now)
    link = NewLink(open_link.id, open_link.expires_at) if open_link else command.link
    return [_requested(user, link)]


def open_reset(situation: Situation, now: datetime) -> OpenLink | None:
    """The reset link that was mailed and still works."""
    links = (link for link in situation.links if link.kind == RESET and link.expires_at > now)
    return next(links, None)


def _complete_reset(situation: Situation, command: CompleteReset) -> list[Event]:
    user = situation.user
    if user.status != ACTIVE:
        raise LinkInvalid
    completed = PasswordResetCompleted(user=user.id, link=command.link, kill=command.kill)
    return [completed, *end_sessions(user.id, situation.sessions, "password_reset", command.kill)]


def _accept(situation: Situation, command: Accept) -> list[Event]:
    user = situation.user
    if user.status != INVITED:
        raise LinkInvalid
    events: list[Event] = [
        InvitationAccepted(user=user.id, link=command.link, status=Change(old=INVITED, new=ACTIVE)),
        PasswordChanged(user=user.id, kill=None),
    ]
    if command.name and command.name != user.name:
        events.append(UserRenamed(user=user.id, name=Change(old=user.name, new=command.name)))
    return events


def _change_password(situation: Situation, command: ChangePassword) -> list[Event]:
    user = situation.user.id
    others = [live for live in situation.sessions if live.id != command.session]
    changed = PasswordChanged(user=user, kill=command.kill)
    return [changed, *end_sessions(user, others, "password_changed", command.kill)]


def activate(user: User, command: Activate) -> list[Event]:
    """The factor counts from now on; recovery codes come with the first one, and where none are left."""
    enrolled = MfaEnrolled(user=user.id, factor=command.factor, factor_type=command.kind)
    if user.recovery_codes:
        return [enrolled]
    return [enrolled, RecoveryCodesGenerated(user=user.id, count=RECOVERY_CODES)]


def _remove_factor(situation: Situation, command: RemoveFactor) -> list[Event]:
    user = situation.user
    factor = next((f for f in user.factors if f.id == command.factor), None)
    if factor is None:
        raise NotFound
    rules.check_confirmed(command.by)
    return [MfaFactorRemoved(user=user.id, factor=factor.id, factor_type=factor.type)]


def _renew_codes(situation: Situation, command: RenewCodes) -> list[Event]:
    rules.check_confirmed(command.by)
    if not situation.user.factors:
        raise MfaNotEnabled
    return [RecoveryCodesGenerated(user=situation.user.id, count=RECOVERY_CODES)]
