"""The state that follows from the log, worked out here once more, by code that shares nothing with the product."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from muster_contracts.envelope import Envelope

FIELDS = {
    "user.renamed": "name", "user.email_changed": "email", "user.username_changed": "username",
    "user.phone_changed": "phone", "user.timezone_changed": "timezone", "user.labels_changed": "labels",
}  # fmt: skip


@dataclass
class Person:
    org: str
    role: str
    status: str
    fields: dict[str, Any]
    has_password: bool = False
    version: int = 0


@dataclass
class State:
    users: dict[str, Person] = field(default_factory=dict)
    members: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Organization → its users."""
    sessions: dict[str, str] = field(default_factory=dict)
    """Live ones → their user."""
    deleted: set[str] = field(default_factory=set)
    held: dict[str, frozenset[str]] = field(default_factory=dict)
    """Role → the permissions that it gives."""

    def apply(self, event: Envelope) -> None:
        data: Any = event.data
        if event.subject.startswith("usr_"):
            self._apply_to_user(event, data, event.subject)
        elif event.type == "role.created":
            self.held[event.subject] = frozenset(data["permissions"])
        elif event.type == "role.changed" and data.get("permissions"):
            self.held[event.subject] = frozenset(data["permissions"]["new"])
        elif event.type == "session.started":
            self.sessions[event.subject] = data["user"]
        elif event.type == "session.ended":
            self.sessions.pop(event.subject, None)

    def _apply_to_user(self, event: Envelope, data: Any, user: str) -> None:
        if event.type == "user.created":
            known = {name: data[name] for name in FIELDS.values()}
            self.users[user] = Person(event.org, data["role"]["id"], "invited", known)
            self.members[event.org].add(user)
        elif event.type == "user.deleted":
            self.users.pop(user, None)
            self.members[event.org].discard(user)
            self.deleted.add(user)
            return
        person = self.users.get(user)
        if person is None:
            return  # what ends with a person comes after the deletion, in the same unit
        person.version = event.sequence
        if event.type in FIELDS:
            name = FIELDS[event.type]
            person.fields[name] = data[name]["new"] if data[name] is not None else None
        match event.type:
            case "user.role_changed":
                person.role = data["role"]["new"]["id"]
            case "user.deactivated" | "user.reactivated" | "invitation.accepted":
                person.status = data["status"]["new"]
            case "password.changed" | "password.reset_completed":
                person.has_password = True
            case "password.reset_requested" if data["revoked"]:
                person.has_password = False
            case _:
                pass

    def owners(self, org: str, roles: dict[str, str]) -> int:
        """How many Owners of the organization could sign in."""
        people = (self.users[user] for user in self.members[org])
        return sum(roles.get(p.role) == "owner" and p.status == "active" and p.has_password for p in people)


def after_each_unit(log: Iterable[Envelope]) -> Iterator[tuple[list[Envelope], State]]:
    """Each commit's events with the state that they have led to; the state object is always the same one."""
    state, unit = State(), list[Envelope]()
    for event in log:
        if unit and unit[0].action != event.action:
            yield unit, state
            unit = []
        state.apply(event)
        unit.append(event)
    if unit:
        yield unit, state
