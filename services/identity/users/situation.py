"""What a decision about one person rests on, read in one statement together with the versions that guard it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.identity import permissions as rights
from services.identity.rules import Remaining
from services.identity.users.state import User


@dataclass(frozen=True, slots=True)
class Role:
    """A role as a rule judges it; `permissions` are those in force (a built-in role: this release's table)."""

    id: str
    name: str
    builtin: str | None
    permissions: frozenset[str]
    version: int

    @property
    def is_owner(self) -> bool:
        return self.builtin == rights.OWNER

    @property
    def administers(self) -> bool:
        return self.permissions >= rights.ADMINISTRATION


@dataclass(frozen=True, slots=True)
class Rule:
    """The IP rule of a session."""

    id: str
    network: str | None


@dataclass(frozen=True, slots=True)
class LiveSession:
    id: str
    version: int
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class LiveKey:
    """A personal API key."""

    id: str
    version: int
    name: str


INVITATION, RESET = "invitation", "reset"


@dataclass(frozen=True, slots=True)
class OpenLink:
    """A link that was mailed and not used: kind `invitation` or `reset`; `expires_at` may have passed."""

    id: str
    kind: str
    by_admin: bool
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Situation:
    """One person, their role, all that lets them in, and who else could administer.

    `remaining` is counted where the person administers; the lock-out guard asks for it nowhere else. `heads` are
    the versions read with it: the `usr_` stream, `access:usr_…`, `owners:org_…`, the role's
    stream if it is a custom one, and the stream of each session and key.
    """

    user: User
    role: Role
    sessions: tuple[LiveSession, ...]
    keys: tuple[LiveKey, ...]
    links: tuple[OpenLink, ...]
    remaining: Remaining
    heads: Mapping[str, int]

    @property
    def invitation(self) -> OpenLink | None:
        return next((link for link in self.links if link.kind == INVITATION), None)
