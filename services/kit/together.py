"""Reads that arrive together are asked together: one statement for all that wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

from services.kit.postgres import Connection, Pool

K = TypeVar("K")
V = TypeVar("V")
AT_ONCE = 128


class Together(Generic[K, V]):
    """Answers each question by a statement that began after it was asked: nothing is older than its question.

    Without others it is asked at once. While a statement is under way the next ones gather behind it.
    """

    def __init__(
        self, pool: Pool, ask: Callable[[Connection, Sequence[K]], Awaitable[Mapping[K, V]]]
    ) -> None:
        """Take the pool, and the statement: from the keys to what was found, by key."""
        self._pool, self._ask = pool, ask
        self._waiting: list[tuple[K, asyncio.Future[V | None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, key: K) -> V | None:
        """What there is under this key; raises what the statement raises."""
        answered: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answered))
        if self._task is None:
            self._task = asyncio.create_task(self._answer_all())
        return await answered

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
                await self._answer([(key, answered) for key, answered in batch if not answered.done()])
        finally:
            self._task = None

    async def _answer(self, batch: Sequence[tuple[K, asyncio.Future[V | None]]]) -> None:
        found: Mapping[K, V] = {}
        failed: BaseException | None = None
        try:
            async with self._pool.acquire() as connection:
                found = await self._ask(connection, list({key for key, _ in batch}))
        except Exception as error:  # noqa: BLE001 (it belongs to those who asked)
            failed = error
        except asyncio.CancelledError:
            for _, answered in batch:
                answered.cancel()
            raise
        for key, answered in batch:
            if answered.done():
                continue
            if failed is None:
                answered.set_result(found.get(key))
            else:
                answered.set_exception(failed)
