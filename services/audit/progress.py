"""How far audit has come: the largest position p with every position up to p recorded or parked.

Positions of identity's log are dense, so a hole is something that did not arrive (yet).

Source: tables `records` and `parked`; sink: the one row of `progress`, which only saves the way at a start.
"""

from __future__ import annotations

import asyncio
import time

from services.kit.errors import Unavailable
from services.kit.parked import describe
from services.kit.postgres import Pool
from services.kit.telemetry import logger

log = logger(__name__)

POLL_SECONDS = 1.0
WAIT_SECONDS = 5.0
RUN = 1_000


class NotYet(Unavailable):
    """Audit has not come that far yet; ask again."""

    code = "not_yet"


class Progress:
    """Counted in memory, after each commit of this process and once a second for those of others."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._moved = asyncio.Condition()
        self._committed = asyncio.Event()
        self.epoch = 0
        self.position = 0
        self._saved = (0, 0)
        self._saved_at = 0.0

    def committed(self) -> None:
        """Something was recorded or parked: look how far that brings us."""
        self._committed.set()

    async def load(self) -> None:
        row = await self._pool.fetchrow("SELECT epoch, position FROM progress")
        if row is not None:
            self.epoch, self.position = row["epoch"], row["position"]
        await self.advance()

    async def run(self) -> None:
        """Keep counting until cancelled."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._committed.wait()
            except TimeoutError:
                pass
            self._committed.clear()
            try:
                await self.advance()
                if time.monotonic() - self._saved_at >= POLL_SECONDS:
                    self._saved_at = time.monotonic()
                    await self._save()
            except Exception as error:  # noqa: BLE001 # whatever it is, the next second tries again
                log.warning("progress cannot be counted", error=describe(error))
                await asyncio.sleep(POLL_SECONDS)

    async def advance(self) -> None:
        """Move over all positions that follow without a hole, and wake who waits."""
        before = self.position
        while await self._step():
            pass
        if self.position != before:
            async with self._moved:
                self._moved.notify_all()

    async def _step(self) -> bool:
        """Read one run of positions; whether there may be more."""
        end = self.position + RUN
        for row in await self._pool.fetch(_NEXT, self.position, self.epoch, end):
            if row["position"] != self.position + 1:
                return False
            self.position += 1
        return self.position == end

    async def _save(self) -> None:
        if (self.epoch, self.position) != self._saved:
            now = self.epoch, self.position
            await self._pool.execute(
                "UPDATE progress SET epoch = $1, position = $2 WHERE (epoch, position) < ($1, $2)", *now
            )
            self._saved = now

    async def next_known(self) -> int | None:
        """The first position behind a hole; None where nothing is known beyond."""
        return await self._pool.fetchval(_BEHIND_HOLE, self.position, self.epoch)

    async def begin_epoch(self, epoch: int, position: int) -> None:
        """Take up counting at a log that was restored and, up to `position`, read again."""
        self.epoch, self.position = epoch, position
        await self._pool.execute("UPDATE progress SET epoch = $1, position = $2", epoch, position)
        async with self._moved:
            self._moved.notify_all()

    async def wait_for(self, position: int) -> None:
        """Return once progress is there; raises NotYet after 5 seconds."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._moved:
                await self._moved.wait_for(lambda: self.position >= position)
        except TimeoutError:
            raise NotYet(retry_after=1) from None


# UNION takes out doubles (an event that was parked here and fetched there) and keeps both scans on an index.
_NEXT = (
    "SELECT position FROM records WHERE position > $1 AND position <= $3 AND epoch >= $2"
    " UNION SELECT position FROM parked WHERE position > $1 AND position <= $3 ORDER BY position"
)
_BEHIND_HOLE = (
    "SELECT least("
    " (SELECT min(position) FROM records WHERE position > $1 AND epoch >= $2),"
    " (SELECT min(position) FROM parked WHERE position > $1))"
)
