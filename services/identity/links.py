"""Links in mails: single-use tokens of invitations and password resets, in the vault only.

Kept as SHA-256 for finding it, and sealed under the person's key until it is sent (design §2, "No secret in an
event"); events name a link by its id (`lnk_…`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from services.identity.rules import LinkInvalid
from services.identity.store import Write
from services.identity.users.situation import INVITATION, RESET
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.sealing import Sealer
from services.kit.tokens import is_token, make_token, token_hash

PREFIX = {INVITATION: "mui", RESET: "mur"}
LIVES = {INVITATION: timedelta(days=7), RESET: timedelta(hours=1)}
LIVES_BY_ADMIN = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class StoreLink(Write):
    """Source: table `links`."""

    sql: ClassVar[str] = (
        'INSERT INTO links (id, org, "user", kind, hash, token, by_admin, created_at, expires_at) '
        "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
    )
    id: str
    org: str
    user: str
    kind: str
    hash: bytes
    token: bytes
    by_admin: bool
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class VoidLinks(Write):
    """All links of a person, of every kind."""

    sql: ClassVar[str] = 'DELETE FROM links WHERE "user" = $1'
    removes: ClassVar[bool] = True
    user: str


@dataclass(frozen=True, slots=True)
class VoidLink(Write):
    """One link: it was used, or has expired."""

    sql: ClassVar[str] = "DELETE FROM links WHERE id = $1"
    removes: ClassVar[bool] = True
    id: str


def new_link(
    org: str, user: str, kind: str, sealer: Sealer, now: datetime, *, by_admin: bool = False
) -> StoreLink:
    """A fresh link of a person; `sealer` is under that person's key."""
    link, token = new_id("lnk"), make_token(PREFIX[kind])
    lives = LIVES_BY_ADMIN if kind == RESET and by_admin else LIVES[kind]
    sealed = sealer.seal(token.encode(), f"link:{link}")
    return StoreLink(link, org, user, kind, token_hash(token), sealed, by_admin, now, now + lives)


@dataclass(frozen=True, slots=True)
class OpenedLink:
    """A link that was shown and works; `now` is the database's time."""

    id: str
    org: str
    user: str
    now: datetime


async def follow(connection: Database, kind: str, token: object) -> OpenedLink:
    """What this token opens; whatever was sent as one has the same answer if it opens nothing.

    Raises:
        LinkInvalid: no token, used, replaced, expired, or of the other kind.

    Source: table `links`.
    """
    row = None
    if isinstance(token, str) and is_token(token, PREFIX[kind]):
        row = await connection.fetchrow(
            'SELECT id, org, "user", now() AS now FROM links WHERE hash = $1 AND kind = $2 AND expires_at > now()',
            token_hash(token), kind,
        )  # fmt: skip
    if row is None:
        raise LinkInvalid
    return OpenedLink(**dict(row))


def open_token(sealer: Sealer, link: str, sealed: bytes) -> str:
    """The token of a link, for the mail."""
    return sealer.open(sealed, f"link:{link}").decode()
