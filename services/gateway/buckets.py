"""How many calls a second: one token bucket per credential, in memory, per process."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether the call may pass, and how many more may follow at once."""

    granted: bool
    remaining: int


class Buckets:
    """Token buckets of one second's worth; when there are too many, the least recently used go."""

    def __init__(self, per_second: int, capacity: int = 100_000) -> None:
        self._per_second = per_second
        self._capacity = capacity
        self._full_at: OrderedDict[bytes, float] = OrderedDict()
        """When each bucket will be full again: all that a token bucket needs to know (GCRA)."""

    def take(self, key: bytes, now: float) -> Allowance:
        """Take a token of the bucket `key`; `now` is in seconds of a clock that never goes back."""
        full_at = max(self._full_at.pop(key, now), now)
        left = (1.0 - (full_at - now)) * self._per_second
        granted = left >= 1.0 - 1e-6  # the sum of many small steps is not quite the whole
        if granted:
            full_at += 1.0 / self._per_second
            left -= 1.0
        self._full_at[key] = full_at
        if len(self._full_at) > self._capacity:
            self._full_at.popitem(last=False)
        return Allowance(granted, max(0, math.floor(left + 1e-6)))

    def __len__(self) -> int:
        return len(self._full_at)
