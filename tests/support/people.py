"""Situations for deciders about people: who they are, what lets them in, and who else could administer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from services.identity import permissions as rights
from services.identity.rules import By, Remaining
from services.identity.users.decider import NewLink
from services.identity.users.situation import LiveKey, LiveSession, OpenLink, Role, Rule, Situation
from services.identity.users.state import ACTIVE, INACTIVE, INVITED, User

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
OWNER_ROLE = Role("rol_o", "Owner", "owner", rights.ALL, 1)
ADMIN_ROLE = Role("rol_a", "Admin", "admin", rights.ALL, 1)
MEMBER_ROLE = Role("rol_m", "Member", "member", frozenset(), 1)
DESK_ROLE = Role("rol_d", "Help desk", None, frozenset({"users.read", "users.reset_password"}), 4)
HR_ROLE = Role("rol_h", "HR", None, frozenset({"users.edit", "users.assign_role", "users.read"}), 2)
EMPTY_ROLE = Role("rol_e", "Contractor", None, frozenset(), 1)

OWNER = By("usr_owner", rights.ALL, is_owner=True, confirmed=True)
ADMIN = By("usr_admin", rights.ALL, is_owner=False, confirmed=True)
DESK = By("usr_desk", DESK_ROLE.permissions, is_owner=False, confirmed=True)
SYSTEM = By(None, frozenset(), is_owner=False, sovereign=True)
MANY = Remaining(owners=2, administrators=5)
LINK = NewLink("lnk_new", NOW + timedelta(days=7))


def unconfirmed(by: By) -> By:
    return replace(by, confirmed=False)


def user(**fields: Any) -> User:
    """An Active person with a password; `fields` are other than that."""
    known: dict[str, Any] = {
        "id": "usr_ada", "org": "org_acme", "email": "ada@acme.example", "name": "Ada", "username": "ada",
        "phone": None, "timezone": None, "labels": (), "role": "", "status": ACTIVE, "accepted": True,
        "has_password": True, "factors": (), "recovery_codes": 0, "created_at": NOW, "last_sign_in_at": None,
        "password_changed_at": NOW, "version": 7,
    }  # fmt: skip
    return User(**known | fields)


def invited(**fields: Any) -> User:
    return user(**{"status": INVITED, "accepted": False, "has_password": False} | fields)


def inactive(**fields: Any) -> User:
    return user(**{"status": INACTIVE} | fields)


def situation(
    who: User | None = None,
    role: Role = MEMBER_ROLE,
    *,
    sessions: int = 0,
    keys: int = 0,
    links: tuple[OpenLink, ...] = (),
    remaining: Remaining = MANY,
) -> Situation:
    """A person with that role; session 1 has no IP rule, further ones have."""
    who = (who or user())._replace(role=role.id)
    live = tuple(
        LiveSession(f"ses_{n}", 2, Rule(f"ipr_{n}", "203.0.113.7") if n > 1 else None)
        for n in range(1, sessions + 1)
    )
    heads = {who.id: who.version, f"access:{who.id}": 3, f"owners:{who.org}": 2}
    heads |= {session.id: session.version for session in live}
    heads |= {f"key_{n}": 1 for n in range(1, keys + 1)}
    if role.builtin is None:
        heads[role.id] = role.version
    made = tuple(LiveKey(f"key_{n}", 1, f"key {n}") for n in range(1, keys + 1))
    return Situation(who, role, live, made, links, remaining, heads)


def open_link(kind: str = "invitation", *, expires_in: timedelta = timedelta(days=1)) -> OpenLink:
    return OpenLink("lnk_open", kind, by_admin=False, expires_at=NOW + expires_in)
