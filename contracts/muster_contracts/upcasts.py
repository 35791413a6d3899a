"""Old versions brought to the newest, one step at a time, before anyone sees them.

A step gets the data of one version and returns that of the next; it never changes what it was given:

    def _user_created_1(data: Data) -> Data:
        return {**data, "locale": None}

    STEPS = {("user.created", 1): _user_created_1}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from muster_contracts.events import Data

Step = Callable[[Data], Data]

STEPS: Mapping[tuple[str, int], Step] = {}


def upcast(
    type_: str, version: int, data: Data, steps: Mapping[tuple[str, int], Step] = STEPS
) -> tuple[int, Data]:
    """Return the newest version that the steps lead to, and the data in it."""
    while step := steps.get((type_, version)):
        version, data = version + 1, step(data)
    return version, data
