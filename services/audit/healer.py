"""Fetches from identity what did not come through Kafka, and tells identity how far audit has come.

A hole is healed once it is 2 seconds old and Kafka holds nothing unread that could fill it; a tail that is a
minute late (Kafka down, its retention passed, a new audit) is fetched as well. What is fetched twice, or
comes later all the same, is known by its id.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from services.audit.identity import AWAY, Head, Identity
from services.audit.progress import Progress
from services.kit.consumer import Consumer
from services.kit.parked import describe
from services.kit.telemetry import logger

log = logger(__name__)

PAGE = 500
TICK_SECONDS = 1.0
HOLE_SECONDS = 2.0
TAIL_SECONDS = 60.0
REPORT_SECONDS = 3.0


@dataclass(slots=True)
class _Hole:
    """A gap behind `after`, with what Kafka held when it was seen."""

    after: int
    until: int
    seen_at: float
    ends: dict[tuple[str, int], tuple[int, int]]


class Unanswered(Exception):
    """Identity has nothing behind that position, though its log is said to go on."""


class Healer:
    def __init__(self, progress: Progress, consumer: Consumer, identity: Identity) -> None:
        self._progress = progress
        self._consumer = consumer
        self._identity = identity
        self._hole: _Hole | None = None
        self._tail: Head | None = None
        self._tail_at = 0.0
        self._reported: int | None = None
        self._reported_at = 0.0

    async def start_new(self) -> None:
        """Bring an audit that holds nothing to where identity's log ends: Kafka keeps a week only."""
        if self._progress.position:
            return
        head = await self._identity.head()
        await self._begin(head)

    async def run(self) -> None:
        """Look once a second until cancelled; whatever is away is asked again."""
        new = True
        while True:
            try:
                if new:
                    await self.start_new()
                    new = False
                await self.tick()
            except AWAY as error:
                log.warning("identity cannot be asked", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 # evidence waits for no bug of this loop
                log.warning("healing failed", error=describe(error))
            await asyncio.sleep(TICK_SECONDS)

    async def tick(self) -> None:
        await self.heal_hole()
        now = time.monotonic()
        if now - self._tail_at >= TAIL_SECONDS:
            self._tail_at = now
            await self.heal_tail()
        if now - self._reported_at >= REPORT_SECONDS and self._progress.position != self._reported:
            position = self._progress.position
            await self._identity.report(position)
            self._reported, self._reported_at = position, now

    async def heal_hole(self) -> None:
        """Fetch what is missing between two known positions, when it is certain not to be under way."""
        until = await self._progress.next_known()
        after = self._progress.position
        if until is None or until == after + 1:
            self._hole = None
            return
        if self._hole is None or self._hole.after != after:
            self._hole = await self._seen(after, until)
        elif time.monotonic() - self._hole.seen_at >= HOLE_SECONDS and await self._is_read(self._hole):
            log.warning("healing a hole", after=after, until=until)
            await self.fetch(after, until - 1)
            self._hole = None

    async def heal_tail(self) -> None:
        """Fetch what was in the log a minute ago and is not here; begin again where the log was restored."""
        late, head = self._tail, await self._identity.head()
        self._tail = head
        if head.epoch > self._progress.epoch:
            await self._begin(head)
        elif late is not None and late.epoch == head.epoch and self._progress.position < late.position:
            log.warning("healing a tail", after=self._progress.position, until=late.position)
            await self.fetch(self._progress.position, late.position)

    async def fetch(self, after: int, until: int) -> None:
        """Record identity's events after one position and up to another, page by page.

        Raises:
            Unanswered: identity's answer does not go on from there.
        """
        while after < until:
            page = await self._identity.events(after, min(PAGE, until - after))
            last = max((raw.position() or 0 for raw in page), default=0)
            if last <= after:
                raise Unanswered(after)
            await self._consumer.process(page)
            after = last
        await self._progress.advance()

    async def _begin(self, head: Head) -> None:
        """Read the whole log, as a new audit does and one whose identity was restored from a backup."""
        log.info("reading identity's log from its start", until=head.position, epoch=head.epoch)
        await self.fetch(0, head.position)
        await self._progress.begin_epoch(head.epoch, head.position)
        await self._progress.advance()

    async def _seen(self, after: int, until: int) -> _Hole | None:
        try:
            return _Hole(after, until, time.monotonic(), await self._consumer.ends())
        except (KafkaError, *AWAY):
            return None  # nobody knows what is under way; a minute's tail is fetched all the same

    async def _is_read(self, hole: _Hole) -> bool:
        done = await self._consumer.done()
        return all(start >= end or done.get(place, 0) >= end for place, (start, end) in hole.ends.items())
