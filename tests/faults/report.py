"""What a run of the faults did, told at its end: how much work there was, and which point was hit how often."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.evidence import Evidence
from tests.faults.history import History

LONG = os.environ.get("FAULTS") == "long"
"""The long form (`make faults`); without it a slice of each, for every change."""
SEED = int(os.environ.get("FAULTS_SEED", "1"))


def either(long: float, short: float) -> float:
    """How much of something this run does."""
    return long if LONG else short


@dataclass
class Report:
    lines: list[str] = field(default_factory=list)
    points: Counter[str] = field(default_factory=Counter)

    def note(self, name: str, history: History, evidence: Evidence, *more: str) -> None:
        told = (
            f"{history.acknowledged} of {len(history.commands)} commands acknowledged ({history.rate():.0f}/s), "
            f"{history.unknown} attempts without an answer, {len(evidence.log)} events, "
            f"{len(evidence.deliveries)} mails"
        )
        self.lines.append(f"{name} (seed {history.seed}): " + ", ".join([told, *more]))

    def say(self, name: str, text: str) -> None:
        self.lines.append(f"{name}: {text}")

    def hit(self, points: Counter[str]) -> None:
        self.points |= points  # a ground counts from its start: the larger figure is the later one
