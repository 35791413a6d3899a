"""How much a run of the faults does, and what each test tells of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

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
