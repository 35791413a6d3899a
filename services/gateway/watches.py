"""Whose client leaves while a service works for it has its call ended.

Looking costs a task, and most calls are answered before a client could leave. So only those are looked at that
are still running at the second tick after they began; one timer ticks for all of them.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive

TICK_SECONDS = 0.05


class Watch:
    """One running call; its task is canceled when the client leaves."""

    __slots__ = ("_asking", "_looking", "_receive", "_watches", "has_fired")

    def __init__(self, watches: Watches, receive: Receive) -> None:
        self.has_fired = False
        self._watches = watches
        self._receive = receive
        self._asking = asyncio.current_task()
        self._looking: asyncio.Task[None] | None = None

    def look(self) -> None:
        """Look from now on."""
        self._looking = asyncio.create_task(self._look())

    def end(self) -> None:
        """Stop looking: the answer is on its way, and the end of the call is no leaving."""
        self._watches.forget(self)
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_fired = True
        if self._asking is not None:
            self._asking.cancel()


class Watches:
    """The calls that run and are not looked at yet."""

    def __init__(self) -> None:
        self._young: set[Watch] = set()
        self._old: set[Watch] = set()
        self._is_ticking = False

    def begin(self, receive: Receive) -> Watch:
        """Watch over the running task; the caller ends it.

        Args:
            receive: of a request whose body has been read.
        """
        watch = Watch(self, receive)
        self._young.add(watch)
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        return watch

    def forget(self, watch: Watch) -> None:
        """Look at this one no more."""
        self._young.discard(watch)
        self._old.discard(watch)

    def _tick(self) -> None:
        for watch in self._old:
            watch.look()
        self._old, self._young = self._young, set()
        self._is_ticking = bool(self._old)
        if self._is_ticking:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
