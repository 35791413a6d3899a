"""What a run of the faults did, told at its end: how much work there was, and which point was hit how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

LINE, POINTS = "faults", "faults: points"
"""Names of the properties that a test of the faults leaves with its result, from whichever worker it ran in."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    left = list(_properties(terminalreporter))
    if not left:
        return
    terminalreporter.section("faults")
    points: Counter[str] = Counter()
    for name, value in left:
        if name == LINE:
            terminalreporter.write_line(value)
        else:
            points |= Counter(value)  # a ground counts from its start: the larger figure is the later one
    for point, hits in sorted(points.items()):
        terminalreporter.write_line(f"  {hits:5}  {point}")


def _properties(terminalreporter: Any) -> Iterator[tuple[str, Any]]:
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                yield from (each for each in report.user_properties if each[0] in (LINE, POINTS))
