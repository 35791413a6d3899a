"""What an administrator does to a person: pure decisions, `decide(situation, command) -> events`.

Every branch follows the order of checks of api.md §2: rank → lock-out → self → confirmation → version →
confirmation text → no-op → conflicts of state. A repeat returns no events.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from muster_contracts.events import Change, Event, Ref
from muster_contracts.users import (
    InvitationSent,
    InvitationVoided,
    UserCreated,
    UserDeactivated,
    UserDeleted,
    UserLabelsChanged,
    UserPhoneChanged,
    UserReactivated,
    UserRenamed,
    UserRoleChanged,
    UserTimezoneChanged,
    UserUsernameChanged,
)

from services.identity import rules
from services.identity.rules import By
from services.identity.users.ending import end_everything, end_sessions
from services.identity.users.situation import LiveSession, Role, Situation
from services.identity.users.state import ACTIVE, INACTIVE, INVITED, User
from services.kit.errors import Conflict, NotFound


class EmailTaken(Conflict):
    """Someone in this organization has this e-mail address already."""

    code = "email_taken"


class UsernameTaken(Conflict):
    """Someone in this organization has this username already."""

    code = "username_taken"


class UserActive(Conflict):
    """This person has accepted the invitation already."""

    code = "user_active"


class UserInactive(Conflict):
    """This person is inactive."""

    code = "user_inactive"


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link that a decision may hand out; its token is made and kept elsewhere."""

    id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Invite:
    """Create a person: `taken` says which of `email`, `username` somebody holds already."""

    by: By
    user: str
    email: str
    name: str
    username: str | None
    phone: str | None
    timezone: str | None
    labels: tuple[str, ...]
    role: Role
    link: NewLink
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Edit:
    """Change several things at once, all or nothing.

    Args:
        fields: new values of `name username phone timezone labels`, only of those that are to be set.
        role: the new role, if one is asked.
        active: the new state, if one is asked.
        kill: used if this deactivates.
        link: for someone who never accepted; must be there where `active` is True.
        username_taken: somebody else holds the new username.
    """

    by: By
    fields: dict[str, Any]
    kill: str
    link: NewLink | None
    role: Role | None = None
    active: bool | None = None
    expected_version: int | None = None
    username_taken: bool = False


@dataclass(frozen=True, slots=True)
class Deactivate:
    by: By
    kill: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Reactivate:
    by: By
    link: NewLink
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """`confirm` is the e-mail address that was typed; `confirm_asked` is False for a dry run."""

    by: By
    kill: str
    confirm: str | None
    confirm_asked: bool = True
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class ResendInvitation:
    """Mail the open link again; `link` is used where none is open at `now`."""

    by: By
    link: NewLink
    now: datetime
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class EndSessions:
    """End all sessions, or the one named; one that is not this person's does not exist."""

    by: By
    kill: str
    session: str | None = None
    expected_version: int | None = None


Command = Edit | Deactivate | Reactivate | Delete | ResendInvitation | EndSessions


def decide(situation: Situation, command: Command) -> list[Event]:
    """The events that this command leads to; none where nothing changes.

    Raises:
        MusterError: the first rule in the order of checks that forbids it.
    """
    match command:
        case Edit():
            return _edit(situation, command)
        case Deactivate():
            return _deactivate(situation, command)
        case Reactivate():
            return _reactivate(situation, command)
        case Delete():
            return _delete(situation, command)
        case ResendInvitation():
            return _resend(situation, command)
        case EndSessions():
            return _end_sessions(situation, command)
        case _:
            assert_never(command)


def invite(command: Invite) -> list[Event]:
    """Create the person and send the invitation.

    Raises:
        OwnerProtected, PermissionNotHeld, ConfirmationRequired: the role is not the caller's to give.
        EmailTaken, UsernameTaken: somebody has it.
    """
    role = command.role
    rules.check_grant(command.by, role.permissions, grants_owner=role.is_owner)
    if role.builtin != "member":
        rules.check_confirmed(command.by)
    if "email" in command.taken:
        raise EmailTaken
    if "username" in command.taken:
        raise UsernameTaken
    created = UserCreated(
        user=command.user, email=command.email, name=command.name, username=command.username,
        phone=command.phone, timezone=command.timezone, labels=command.labels,
        role=Ref(id=role.id, name=role.name), status=INVITED,
    )  # fmt: skip
    return [created, _invitation(command.user, command.email, command.link)]


def _invitation(user: str, email: str, link: NewLink) -> InvitationSent:
    return InvitationSent(user=user, link=link.id, expires_at=link.expires_at, email=email)


def _guard(situation: Situation, *, role: Role | None = None, can_sign_in: bool) -> None:
    """The lock-out guard for this person's change to `role` (None: as it is) and to being able to sign in."""
    now, after = situation.role, role or situation.role
    able = situation.user.can_sign_in
    rules.check_lockout(
        situation.remaining,
        owner_before=able and now.is_owner,
        owner_after=can_sign_in and after.is_owner,
        admin_before=able and now.administers,
        admin_after=can_sign_in and after.administers,
    )


def _rank(situation: Situation, by: By) -> None:
    rules.check_rank(by, situation.role.permissions, target_is_owner=situation.role.is_owner)


def _deactivate(situation: Situation, command: Deactivate) -> list[Event]:
    user = situation.user
    _rank(situation, command.by)
    _guard(situation, can_sign_in=False)
    rules.check_not_self(command.by, user.id)
    rules.check_version(user.version, command.expected_version)
    return _deactivation(situation, command.kill)


def _deactivation(situation: Situation, kill: str) -> list[Event]:
    user = situation.user
    if user.status == INACTIVE:
        return []
    deactivated = UserDeactivated(user=user.id, kill=kill, status=Change(old=user.status, new=INACTIVE))
    return [deactivated, *end_everything(situation, "deactivated", kill)]


def _reactivate(situation: Situation, command: Reactivate) -> list[Event]:
    _rank(situation, command.by)
    rules.check_version(situation.user.version, command.expected_version)
    return _reactivation(situation.user, command.link)


def _reactivation(user: User, link: NewLink) -> list[Event]:
    """Back to active; to invited, with a new link, where the invitation was never accepted."""
    if user.status != INACTIVE:
        return []
    status = ACTIVE if user.accepted else INVITED
    reactivated = UserReactivated(user=user.id, status=Change(old=INACTIVE, new=status))
    return [reactivated] if user.accepted else [reactivated, _invitation(user.id, user.email, link)]


def _edit(situation: Situation, command: Edit) -> list[Event]:
    user, by, role = situation.user, command.by, command.role
    changes_role = role is not None and role.id != user.role
    _rank(situation, by)
    if role is not None and changes_role:
        takes_owner = situation.role.is_owner
        rules.check_grant(by, role.permissions, grants_owner=role.is_owner, takes_owner=takes_owner)
    active = user.status != INACTIVE if command.active is None else command.active
    _guard(situation, role=role, can_sign_in=active and (user.can_sign_in or _would_sign_in(user)))
    if command.active is False or (role and changes_role and _demotes(situation.role, role)):
        rules.check_not_self(by, user.id)
    if role is not None:
        rules.check_confirmed(by)
    rules.check_version(user.version, command.expected_version)
    events = _field_events(user, command.fields)
    if command.username_taken and any(isinstance(e, UserUsernameChanged) for e in events):
        raise UsernameTaken
    if role and changes_role:
        old, new = (Ref(id=r.id, name=r.name) for r in (situation.role, role))
        events.append(UserRoleChanged(user=user.id, role=Change(old=old, new=new)))
    if command.active is False:
        events += _deactivation(situation, command.kill)
    elif command.active:
        assert command.link is not None  # noqa: S101 (who asks for this brings one)
        events += _reactivation(user, command.link)
    return events


def _would_sign_in(user: User) -> bool:
    """Whether reactivation alone lets this person in again."""
    return user.status == INACTIVE and user.accepted and user.has_password


def _demotes(old: Role, new: Role) -> bool:
    return (old.is_owner and not new.is_owner) or not old.permissions <= new.permissions


def _field_events(user: User, fields: dict[str, Any]) -> list[Event]:
    """One event for each field that really changes, in the order of api.md §3."""
    events: list[Event] = []
    for name, kind in _FIELDS:
        if name in fields and fields[name] != (old := getattr(user, name)):
            events.append(kind(**{"user": user.id, name: Change(old=old, new=fields[name])}))
    return events


_FIELDS: tuple[tuple[str, type[Event]], ...] = (
    ("name", UserRenamed),
    ("username", UserUsernameChanged),
    ("phone", UserPhoneChanged),
    ("timezone", UserTimezoneChanged),
    ("labels", UserLabelsChanged),
)


def _delete(situation: Situation, command: Delete) -> list[Event]:
    user, by = situation.user, command.by
    _rank(situation, by)
    _guard(situation, can_sign_in=False)
    rules.check_not_self(by, user.id)
    rules.check_confirmed(by)
    rules.check_version(user.version, command.expected_version)
    if command.confirm_asked and not _same_address(command.confirm, user.email):
        raise rules.ConfirmationMismatch
    deleted = UserDeleted(user=user.id, kill=command.kill, name=user.name, email=user.email)
    return [deleted, *end_everything(situation, "deleted", command.kill)]


def _same_address(typed: str | None, email: str) -> bool:
    return typed is not None and hmac.compare_digest(
        typed.strip().casefold().encode(), email.casefold().encode()
    )


def _resend(situation: Situation, command: ResendInvitation) -> list[Event]:
    user = situation.user
    _rank(situation, command.by)
    rules.check_version(user.version, command.expected_version)
    if user.status == ACTIVE:
        raise UserActive
    if user.status == INACTIVE:
        raise UserInactive
    old, sent = situation.invitation, _invitation(user.id, user.email, command.link)
    if old is None:
        return [sent]
    if old.expires_at > command.now:
        return [_invitation(user.id, user.email, NewLink(old.id, old.expires_at))]
    return [InvitationVoided(user=user.id, link=old.id, cause="expired"), sent]


def _end_sessions(situation: Situation, command: EndSessions) -> list[Event]:
    chosen: tuple[LiveSession, ...] = situation.sessions
    if command.session is not None:
        chosen = tuple(s for s in chosen if s.id == command.session)
        if not chosen:
            raise NotFound
    _rank(situation, command.by)
    rules.check_version(situation.user.version, command.expected_version)
    return end_sessions(situation.user.id, chosen, "ended_by_administrator", command.kill)
