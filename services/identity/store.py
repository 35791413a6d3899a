"""The log's writer: makes units durable, many in one transaction, positions drawn last.

A *unit* is all that one decision wants kept: its events, the heads that it relied on, claims, keys, vault
writes and the idempotent answer. Either all of it is in the log and the read models when `commit` returns, or
none.

The order of statements is what keeps positions dense and in commit order (design §2, "Group commit"):
heads are locked in id order, conflicts are found in memory, claims are inserted before anything else of a
unit is written, and the one-row counter `log_head` is taken by the last statement before the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar, Self

from muster_contracts.events import Event

from services.kit.errors import Unavailable
from services.kit.postgres import DATABASE_AWAY, Connection, connect
from services.kit.sql import named
from services.kit.telemetry import logger

log = logger(__name__)
SQL = named(__file__)

BATCH = 128
TRANSACTION_SECONDS = 10
RECONNECT_SECONDS = 0.2


class Conflict(Exception):
    """Something that the decision relied on moved meanwhile; `heads` are the ones, to be queued on."""

    def __init__(self, heads: Iterable[str]) -> None:
        self.heads = frozenset(heads)
        super().__init__("a head moved or a claim is taken")


@dataclass(frozen=True, slots=True)
class Fact:
    """An event with its place in its stream and what the log's row says beside it.

    `ip` and `user_agent` are those of who did it.
    """

    id: str
    stream: str
    version: int
    event: Event
    occurred_at: datetime
    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A unique text (`login:org_…:ada`) and who holds it; `expires_at` for those that a janitor removes."""

    id: str
    owner: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Write:
    """A row of the vault: the class holds the statement, the fields are its parameters in order.

    Removals of a batch run before its additions, so that a unit may replace what it removes.
    """

    sql: ClassVar[str]
    removes: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The sealed answer to a request with an `Idempotency-Key`; its position is filled in by the commit."""

    claim: str
    request: bytes
    status: int
    body: bytes
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Unit:
    """What one decision wants made durable, all or nothing.

    Args:
        org: of every event in it.
        facts: in the order in which they get their positions; dense per stream, after `reads[stream]`.
        rows: the log's rows of the facts (without position and epoch), sealed; column order of `append.sql`.
        reads: every head that the decision relied on → its version then; 0 for a head that must not exist
        yet.
        touches: guards among `reads` that this unit advances.
        claims: must be free, else Conflict.
        releases: claims given up.
        keys: of persons that the unit creates: (id, master, wrapped, created_at).
        writes: vault rows.
        answer: kept for replay.
    """

    org: str
    facts: tuple[Fact, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    reads: Mapping[str, int] = field(default_factory=dict[str, int])
    touches: frozenset[str] = frozenset()
    claims: tuple[Claim, ...] = ()
    releases: tuple[str, ...] = ()
    keys: tuple[tuple[str, str, bytes, datetime], ...] = ()
    writes: tuple[Write, ...] = ()
    answer: Answer | None = None

    def advances(self) -> dict[str, int]:
        """Head → its version after this unit."""
        heads = {guard: self.reads[guard] + 1 for guard in self.touches}
        for fact in self.facts:
            heads[fact.stream] = fact.version
        return heads


Project = Callable[[Connection, Sequence[tuple[str, Fact]]], Awaitable[None]]
"""Fills the read models from (org, fact) pairs in log order, inside the given transaction."""

Outcome = int | Exception


class Store:
    """One writer task and connection of a process; `commit` may be called from any number of tasks."""

    def __init__(self, url: str, project: Project) -> None:
        self._url = url
        self._project = project
        self._queue: asyncio.Queue[tuple[Unit, asyncio.Future[int]]] = asyncio.Queue()
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write_forever(), name="writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():
            _settle(self._queue.get_nowait()[1], Unavailable("The process stops.", retry_after=1))
        if self._connection is not None:
            await self._connection.close(timeout=2)

    @property
    def alive(self) -> bool:
        """Whether the writer task runs, for readiness."""
        return self._task is not None and not self._task.done()

    async def commit(self, unit: Unit) -> int:
        """Make the unit durable.

        Returns:
            The position of its last event; of the log's head where it has none.

        Raises:
            Conflict: a head moved, or a claim is taken: read and decide again.
            Unavailable: the database is away, or the process stops. The unit may have been committed when it
                went away in the middle of the commit; who needs to know repeats the request with its idempotency key.
        """
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((unit, done))
        return await done

    async def _write_forever(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            batch = [(unit, done) for unit, done in batch if not done.done()]
            if not batch:
                continue
            try:
                outcomes = await self._write([unit for unit, _ in batch])
            except asyncio.CancelledError:
                for _, done in batch:
                    done.cancel()
                raise
            for (_, done), outcome in zip(batch, outcomes, strict=True):
                _settle(done, outcome)

    async def _write(self, units: list[Unit]) -> list[Outcome]:
        try:
            return await self._transact(units)
        except DATABASE_AWAY as error:
            log.warning("database away", error=type(error).__name__)
            await self._drop_connection()
            return [Unavailable("The database is away.", retry_after=1) for _ in units]
        except Exception as error:
            await self._drop_connection()
            if len(units) == 1:
                log.exception("unit failed")
                return [error]
            log.warning("batch failed, its units are tried alone", error=type(error).__name__)
            return [outcome for unit in units for outcome in await self._write([unit])]

    async def _transact(self, units: list[Unit]) -> list[Outcome]:
        connection = await self._connected()
        async with connection.transaction():
            return await _Batch(connection, units).write(self._project)

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(
                self._url,
                transaction_timeout=f"{TRANSACTION_SECONDS}s",
                idle_in_transaction_session_timeout=f"{TRANSACTION_SECONDS}s",
                plan_cache_mode="force_generic_plan",  # all go by key; planning a batch costs a third of its append
            )
        return self._connection

    async def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None
        await asyncio.sleep(RECONNECT_SECONDS)


def _settle(done: asyncio.Future[int], outcome: Outcome) -> None:
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)


class _Batch:
    """One transaction's worth of units; `outcomes` are in the order of the units."""

    def __init__(self, connection: Connection, units: list[Unit]) -> None:
        self._db = connection
        self._units = units
        self._conflicts: dict[int, Conflict] = {}

    async def write(self, project: Project) -> list[Outcome]:
        await self._find_conflicts()
        await self._reserve()
        units = self._surviving()
        await self._write_heads(units)
        await self._write_vault(units)
        await project(self._db, [(unit.org, fact) for unit in units for fact in unit.facts])
        positions = iter(await self._append(units))
        return [self._conflicts.get(n) or next(positions) for n in range(len(self._units))]

    def _surviving(self) -> list[Unit]:
        return [unit for n, unit in enumerate(self._units) if n not in self._conflicts]

    async def _find_conflicts(self) -> None:
        ids = sorted({head for unit in self._units for head in unit.reads})
        current = {row[0]: row[1] for row in await self._db.fetch(SQL["lock_heads"], ids)}
        written: set[str] = set()
        for n, unit in enumerate(self._units):
            moved = {h for h, v in unit.reads.items() if current.get(h, 0) != v or h in written}
            if moved:
                self._conflicts[n] = Conflict(moved)
            else:
                written |= unit.advances().keys()

    async def _reserve(self) -> None:
        """Insert new heads and claims; who misses one is dropped, and what it got before is given back."""
        heads = await self._insert_unique(
            "insert_heads", lambda unit: [(h, v) for h, v in unit.advances().items() if not unit.reads.get(h)]
        )
        claims = await self._insert_unique(
            "insert_claims", lambda unit: [(c.id, c.owner, c.expires_at) for c in unit.claims]
        )
        await self._delete("delete_heads", [h for h, n in heads.items() if n in self._conflicts])
        lost = [c for c, n in claims.items() if n in self._conflicts]
        await self._delete("delete_claims", [*lost, *(c for u in self._surviving() for c in u.releases)])

    async def _delete(self, statement: str, ids: list[str]) -> None:
        if ids:
            await self._db.execute(SQL[statement], sorted(ids))

    async def _insert_unique(
        self, statement: str, wanted: Callable[[Unit], list[tuple[Any, ...]]]
    ) -> dict[str, int]:
        """Insert rows whose first column is unique; returns what was got → index of the unit that got it."""
        rows: dict[str, tuple[Any, ...]] = {}
        holders: dict[str, int] = {}
        for n, unit in enumerate(self._units):
            own = [] if n in self._conflicts else wanted(unit)
            if taken := {row[0] for row in own} & rows.keys():
                self._conflicts[n] = Conflict(taken)
                continue
            rows.update({row[0]: row for row in own})
            holders.update({row[0]: n for row in own})
        if not rows:
            return {}
        columns = list(zip(*(rows[key] for key in sorted(rows)), strict=True))
        got = {row[0] for row in await self._db.fetch(SQL[statement], *columns)}
        for missed in rows.keys() - got:
            self._conflicts[holders[missed]] = Conflict([missed])
        return {key: holders[key] for key in got}

    async def _write_heads(self, units: list[Unit]) -> None:
        known = {h: v for unit in units for h, v in unit.advances().items() if unit.reads.get(h)}
        if known:
            await self._db.execute(SQL["advance_heads"], list(known), list(known.values()))

    async def _write_vault(self, units: list[Unit]) -> None:
        keys = [key for unit in units for key in unit.keys]
        if keys:
            await self._db.executemany(SQL["insert_keys"], keys)
        writes = [write for unit in units for write in unit.writes]
        writes.sort(key=lambda w: (not w.removes, type(w).__name__))
        for sql, group in groupby(writes, key=lambda w: w.sql):
            await self._db.executemany(sql, [astuple(write) for write in group])

    async def _append(self, units: list[Unit]) -> list[int]:
        rows = [row for unit in units for row in unit.rows]
        columns = list(zip(*rows, strict=True)) if rows else [()] * EVENT_COLUMNS
        ends: list[int] = []
        for unit in units:
            ends.append((ends[-1] if ends else 0) + len(unit.rows))
        answers = [
            (a.claim, a.request, a.status, a.body, unit.org, end, a.created_at)
            for unit, end in zip(units, ends, strict=True)
            if (a := unit.answer) is not None
        ]
        answer_columns = list(zip(*answers, strict=True)) if answers else [()] * 7
        base = await self._db.fetchval(SQL["append"], len(rows), *columns, *answer_columns)
        return [base + end for end in ends]


EVENT_COLUMNS = 22
