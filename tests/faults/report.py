"""How much a run of the faults does, and what each test tells of it."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from tests.faults.evidence import Evidence
from tests.faults.history import History
from tests.faults.summary import LINE, POINTS

LONG = os.environ.get("FAULTS") == "long"
"""The long form (`make faults`); without it a slice of each, for every change."""
SEED = int(os.environ.get("FAULTS_SEED", "1"))


def either(long: float, short: float) -> float:
    """How much of something this run does."""
    return long if LONG else short


@dataclass(frozen=True, slots=True)
class Pace:
    """How work went on from one moment to another: what was refused, or under way before, is not counted."""

    accepted: int
    seconds: float
    silence: float
    """Seconds, the longest in which nothing that had begun since was accepted."""

    @property
    def rate(self) -> float:
        return self.accepted / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        return f"{self.accepted} accepted in {self.seconds:.1f} s, none for {self.silence:.1f} s at most"


def pace(history: History, since: float, until: float | None = None, *, via: str = "") -> Pace:
    """How work went on since a moment, until another one or until now.

    Args:
        history: of what was asked.
        since, until: moments of the monotonic clock; without the second one, until now.
        via: how the names of the processes begin that were asked.
    """
    until = until or time.monotonic()
    ends = sorted(
        attempt.ended
        for command in history.commands
        for attempt in command.attempts
        if attempt.done and not attempt.replayed and attempt.via.startswith(via)
        if attempt.began >= since and attempt.ended <= until
    )
    silence = max(later - earlier for earlier, later in pairwise([since, *ends, until]))
    return Pace(len(ends), until - since, silence)


@dataclass(frozen=True, slots=True)
class Report:
    """Takes what one test did; `tests.faults.summary` tells it at the end of the run."""

    record: Callable[[str, object], None]

    def note(self, name: str, history: History, evidence: Evidence, *more: str) -> None:
        told = (
            f"{history.acknowledged} of {len(history.commands)} commands acknowledged ({history.rate():.0f}/s), "
            f"{history.unknown} attempts without an answer, {len(evidence.log)} events, "
            f"{len(evidence.deliveries)} mails"
        )
        self.say(f"{name} (seed {history.seed})", ", ".join([told, *more]))

    def say(self, name: str, text: str) -> None:
        self.record(LINE, f"{name}: {text}")

    def hit(self, points: Counter[str]) -> None:
        self.record(POINTS, dict(points))
