"""Work that goes on beside the requests of a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from services.kit.telemetry import logger

log = logger(__name__)


@asynccontextmanager
async def running(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the block, and cancel them at its end."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def every(seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Do `work` now and then, until cancelled; one that fails is logged and tried again."""
    while True:
        try:
            await work()
        except Exception:  # the next round may have what this one lacked
            log.exception("periodic work failed", work=name)
        await asyncio.sleep(seconds)
