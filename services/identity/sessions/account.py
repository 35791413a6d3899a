"""A person as sign-in sees them. Source: tables users, passwords, organizations, sessions, ip_rules, heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.identity.fields import normalize_login
from services.identity.organizations.settings import OrganizationSettings
from services.identity.users.projection import user_of
from services.identity.users.read import live_session
from services.identity.users.situation import LiveSession
from services.identity.users.state import ACTIVE, User
from services.kit.postgres import Database
from services.kit.sql import named

SQL = named(__file__)


@dataclass(frozen=True, slots=True)
class Account:
    """A person with their organization, password hash (argon2id, PHC) and sessions, oldest first.

    `heads` are the versions, read with it, of the `usr_` stream, of `access:usr_…` and of each session.
    """

    user: User
    organization: OrganizationSettings
    hash: str | None
    sessions: tuple[LiveSession, ...]
    heads: Mapping[str, int]
    now: datetime

    @property
    def password(self) -> str | None:
        """The hash that a password is compared with; None for who may not sign in."""
        return self.hash if self.user.status == ACTIVE else None


@dataclass(frozen=True, slots=True)
class Named:
    """What a slug and a login lead to, as far as they lead; `login` is as it is compared."""

    org: str | None
    user: str | None
    slug: str
    login: str
    now: datetime


async def find(connection: Database, slug: str, login: str) -> Named:
    """Who would sign in with this, in one query whatever comes of it."""
    slug, login = slug.strip().casefold(), normalize_login(login)
    row = await connection.fetchrow(SQL["by_login"], slug, login)
    if row is None:
        raise LookupError("by_login has a row in every case")
    return Named(row["org"], row["user"], slug, login, row["now"])


async def read(connection: Database, user: str) -> Account | None:
    """The person; None once deleted."""
    row = await connection.fetchrow(SQL["account"], user)
    if row is None:
        return None
    sessions = tuple(live_session(value) for value in row["sessions"] or ())
    heads: dict[str, int] = {**(row["heads"] or {}), **{s.id: s.version for s in sessions}}
    organization = OrganizationSettings.of_row(row["organization"])
    return Account(user_of(row), organization, row["hash"], sessions, heads, row["now"])
