"""What was asked and what was answered: one side of the comparison, the other one is the evidence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KEPT_REFUSALS = frozenset({403, 409, 422})


@dataclass
class Attempt:
    """One request; `status` is None where no answer came, and nobody knows whether it was done."""

    request_id: str
    via: str
    began: float
    ended: float = 0.0
    status: int | None = None
    body: Any = None
    replayed: bool = False

    @property
    def unknown(self) -> bool:
        """Whether it may have been done or not: no answer, or one that says that it is not known."""
        return self.status is None or self.status >= 500

    @property
    def done(self) -> bool:
        return self.status is not None and self.status < 300


@dataclass
class Command:
    """One thing that a caller wanted, in as many attempts as it took: more than one only with a key."""

    org: str
    actor: str
    act: str
    target: str | None
    key: str | None
    method: str
    path: str
    json: Any
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def answered(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if not attempt.unknown]


@dataclass
class Read:
    """A user was read through one process after a change was acknowledged through another."""

    user: str
    acknowledged: int
    shown: int | None


@dataclass
class History:
    seed: int
    commands: list[Command] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    others: set[str] = field(default_factory=set)
    """Request ids of sign-ins, which change things too, and whose answers are not compared."""

    def requests(self) -> set[str]:
        return self.others | {attempt.request_id for command in self.commands for attempt in command.attempts}

    @property
    def acknowledged(self) -> int:
        return sum(bool(command.answered) for command in self.commands)

    @property
    def unknown(self) -> int:
        return sum(attempt.unknown for command in self.commands for attempt in command.attempts)

    def rate(self) -> float:
        """Acknowledged commands a second over the whole time."""
        moments = [attempt.ended for command in self.commands for attempt in command.answered]
        return len(moments) / (max(moments) - min(moments)) if len(moments) > 1 else 0.0
