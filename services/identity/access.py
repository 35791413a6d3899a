"""Who is calling: a session or an API key becomes a `Principal`, with the heads that its rights rest on.

Asked anew on every request, from the tables that the commit writes: no cache, no self-contained token. The
heads go into every unit of the caller, so that nothing of theirs commits after the event that took the right
away.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from services.identity import permissions as rights
from services.identity.organizations.settings import OrganizationSettings
from services.kit.errors import Forbidden, Unauthenticated
from services.kit.postgres import Database, Pool, Record
from services.kit.sql import named
from services.kit.together import Together
from services.kit.tokens import is_token, token_hash

SQL = named(__file__)
CONFIRMED_FOR = timedelta(minutes=10)
SEEN_EVERY = timedelta(minutes=1)


class SecondFactorRequired(Unauthenticated):
    """The second factor is still missing."""

    code = "second_factor_required"


class EnrollmentRequired(Unauthenticated):
    """The organization asks for a second factor: set one up first."""

    code = "enrollment_required"


class PermissionMissing(Forbidden):
    """You lack the permission for this."""

    code = "permission_missing"


class PersonRequired(Forbidden):
    """This asks for a person who is signed in; an API key cannot do it."""

    code = "person_required"


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a signed-in caller; `confirmed_until` is None where a fresh proof is needed."""

    id: str
    version: int
    created_at: datetime
    expires_at: datetime
    confirmed_until: datetime | None
    amr: tuple[str, ...]
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose credential holds, and what they may do right now.

    `reads` are the heads that this rests on (guard `access:usr_…`, a custom role, an API key) → their
    versions. `now` is the database's time of the look-up, `position` the end of the log then.
    """

    type: str
    id: str
    name: str
    user: str | None
    role: str | None
    role_name: str | None
    builtin: str | None
    permissions: frozenset[str]
    organization: OrganizationSettings
    session: Session | None
    key: str | None
    reads: dict[str, int]
    now: datetime
    last_used_at: datetime | None = None
    position: int = 0

    @property
    def org(self) -> str:
        return self.organization.id

    @property
    def credential(self) -> str:
        """What an idempotency key belongs to."""
        return self.key or (self.session.id if self.session else "")

    @property
    def is_owner(self) -> bool:
        return self.builtin == rights.OWNER

    @property
    def confirmed(self) -> bool:
        return bool(self.session and self.session.confirmed_until)


@dataclass(frozen=True, slots=True)
class HalfSession:
    """A sign-in whose next step (`otp` or `enroll`) is missing; it opens nothing but that step."""

    id: str
    hash: bytes
    user: str
    org: str
    next: str
    tries: int
    expires_at: datetime
    access_version: int
    now: datetime

    @property
    def reads(self) -> dict[str, int]:
        """What it rests on: whoever completes or ends it moves this guard."""
        return {access_guard(self.user): self.access_version}


def access_guard(user: str) -> str:
    """The guard that whoever changes this user's way in touches, and every unit of theirs reads."""
    return f"access:{user}"


def owners_guard(org: str) -> str:
    """The guard that every command touches that changes who can administer the organization."""
    return f"owners:{org}"


def bearer(authorization: str | None) -> str:
    """The token of an `Authorization: Bearer` header.

    Raises:
        Unauthenticated: there is none.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated
    return token.strip()


async def authenticate(connection: Database, token: str, *, enrolling: bool = False) -> Principal:
    """Who this token belongs to.

    Args:
        connection: no transaction needed.
        token: as it was shown.
        enrolling: also someone who still has to set up the second factor that the organization asks for; for
            the routes that do it, and for signing out.

    Raises:
        Unauthenticated: malformed, unknown, expired, ended, or of someone who is not Active.
        SecondFactorRequired: half a session.
        EnrollmentRequired: half a session, or a whole one from before a second factor was asked of everyone.

    Source: tables session_tokens, sessions, users, roles, organizations, api_keys, heads, in one statement.
    """
    if is_token(token, "mus"):
        row = (await _sessions(connection, [token_hash(token)])).get(token_hash(token))
        if row is not None:
            if row["must_enroll"] and not enrolling:
                raise EnrollmentRequired
            return _of_session(row)
        if half := await find_half_session(connection, token):
            raise SecondFactorRequired if half.next == "otp" else EnrollmentRequired
    elif is_token(token, "muk"):
        row = await connection.fetchrow(SQL["api_key"], token_hash(token))
        if row is not None:
            return _of_key(row)
    raise Unauthenticated


async def find_half_session(connection: Database, token: str) -> HalfSession | None:
    """The half session of this token while it lives and its user is Active."""
    row = await connection.fetchrow(SQL["half_session"], token_hash(token))
    return HalfSession(**dict(row)) if row else None


async def note_use(connection: Database, principal: Principal) -> None:
    """Move the session's (or key's) last use, at most once a minute."""
    if not is_noted(principal):
        statement, id_ = (
            ("session_used", principal.session.id) if principal.session else ("key_used", principal.key)
        )
        await connection.execute(SQL[statement], id_)


def is_noted(principal: Principal) -> bool:
    """Whether this use is near enough to the last one that was noted."""
    last = principal.last_used_at
    return last is not None and principal.now - last < SEEN_EVERY


class Principals:
    """Looks credentials up; sessions that are shown at the same time share one statement."""

    def __init__(self, pool: Pool, lookups: Pool) -> None:
        self._pool = pool
        self._sessions = Together(lookups, _sessions)

    async def of(self, token: str, *, enrolling: bool = False) -> Principal:
        """Who this token belongs to, as `authenticate` says it; its use is not noted."""
        if is_token(token, "mus"):
            row = await self._sessions(token_hash(token))
            if row is not None and (enrolling or not row["must_enroll"]):
                return _of_session(row)
        async with self._pool.acquire() as connection:
            return await authenticate(connection, token, enrolling=enrolling)

    async def admit(self, token: str, *, enrolling: bool = False) -> Principal:
        """Who calls with this token; their use of it is noted. Raises as `authenticate` does."""
        principal = await self.of(token, enrolling=enrolling)
        if not is_noted(principal):
            async with self._pool.acquire() as connection:
                await note_use(connection, principal)
        return principal


async def _sessions(connection: Database, hashes: Sequence[bytes]) -> dict[bytes, Record]:
    return {row["hash"]: row for row in await connection.fetch(SQL["session"], hashes)}


def require(principal: Principal, permission: str) -> None:
    """Raises PermissionMissing."""
    if permission not in principal.permissions:
        raise PermissionMissing(
            f"This needs the permission {permission}.",
            members={"rule": "permission", "missing_permission": permission},
        )


def keyed_hash(key: bytes, text: str) -> bytes:
    """HMAC-SHA-256, for what must be recognized again and never read (recovery codes, unknown logins)."""
    return hmac.digest(key, text.encode(), sha256)


def _of_session(row: Record) -> Principal:
    organization = OrganizationSettings.of_row(row["organization"])
    reads = {access_guard(row["user"]): row["access_version"]}
    if not row["builtin"]:
        reads[row["role"]] = row["role_version"]
    return Principal(
        type="user", id=row["user"], name=row["user_name"], user=row["user"],
        role=row["role"], role_name=row["role_name"], builtin=row["builtin"],
        permissions=rights.of_role(row["builtin"], row["role_permissions"]),
        organization=organization, session=_session(row), key=None, reads=reads, now=row["now"],
        last_used_at=row["last_seen_at"], position=row["position"],
    )  # fmt: skip


def _session(row: Record) -> Session:
    confirmed_at: datetime | None = row["confirmed_at"]
    holds = confirmed_at is not None and (row["confirmed_with"] == "factor" or not row["has_factor"])
    until = confirmed_at + CONFIRMED_FOR if confirmed_at and holds else None
    return Session(
        id=row["session"], version=row["session_version"], created_at=row["created_at"],
        expires_at=row["expires_at"], confirmed_until=until if until and until > row["now"] else None,
        amr=tuple(row["amr"]), last_seen_at=row["last_seen_at"],
    )  # fmt: skip


def _of_key(row: Record) -> Principal:
    held = frozenset[str](row["permissions"]) - rights.NOT_FOR_KEYS
    reads: dict[str, int] = {row["key"]: row["key_version"]}
    personal = row["service"] is None
    if personal:
        held &= rights.of_role(row["builtin"], row["role_permissions"])
        reads[access_guard(row["user"])] = row["access_version"]
        if not row["builtin"]:
            reads[row["role"]] = row["role_version"]
    return Principal(
        type="user" if personal else "service", id=row["user"] if personal else row["service"],
        name=row["user_name"] if personal else row["service_name"], user=row["user"] if personal else None,
        role=row["role"] if personal else None, role_name=row["role_name"] if personal else None,
        builtin=None, permissions=held, organization=OrganizationSettings.of_row(row["organization"]),
        session=None, key=row["key"], reads=reads, now=row["now"],
        last_used_at=row["last_used_at"], position=row["position"],
    )  # fmt: skip


def reads_of(row: dict[str, Any] | Record, *heads: str) -> dict[str, int]:
    """The versions of these heads out of a row's `heads` object; 0 for one that does not exist yet."""
    known: dict[str, int] = row["heads"] or {}
    return {head: known.get(head, 0) for head in heads}
