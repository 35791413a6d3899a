"""Idempotent answers: the same key and the same request get the first answer again, for 24 hours.

The answer is kept in the unit that it answers, sealed, without secrets and without its position (a column
beside it, filled in by the commit). The claim on the key makes a parallel repeat wait for the first one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.identity.access import Principal
from services.identity.store import Answer, Claim
from services.kit.errors import Invalid, Unprocessable
from services.kit.postgres import Database
from services.kit.sealing import Sealer, WrongKey

KEPT = timedelta(hours=24)
MAX_KEY = 255


class IdempotencyKeyReused(Unprocessable):
    """This Idempotency-Key was used for another request."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class Once:
    """One use of an idempotency key: `claim` names credential, route and key; `request` hashes what is asked."""

    claim: str
    request: bytes

    def reserve(self, owner: str, now: datetime) -> Claim:
        return Claim(self.claim, owner, now + KEPT)


@dataclass(frozen=True, slots=True)
class Kept:
    status: int
    body: dict[str, Any]
    position: int


class Answers:
    """Seals, keeps and finds answers. Source: table `answers`.

    `keys`: the current one first; those behind it open what was kept before a rotation.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._sealers = [Sealer(key) for key in keys]

    def make(self, once: Once, status: int, body: dict[str, Any], now: datetime) -> Answer:
        return Answer(once.claim, once.request, status, self._sealers[0].seal_json(body, once.claim), now)

    async def find(self, connection: Database, once: Once) -> Kept | None:
        """The answer given before.

        Raises:
            IdempotencyKeyReused: the key was used, for something else.
        """
        row = await connection.fetchrow(
            "SELECT request, status, body, position FROM answers WHERE claim = $1", once.claim
        )
        if row is None:
            return None
        if row["request"] != once.request:
            raise IdempotencyKeyReused
        return Kept(row["status"], self._open(row["body"], once.claim), row["position"])

    def _open(self, sealed: bytes, claim: str) -> dict[str, Any]:
        for sealer in self._sealers:
            with suppress(WrongKey):
                return sealer.open_json(sealed, claim)
        raise WrongKey("no master key of the settings opens this answer")


def once(key: str, principal: Principal, method: str, route: str, path: str, body: bytes) -> Once:
    """What an `Idempotency-Key` header stands for.

    Raises:
        Invalid: an empty, overlong or unprintable key.
    """
    if not key or len(key) > MAX_KEY or not key.isascii() or not key.isprintable():
        raise Invalid("Idempotency-Key is 1 to 255 printable ASCII characters.")
    name = json.dumps([principal.credential, method, route, key]).encode()
    claim = "once:" + hashlib.sha256(name).hexdigest()
    return Once(claim, hashlib.sha256(path.encode() + b"\0" + body).digest())
