"""Session kills: what follows when identity has ended sessions.

Identity is already done when the event arrives: no request of that session is accepted any more. What is left
is to verify that (identity is asked for each kill; a session of it that still lives is an alarm), to order the
services that keep sessions of their own to end them, to collect what they answer, and to order again what is
late.

    wanted ──► ordered (session_kill.ordered, version 1) ──► late: ordered again (version 2, …)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from muster_contracts.kills import SessionKillConfirmed, SessionKillOrdered

from services.kit.postgres import Connection, Pool, Record
from services.kit.sql import named
from services.kit.telemetry import logger
from services.kit.times import rfc3339
from services.notifier.identity import Identity, IdentityAway
from services.notifier.log import Entry, Log
from services.notifier.reactions import Cause

log = logger(__name__)

SQL = named(__file__)
DEADLINE = timedelta(seconds=60)
"""Until then a service has to confirm; what is late is ordered again, with another deadline."""
MOST_ORDERS = 10
LONGEST_PAUSE = timedelta(seconds=60)
BATCH = 50
POLL_SECONDS = 0.5


async def want(connection: Connection, wanted: Sequence[tuple[str, Cause]]) -> None:
    """Note kills in the transaction that reads their events; a command names one kill in several events."""
    await connection.executemany(
        SQL["want"],
        [
            (kill, c.event_id, c.type, c.org, c.user, c.action, c.correlation_id, c.traceparent)
            for kill, c in wanted
        ],
    )


async def receive(connection: Connection, receipt: SessionKillConfirmed) -> None:
    """Note what a service answered; the first answer counts, for a repeated order finds nothing left to end.

    Raises:
        asyncpg.ForeignKeyViolationError: nobody ordered such a kill.
    """
    await connection.execute(SQL["receive"], receipt.kill, receipt.service, receipt.ended, receipt.at)


async def status(pool: Pool, org: str, kill: str, expected: Sequence[str]) -> dict[str, Any] | None:
    """What `GET /v1/session-kills/{id}` answers; None for one that this organization does not have.

    Args:
        pool: of the notifier's database.
        org: of the caller.
        kill: its id.
        expected: services that have to confirm.
    """
    row = await pool.fetchrow("SELECT * FROM kills WHERE id = $1 AND org = $2", kill, org)
    if row is None:
        return None
    receipts = await pool.fetch("SELECT * FROM receipts WHERE kill = $1 ORDER BY at, service", kill)
    answered = {receipt["service"] for receipt in receipts}
    waiting = "late" if row["deadline_at"] and await _is_past(pool, row["deadline_at"]) else "waiting"
    return {
        "kill": kill,
        "user": row["user"],
        "ordered_at": rfc3339(row["ordered_at"]),
        "services": [
            *(_service(r["service"], "confirmed", r["at"], r["ended"]) for r in receipts),
            *(_service(name, waiting, None, None) for name in expected if name not in answered),
        ],
    }


def _service(name: str, status: str, at: datetime | None, ended: int | None) -> dict[str, Any]:
    return {"name": name, "status": status, "at": rfc3339(at), "ended": ended}


class Kills:
    """Verifies and orders until cancelled."""

    def __init__(self, pool: Pool, log_: Log, identity: Identity, expected: Sequence[str]) -> None:
        """Take what it needs.

        Args:
            pool: of the notifier's database.
            log_: where orders are written.
            identity: who knows what a kill ended.
            expected: services that have to confirm each kill; none are known before they can subscribe.
        """
        self._pool, self._log, self._identity, self._expected = pool, log_, identity, tuple(expected)
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        while True:
            self._wake.clear()
            await self.order_wanted()
            await self.order_late()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def order_wanted(self) -> None:
        """Verify and order what is due."""
        for row in await self._pool.fetch(SQL["due"], BATCH):
            await self._order(row)

    async def order_late(self) -> None:
        """Order again what an expected service has not confirmed in time."""
        if not self._expected:
            return
        for row in await self._pool.fetch(SQL["late"], list(self._expected), MOST_ORDERS, BATCH):
            log.warning("a kill is late", kill=row["id"], orders=row["version"])
            await self._write_order(row, row["sessions"])

    async def _order(self, row: Record) -> None:
        try:
            killed = await self._identity.killed(row["id"], row["user"])
        except IdentityAway:
            await self._put_off(row)
            return
        if killed is None:
            log.error("identity knows no such kill", alarm=True, kill=row["id"])
            await self._put_off(row)
        elif killed.live:
            log.error("sessions live on after their kill", alarm=True, kill=row["id"], sessions=killed.live)
            await self._put_off(row)
        else:
            await self._write_order(row, killed.sessions)

    async def _write_order(self, row: Record, sessions: Sequence[str]) -> None:
        """Write one order with the next version, unless another process was faster."""
        async with self._pool.acquire() as connection, connection.transaction():
            ordered = await connection.fetchrow(
                SQL["ordered"], row["id"], row["version"], list(sessions), DEADLINE
            )
            if ordered is not None:
                await self._log.append(connection, [_entry(ordered)])

    async def _put_off(self, row: Record) -> None:
        pause = min(LONGEST_PAUSE, timedelta(seconds=2.0 ** min(row["attempts"], 10)))
        await self._pool.execute(SQL["put_off"], row["id"], pause)


def _entry(row: Record) -> Entry:
    order = SessionKillOrdered(
        kill=row["id"],
        user=row["user"],
        sessions=tuple(row["sessions"]),
        cause=row["cause"],
        deadline_at=row["deadline_at"],
    )
    cause = Cause(
        row["event_id"], row["cause"], row["org"], row["user"], row["action"], row["correlation_id"],
        row["traceparent"], row["ordered_at"],
    )  # fmt: skip
    return Entry(order, row["version"], cause)


async def _is_past(pool: Pool, moment: datetime) -> bool:
    return await pool.fetchval("SELECT $1::timestamptz < now()", moment)
