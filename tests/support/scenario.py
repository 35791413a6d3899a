"""given / when / then, for pure deciders: a state, a command, then events, nothing, or a refusal.

given(decide, situation).when(Deactivate(by, "kil_1")).then(UserDeactivated, SessionEnded)
given(decide, situation).when(Deactivate(by, "kil_1")).then_refused(SelfAction)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from muster_contracts.events import Event

from services.kit.errors import MusterError

S = TypeVar("S")
C = TypeVar("C")


@dataclass(frozen=True)
class Outcome:
    """What a decision led to: events, or the error that it raised."""

    events: list[Event]
    refused: MusterError | None

    def then(self, *expected: Event | type[Event]) -> list[Any]:
        """Expect exactly these events, each given whole or by its class; returns them."""
        assert self.refused is None, f"refused: {self.refused!r}"
        shown = [
            event if isinstance(want, Event) else type(event)
            for event, want in zip(self.events, expected, strict=False)
        ]
        assert [*shown, *self.events[len(expected) :]] == list(expected)
        return self.events

    def then_nothing(self) -> None:
        """Expect that nothing changes."""
        self.then()

    def then_refused(self, error: type[MusterError], **members: Any) -> MusterError:
        """Expect exactly this refusal, which shows these members among others."""
        assert self.refused is not None, f"decided: {self.events}"
        assert type(self.refused) is error
        assert members.items() <= self.refused.members.items()
        return self.refused


@dataclass(frozen=True)
class Scenario(Generic[S, C]):
    decide: Callable[[S, C], list[Event]]
    state: S

    def when(self, command: C) -> Outcome:
        try:
            return Outcome(self.decide(self.state, command), None)
        except MusterError as error:
            return Outcome([], error)


def given(decide: Callable[[S, C], list[Event]], state: S) -> Scenario[S, C]:
    return Scenario(decide, state)
