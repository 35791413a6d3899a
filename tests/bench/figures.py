"""What a program of this folder finds: pairs of rounds, ours and the bare machine's, and the table of them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Args:
        what: is measured.
        unit: of `ours` and `bare`.
        ours: one value a round.
        bare: the same round's value of the reference, measured right before or after; empty without one.
        reference: what `bare` is.
        note: what else is worth knowing, in few words.
    """

    what: str
    unit: str
    ours: list[float]
    bare: list[float] = field(default_factory=list[float])
    reference: str = ""
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        return [ours / bare for ours, bare in zip(self.ours, self.bare, strict=False) if bare]


Measure = Callable[[], Awaitable[float]]


async def pairs(ours: Measure, bare: Measure, rounds: int = ROUNDS) -> tuple[list[float], list[float]]:
    """Measure both in turn, so that whatever else runs on the machine meets both."""
    found: tuple[list[float], list[float]] = [], []
    for number in range(rounds):
        order = ((0, ours), (1, bare)) if number % 2 == 0 else ((1, bare), (0, ours))
        for index, measure in order:
            found[index].append(await measure())
    return found


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def show(figure: Figure) -> None:
    """Print a line at once: a run takes minutes."""
    sys.stdout.write(line(figure) + "\n")
    sys.stdout.flush()


HEADER = (
    "| figure | ours (median, min-max) | reference | ratio (median, min-max) | note |\n|---|---|---|---|---|"
)


def line(figure: Figure) -> str:
    bare = f"{_number(median(figure.bare))} {figure.reference}" if figure.bare else figure.reference
    ratio = _spread(figure.ratios, "{:.2f}".format) if figure.bare else ""
    ours = f"{_spread(figure.ours, _number)} {figure.unit}"
    return f"| {figure.what} | {ours} | {bare} | {ratio} | {figure.note} |"


def _spread(values: list[float], shown: Callable[[float], str]) -> str:
    if len(values) == 1:
        return shown(values[0])
    return f"{shown(median(values))} ({shown(min(values))}-{shown(max(values))})"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
