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

    @property
    def is_new(self) -> bool:
        """Whether it was done by this very attempt."""
        return self.done and not self.replayed


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
class OwnAct:
    """What somebody did to themself: signed in, chose a password; `type` is of the event that it leads to.

    The answer names no events.
    """

    user: str
    type: str
    attempt: Attempt

    @property
    def acknowledged(self) -> bool:
        """Whether it was done; half a session is none yet."""
        body = self.attempt.body
        return self.attempt.done and (body or {}).get("next", "done") == "done"


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
    """Request ids of what is no command, and changes things too or leaves a refusal."""
    own: list[OwnAct] = field(default_factory=list)

    def requests(self) -> set[str]:
        return self.others | {attempt.request_id for command in self.commands for attempt in command.attempts}

    @property
    def acknowledged(self) -> int:
        """Commands with any answer, be it a refusal or a repeat of what was answered before."""
        return sum(bool(command.answered) for command in self.commands)

    @property
    def unknown(self) -> int:
        return sum(attempt.unknown for command in self.commands for attempt in command.attempts)

    def rate(self) -> float:
        """Accepted commands a second over the whole time."""
        moments = [attempt.ended for attempt in self._accepted()]
        return len(moments) / (max(moments) - min(moments)) if len(moments) > 1 else 0.0

    def _accepted(self) -> list[Attempt]:
        """Of each command that was done the attempt that was answered so first."""
        accepted = ((a for a in command.attempts if a.is_new) for command in self.commands)
        return [first for attempts in accepted if (first := next(attempts, None))]
