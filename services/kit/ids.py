"""Identifiers: a prefix that says what it names, and a UUIDv7 (RFC 9562 §5.7) that sorts by time of making."""

from __future__ import annotations

import os
import re
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHAPE = re.compile(rf"[a-z]{{3}}_[0-7][{_ALPHABET}]{{25}}")


def uuid7(unix_ms: int | None = None) -> int:
    """A UUIDv7 as a 128-bit number; `unix_ms` defaults to the clock of this machine."""
    moment = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms
    noise = int.from_bytes(os.urandom(10), "big")
    return (moment << 80) | (0x7 << 76) | ((noise >> 68) << 64) | (0b10 << 62) | (noise & ((1 << 62) - 1))


def new_id(prefix: str, unix_ms: int | None = None) -> str:
    """An id such as `usr_01k…`: prefix, underscore, 26 characters of lower-case Crockford base32."""
    number = uuid7(unix_ms)
    return f"{prefix}_" + "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id with that prefix; it says nothing of whether it exists."""
    return text.startswith(f"{prefix}_") and _SHAPE.fullmatch(text) is not None
