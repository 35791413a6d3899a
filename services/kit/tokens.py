"""Opaque bearer tokens: `mus_` sessions, `muk_` API keys, `mui_` invitations, `mur_` password resets.

43 base62 characters hold 256 random bits; 6 more hold their CRC32, so that a mistyped or truncated token is
refused without asking the database and a leaked one is found by secret scanners.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KNOWN = frozenset(_DIGITS)
_BODY, _CHECK = 43, 6


def _base62(number: int, width: int) -> str:
    digits: list[str] = []
    for _ in range(width):
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits))


def make_token(prefix: str) -> str:
    """A new random token with that prefix, for example `mus`."""
    body = _base62(secrets.randbits(256), _BODY)
    return f"{prefix}_{body}{_checksum(body)}"


def is_token(text: str, prefix: str) -> bool:
    """Whether `text` is well formed, checksum included."""
    head, _, rest = text.partition("_")
    if head != prefix or len(rest) != _BODY + _CHECK or not _KNOWN.issuperset(rest):
        return False
    return _checksum(rest[:_BODY]) == rest[_BODY:]


def token_hash(token: str) -> bytes:
    """What is stored of a token: SHA-256, enough for 256 random bits (no slow hash is needed)."""
    return hashlib.sha256(token.encode()).digest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)
