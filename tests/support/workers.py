"""How a run of all tests is shared out between workers of pytest-xdist, each with servers of its own.

What runs on the one `make up` stays in one worker, and so do the faults; whoever is free takes the next file of
the others, in order.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {"console": "make up", "e2e": "make up", "faults": "faults"}
"""Folders of tests whose servers are taken by one worker."""


class ByServers(LoadScopeScheduling):
    """Gives a worker what belongs together, or the tests of one file."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False  # else the files with the most tests first: the shortest ones
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return TOGETHER.get(file.split("/")[1], file)
