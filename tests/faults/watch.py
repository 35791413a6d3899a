"""Sees when a notifier or PostgreSQL was away: between two moments nobody could write down that a mail had gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.faults.ground import Ground
from tests.faults.mail_server import Outage

LOOK_SECONDS = 0.05
RECOVERY = timedelta(seconds=5)
"""So long after PostgreSQL runs again somebody may still fail to reach it."""


@dataclass
class Watch:
    """What it saw is in `outages`; one that is under way ends at the last look."""

    ground: Ground
    outages: list[Outage]
    well: dict[str, tuple[int, datetime]] = field(default_factory=dict)
    """Name → the process that was seen well last, and when."""
    away: dict[str, Outage] = field(default_factory=dict)

    def look(self) -> None:
        now = datetime.now(UTC)
        for name in (*self._notifiers(), "postgres"):
            pid = self._pid(name)
            self.note(name, pid, now, is_well=pid is not None and _runs(pid))

    def note(self, name: str, pid: int | None, now: datetime, *, is_well: bool) -> None:
        """Take note of what was seen: which process there is, and whether it runs."""
        before = self.well.get(name)
        if before and name not in self.away and not (is_well and pid == before[0]):
            self.away[name] = Outage(name, before[1], now)
            self.outages.append(self.away[name])
        if name in self.away and name == "postgres":
            self.away[name].ended = now + RECOVERY
        elif name in self.away and before and pid == before[0]:
            self.away[name].ended = now  # it is frozen, and goes on where it was; one that died does not
        if pid is not None and is_well:
            self.away.pop(name, None)
            self.well[name] = pid, now

    def _notifiers(self) -> Sequence[str]:
        return [name for name in self.ground.names if name.startswith("notifier")]

    def _pid(self, name: str) -> int | None:
        if name != "postgres":
            return self.ground.pids.get(name)
        process = self.ground.servers.postgres._process
        return process.pid if process is not None else None


def _runs(pid: int) -> bool:
    """Whether there is such a process that is neither stopped nor dead."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "TtZX"


@asynccontextmanager
async def watching(ground: Ground, outages: list[Outage]) -> AsyncIterator[None]:
    """Look until the end of the block."""
    watch = Watch(ground, outages)

    async def look() -> None:
        while True:
            watch.look()
            await asyncio.sleep(LOOK_SECONDS)

    watch.look()
    task = asyncio.create_task(look())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        watch.look()
