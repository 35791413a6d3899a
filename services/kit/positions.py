"""Opaque strings handed to clients: positions in the log, and cursors of pages.

A position is sealed with its org, so that it tells nothing of the others' activity and a foreign one is refused.
A cursor is sealed with a fingerprint of the query that it continues.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any

from services.kit.errors import Invalid
from services.kit.sealing import Sealer, WrongKey

SEALED = 1024
"""Positions of which the text is remembered: reads between two changes all show the same one."""


class CursorMismatch(Invalid):
    """This cursor belongs to another query."""

    code = "cursor_mismatch"


class Opaque:
    """Seals positions and cursors; every service is given the same key (`MUSTER_KEYS__POSITIONS`)."""

    def __init__(self, key: bytes) -> None:
        self._sealer = Sealer(key)
        self._nonces = hmac.digest(key, b"muster:nonces", "sha256")
        self._sealed = lru_cache(maxsize=SEALED)(self._seal)

    def position(self, org: str, position: int, *, fresh: bool = False) -> str:
        """The same text for the same position, so that a replayed answer is the first one, byte for byte.

        `fresh`: another text each time, for who has not signed in: by two that are alike they would see whether
        there is such an organization.
        """
        if fresh:
            return _text(self._sealer.seal(position.to_bytes(8, "big"), f"position:{org}"))
        return self._sealed(org, position)

    def _seal(self, org: str, position: int) -> str:
        plain, context = position.to_bytes(8, "big"), f"position:{org}"
        nonce = hmac.digest(self._nonces, context.encode() + plain, "sha256")[:12]
        return _text(self._sealer.seal(plain, context, nonce))

    def read_position(self, org: str, text: str) -> int:
        """Raises Invalid on a malformed or another org's position."""
        try:
            return int.from_bytes(self._sealer.open(_bytes(text), f"position:{org}"), "big")
        except (WrongKey, ValueError):
            raise Invalid("min_position is not a position of this organization") from None

    def cursor(self, org: str, query: Any, values: list[Any]) -> str:
        """A cursor that continues `query` (anything JSON can hold) after the row with these sort values."""
        plain = json.dumps([_fingerprint(query), values], separators=(",", ":")).encode()
        return _text(self._sealer.seal(plain, f"cursor:{org}"))

    def read_cursor(self, org: str, query: Any, text: str) -> list[Any]:
        """Raises Invalid on a malformed cursor, CursorMismatch on one of another query."""
        try:
            fingerprint, values = json.loads(self._sealer.open(_bytes(text), f"cursor:{org}"))
        except (WrongKey, ValueError):
            raise Invalid("cursor is not one of ours") from None
        if fingerprint != _fingerprint(query):
            raise CursorMismatch
        return values


def _fingerprint(query: Any) -> str:
    return hashlib.sha256(json.dumps(query, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
