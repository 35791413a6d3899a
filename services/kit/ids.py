"""Identifiers: a prefix that says what it names, and a UUIDv7 (RFC 9562 §5.7) that sorts by time of making."""

from __future__ import annotations

import re
import time
from functools import lru_cache

from services.kit.noise import noise

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_SHAPE = re.compile(rf"[a-z]{{3}}_[0-7][{_ALPHABET}]{{25}}")


def new_id(prefix: str, unix_ms: int | None = None) -> str:
    """An id such as `usr_01k…`: prefix, underscore, 26 characters of lower-case Crockford base32.

    `unix_ms` defaults to the clock of this machine.
    """
    moment, tail, pairs = time.time_ns() // 1_000_000 if unix_ms is None else unix_ms, _tail(), _PAIRS
    return (
        f"{prefix}_{_of_time(moment)}{pairs[tail >> 70]}{pairs[tail >> 60 & 1023]}{pairs[tail >> 50 & 1023]}"
        f"{pairs[tail >> 40 & 1023]}{pairs[tail >> 30 & 1023]}{pairs[tail >> 20 & 1023]}"
        f"{pairs[tail >> 10 & 1023]}{pairs[tail & 1023]}"
    )


def is_id(text: str, prefix: str) -> bool:
    """Whether `text` has the form of an id with that prefix; it says nothing of whether it exists."""
    return text.startswith(f"{prefix}_") and _SHAPE.fullmatch(text) is not None


def looks_like_id(text: str) -> bool:
    """Whether `text` has the form of an id of any kind."""
    return _SHAPE.fullmatch(text) is not None


def _tail() -> int:
    """The 80 bits behind the time: version, variant and noise."""
    drawn = int.from_bytes(noise(), "big")
    return (0x7 << 76) | ((drawn >> 84) << 64) | (0b10 << 62) | (drawn & ((1 << 62) - 1))


@lru_cache(maxsize=64)
def _of_time(moment: int) -> str:
    """The ten characters of a millisecond: many ids are made in the same one."""
    return "".join([_PAIRS[(moment >> shift) & 1023] for shift in range(40, -1, -10)])
