"""One leader among the processes that share a database: an advisory lock, held by a heartbeat.

The lock lives as long as its connection. A leader that freezes misses its heartbeats, PostgreSQL ends the
idle session, and the next one leads. What a leader writes must besides name its epoch, which each take-over
raises: a frozen one that wakes up finds both gone.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.kit.postgres import DATABASE_AWAY, Connection, connect

_CLASS = 0x72656C79
"""First half of the advisory lock's name ("rely"), the second is made from the leadership's name."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A leader is taken for frozen when it was not heard of for `frozen`."""

    heartbeat: float = 1.0
    frozen: float = 5.0
    standby: float = 0.5


class LeadershipLost(Exception):
    """Another process leads, or the connection that held the lock is gone."""


@asynccontextmanager
async def candidate(url: str, name: str, timing: Timing) -> AsyncIterator[Candidate]:
    """Stand for the leadership called `name`; at the end of the block the lock is given back."""
    connection = await connect(
        url, command_seconds=timing.frozen, idle_session_timeout=f"{round(timing.frozen * 1000)}ms"
    )
    try:
        yield Candidate(connection, name, timing)
    finally:
        connection.terminate()


class Candidate:
    """A process that waits for the lock or holds it."""

    def __init__(self, connection: Connection, name: str, timing: Timing) -> None:
        self.connection = connection
        """Holds the lock; for listening, and for what only a leader may write. Not while `hold` runs."""
        self._lock = zlib.crc32(name.encode()) - (1 << 31)
        self._timing = timing

    async def elected(self, waits_on: Callable[[], bool]) -> bool:
        """Wait until this one leads.

        Args:
            waits_on: asked each time that another one was found leading; no longer when it says False.

        Returns:
            Whether this one leads.
        """
        while not await self._try_lock():
            if not waits_on():
                return False
            await asyncio.sleep(self._timing.standby)
        return True

    async def _try_lock(self) -> bool:
        return await self.connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _CLASS, self._lock)

    async def hold(self) -> None:
        """Keep the lock, for ever.

        Raises:
            LeadershipLost: as soon as the connection does not answer.
        """
        try:
            while True:
                await asyncio.sleep(self._timing.heartbeat)
                await self.connection.execute("SELECT 1")
        except DATABASE_AWAY as error:
            raise LeadershipLost(f"the connection of the leader is gone ({type(error).__name__})") from error
