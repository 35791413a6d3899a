"""What is secret and belongs to no event: password hashes, seeds, codes and tokens, and what takes them away.

Rows are written with the unit that needs them. Which rows go with which event is said here, for every command at
once: a path that deactivates, deletes or resets cannot forget a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import ClassVar

from muster_contracts.api_keys import ApiKeyRevoked
from muster_contracts.credentials import MfaFactorRemoved, MfaReset, PasswordResetRequested
from muster_contracts.events import Event
from muster_contracts.sessions import SessionEnded
from muster_contracts.users import InvitationVoided, UserDeactivated, UserDeleted

from services.identity.links import VoidLink, VoidLinks
from services.identity.store import Write


@dataclass(frozen=True, slots=True)
class SetPassword(Write):
    """Source: table `passwords`; `hash` is a PHC string of argon2id."""

    sql: ClassVar[str] = (
        'INSERT INTO passwords ("user", hash) VALUES ($1, $2) ON CONFLICT ("user") DO UPDATE SET hash = excluded.hash'
    )
    user: str
    hash: str


@dataclass(frozen=True, slots=True)
class DropPassword(Write):
    sql: ClassVar[str] = 'DELETE FROM passwords WHERE "user" = $1'
    removes: ClassVar[bool] = True
    user: str


@dataclass(frozen=True, slots=True)
class StoreFactor(Write):
    """A pending enrollment; source: table `factors`, `secret` sealed under the person's key."""

    sql: ClassVar[str] = (
        'INSERT INTO factors (id, "user", type, secret, session, created_at) VALUES ($1, $2, $3, $4, $5, $6)'
    )
    id: str
    user: str
    type: str
    secret: bytes
    session: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ActivateFactor(Write):
    sql: ClassVar[str] = "UPDATE factors SET activated_at = $2, last_step = $3 WHERE id = $1"
    id: str
    activated_at: datetime
    last_step: int


@dataclass(frozen=True, slots=True)
class UseStep(Write):
    """A code was accepted: its time step never counts again."""

    sql: ClassVar[str] = "UPDATE factors SET last_step = $2 WHERE id = $1"
    id: str
    last_step: int


@dataclass(frozen=True, slots=True)
class DropFactor(Write):
    sql: ClassVar[str] = "DELETE FROM factors WHERE id = $1"
    removes: ClassVar[bool] = True
    id: str


@dataclass(frozen=True, slots=True)
class DropEnrollments(Write):
    """What a person began and did not finish."""

    sql: ClassVar[str] = 'DELETE FROM factors WHERE "user" = $1 AND activated_at IS NULL'
    removes: ClassVar[bool] = True
    user: str


@dataclass(frozen=True, slots=True)
class DropFactors(Write):
    sql: ClassVar[str] = 'DELETE FROM factors WHERE "user" = $1'
    removes: ClassVar[bool] = True
    user: str


@dataclass(frozen=True, slots=True)
class StoreRecoveryCode(Write):
    """Source: table `recovery_codes`; a keyed hash."""

    sql: ClassVar[str] = 'INSERT INTO recovery_codes ("user", hash) VALUES ($1, $2)'
    user: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class UseRecoveryCode(Write):
    sql: ClassVar[str] = 'DELETE FROM recovery_codes WHERE "user" = $1 AND hash = $2'
    removes: ClassVar[bool] = True
    user: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class DropRecoveryCodes(Write):
    sql: ClassVar[str] = 'DELETE FROM recovery_codes WHERE "user" = $1'
    removes: ClassVar[bool] = True
    user: str


@dataclass(frozen=True, slots=True)
class StoreSessionToken(Write):
    """Source: table `session_tokens`; SHA-256 of the token."""

    sql: ClassVar[str] = "INSERT INTO session_tokens (hash, session) VALUES ($1, $2)"
    hash: bytes
    session: str


@dataclass(frozen=True, slots=True)
class DropSessionToken(Write):
    sql: ClassVar[str] = (
        "WITH gone AS (DELETE FROM session_use WHERE session = $1) DELETE FROM session_tokens WHERE session = $1"
    )
    removes: ClassVar[bool] = True
    session: str


@dataclass(frozen=True, slots=True)
class ConfirmSession(Write):
    """A fresh proof: `confirmed_with` is `password` or `factor`. Source: table `session_use`."""

    sql: ClassVar[str] = (
        "INSERT INTO session_use (session, last_seen_at, confirmed_at, confirmed_with) VALUES ($1, $2, $2, $3) "
        "ON CONFLICT (session) DO UPDATE SET confirmed_at = $2, confirmed_with = $3"
    )
    session: str
    confirmed_at: datetime
    confirmed_with: str


@dataclass(frozen=True, slots=True)
class StoreKeyToken(Write):
    """Source: table `api_key_tokens`; SHA-256 of the token."""

    sql: ClassVar[str] = "INSERT INTO api_key_tokens (hash, key) VALUES ($1, $2)"
    hash: bytes
    key: str


@dataclass(frozen=True, slots=True)
class DropKeyToken(Write):
    sql: ClassVar[str] = (
        "WITH gone AS (DELETE FROM api_key_use WHERE key = $1) DELETE FROM api_key_tokens WHERE key = $1"
    )
    removes: ClassVar[bool] = True
    key: str


@dataclass(frozen=True, slots=True)
class StoreHalfSession(Write):
    """Source: table `half_sessions`; `next` is `otp` or `enroll`."""

    sql: ClassVar[str] = (
        'INSERT INTO half_sessions (hash, id, org, "user", next, created_at, expires_at) '
        "VALUES ($1, $2, $3, $4, $5, $6, $7)"
    )
    hash: bytes
    id: str
    org: str
    user: str
    next: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class DropHalfSession(Write):
    sql: ClassVar[str] = "DELETE FROM half_sessions WHERE hash = $1"
    removes: ClassVar[bool] = True
    hash: bytes


@dataclass(frozen=True, slots=True)
class DropHalfSessions(Write):
    sql: ClassVar[str] = 'DELETE FROM half_sessions WHERE "user" = $1'
    removes: ClassVar[bool] = True
    user: str


@dataclass(frozen=True, slots=True)
class ForgetPerson(Write):
    """Marks the key of someone deleted; a janitor destroys it when relay and audit have passed the deletion.

    Its deadline counts from when it is written, also where the deletion is seeded history.
    """

    sql: ClassVar[str] = "UPDATE person_keys SET forgotten_at = greatest($2, now()) WHERE id = $1"
    user: str
    at: datetime


def taken_by(events: Iterable[Event], at: datetime) -> list[Write]:
    """The vault writes that these events bring with them, whichever command they come from."""
    return [write for event in events if _takes(type(event)) for write in _taken_by(event, at)]


_TAKING = (
    SessionEnded, ApiKeyRevoked, InvitationVoided, UserDeactivated, MfaFactorRemoved, MfaReset,
    PasswordResetRequested, UserDeleted,
)  # fmt: skip


@cache
def _takes(kind: type[Event]) -> bool:
    return issubclass(kind, _TAKING)


def _taken_by(event: Event, at: datetime) -> list[Write]:
    match event:
        case SessionEnded(session=session):
            return [DropSessionToken(session)]
        case ApiKeyRevoked(key=key):
            return [DropKeyToken(key)]
        case InvitationVoided(link=link):
            return [VoidLink(link)]
        case UserDeactivated(user=user):
            return [VoidLinks(user), DropHalfSessions(user)]
        case MfaFactorRemoved(factor=factor):
            return [DropFactor(factor)]
        case MfaReset(user=user):
            return [DropFactors(user), DropRecoveryCodes(user), DropHalfSessions(user)]
        case PasswordResetRequested(user=user, revoked=True):
            return [DropPassword(user), DropHalfSessions(user)]
        case UserDeleted(user=user):
            gone = (VoidLinks, DropHalfSessions, DropPassword, DropFactors, DropRecoveryCodes)
            return [*(kind(user) for kind in gone), ForgetPerson(user, at)]
        case _:  # a reset that leaves the old password
            return []
