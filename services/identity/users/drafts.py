"""From decided events to a draft: which heads the decision relied on, and which guards it moves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from muster_contracts.credentials import (
    MfaEnrolled,
    MfaFactorRemoved,
    MfaReset,
    PasswordChanged,
    PasswordResetCompleted,
    PasswordResetRequested,
)
from muster_contracts.events import Event, Ref
from muster_contracts.sessions import SessionEvent
from muster_contracts.users import (
    InvitationAccepted,
    UserDeactivated,
    UserDeleted,
    UserReactivated,
    UserRoleChanged,
)

from services.identity.access import access_guard, owners_guard
from services.identity.run import Draft
from services.identity.users.situation import Role, Situation
from services.identity.users.state import User, evolve
from services.identity.users.view import of_state

MOVES_ACCESS = (
    SessionEvent, UserDeactivated, UserReactivated, UserDeleted, UserRoleChanged, InvitationAccepted,
    MfaEnrolled, MfaFactorRemoved, MfaReset, PasswordChanged, PasswordResetCompleted, PasswordResetRequested,
)  # fmt: skip
"""After any of these the person's way in is another one: guard `access:usr_…`."""
MOVES_OWNERS = (
    UserDeactivated, UserReactivated, UserDeleted, UserRoleChanged, InvitationAccepted, PasswordChanged,
    PasswordResetCompleted, PasswordResetRequested,
)  # fmt: skip
"""After any of these the set of those who can administer may be another one: guard `owners:org_…`."""


def draft(
    situation: Situation,
    events: Sequence[Event],
    now: datetime,
    *,
    role: Role | None = None,
    effects: dict[str, Any] | None = None,
    **more: Any,
) -> Draft:
    """The draft of a decision about one person, answering with the change's `user` and `effects`.

    Args:
        situation: what was decided on.
        events: what was decided; may be empty.
        now: when they occur.
        role: the role afterwards, where it changes.
        effects: members of the answer.
        more: further fields of the draft (writes, claims, releases, status).
    """
    user, org = situation.user, situation.user.org
    guards = _guards(situation, events, role)
    streams = {stream for event in events if (stream := event.stream())}
    roles = {r.id: r.version for r in (situation.role, role) if r and r.builtin is None}
    reads = {user.id: situation.heads[user.id]} | roles
    reads |= {head: situation.heads[head] for head in (*guards, *streams) if head in situation.heads}
    after = fold(user, org, events, now)
    shown = of_state(after, _ref(role or situation.role)) if after else None
    body = {"user": shown, "effects": effects or {}}
    return Draft(events=events, reads=reads, touches=frozenset(guards), body=body, **more)


def _guards(situation: Situation, events: Iterable[Event], role: Role | None) -> set[str]:
    kinds = {type(event) for event in events}
    guards: set[str] = set()
    if any(issubclass(kind, MOVES_ACCESS) for kind in kinds):
        guards.add(access_guard(situation.user.id))
    administers = situation.role.administers or (role is not None and role.administers)
    if administers and any(issubclass(kind, MOVES_OWNERS) for kind in kinds):
        guards.add(owners_guard(situation.user.org))
    return guards


def fold(user: User | None, org: str, events: Iterable[Event], at: datetime) -> User | None:
    """The person after these events."""
    for event in events:
        user = evolve(user, org, event, at)
    return user


def _ref(role: Role) -> Ref:
    return Ref(id=role.id, name=role.name)
