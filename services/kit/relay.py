"""Publishes a log to Kafka: one leader, in order, and its cursor moves only over what is acknowledged.

A restart may repeat, never skip; consumers drop repeats by the event's id. Each service says with a `Source`
what its log is, and has a table `relay_cursor(name, position, epoch, cluster, overtaken)`, written here only. A
Kafka that lost its data is another cluster: what is still to be read there is published to it once more.

    relay = Relay(url, bootstrap, source, name="identity")
    async with relay.running(): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from muster_contracts.envelope import Record

from services.kit.broker import Publisher, open_publisher, reachable
from services.kit.leader import Candidate, LeadershipLost, Timing, candidate
from services.kit.postgres import Connection, connect
from services.kit.telemetry import logger

log = logger(__name__)

PAGE = 1000
GATHER_SECONDS, BUSY_SHARE, GATHER_AT_MOST_SECONDS = 0.04, 0.25, 0.25
"""A page begins no sooner after the one before, nor before the relay has rested three times as long as that one
took, up to a quarter of a second: the busier the machine, the fewer and larger the pages (decision 0014).
"""
POLL_SECONDS = 1.0
CLUSTER_SECONDS = 0.25
STUCK_SECONDS = 5.0
STOP_SECONDS = 5.0
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
STARTING, STANDING_BY, LEADING = "starting", "standing_by", "leading"

Positioned = tuple[int, Record]
Publish = Callable[[Sequence[Record]], Awaitable[None]]
"""Publishes in order, and returns when all is acknowledged."""


class Source(Protocol):
    """What is published; the hooks may be left as they are."""

    async def read(self, connection: Connection, after: int, limit: int) -> Sequence[Positioned]:
        """Return the next records in order of their positions, of which none may appear later among those."""
        ...

    async def on_lead(self, connection: Connection, after: int, publish: Publish) -> None:
        """Do what a new leader has to, before anything behind its cursor is read."""

    async def beside(self, connection: Connection, page: Sequence[Positioned]) -> Sequence[Record]:  # noqa: ARG002
        """Return what is published together with a page; the cursor moves when all of it is acknowledged."""
        return ()

    async def on_overtaken(self, connection: Connection, after: int, until: int, publish: Publish) -> None:
        """An earlier leader has just found out that it leads no more: it stood at `after`, this one is at `until`.

        Called before anything behind `until` is published.
        """

    async def on_idle(self, connection: Connection, publish: Publish) -> None:
        """Do what is due; called at least every second while the log is published to its end."""

    async def refill(self, connection: Connection, publish: Publish) -> int:
        """Kafka is empty: publish what no later page will, and return the position after which to begin."""
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """What `/ready` tells of a relay.

    Attributes:
        role: `starting`, `standing_by` or `leading`.
        position: of the cursor, where this process leads.
        behind_seconds: since the log was last published to its end; 0 when it is.
        waiting_seconds: for how long Kafka has not acknowledged what was sent.
        kafka: whether a broker answers now.
        problem: why the relay ended last, until it works again.
    """

    ready: bool
    role: str
    position: int | None
    epoch: int | None
    behind_seconds: float
    waiting_seconds: float
    kafka: bool
    problem: str | None


@dataclass(slots=True)
class Cursor:
    """How far the log is published, in the name of one term of leadership."""

    name: str
    position: int
    epoch: int
    cluster: str | None
    """Of the Kafka that holds what is published; None before there was one."""
    overtaken: int | None = None
    """Where a leader of an earlier term stood that found out after a later one had begun, as last heard."""

    async def move(self, connection: Connection, position: int) -> None:
        """Move to `position`.

        Raises:
            LeadershipLost: another process has taken over since.
        """
        moved = await connection.fetch(
            "UPDATE relay_cursor SET position = $3, cluster = $4 WHERE name = $1 AND epoch = $2 RETURNING overtaken",
            self.name,
            self.epoch,
            position,
            self.cluster,
        )
        if not moved:
            raise LeadershipLost("another relay has taken the cursor over")
        self.position, self.overtaken = position, moved[0]["overtaken"]

    async def begin_anew(self, connection: Connection, position: int, cluster: str) -> None:
        """Go on from `position` on a Kafka that holds nothing yet; raises LeadershipLost."""
        self.cluster = cluster
        await self.move(connection, position)

    async def end(self, connection: Connection) -> None:
        """When nothing of this term can reach Kafka any more: tell a later one, if there is one, where it stood."""
        await connection.execute(
            "UPDATE relay_cursor SET overtaken = least(overtaken, $3) WHERE name = $1 AND epoch > $2",
            self.name,
            self.epoch,
            self.position,
        )

    async def listen(self, connection: Connection) -> None:
        """Look whether an earlier leader has told something."""
        self.overtaken = await connection.fetchval(
            "SELECT overtaken FROM relay_cursor WHERE name = $1", self.name
        )

    async def forget_overtaken(self, connection: Connection) -> None:
        """Before what was told is acted upon: what is told from now on stays for the next time."""
        await connection.execute(
            "UPDATE relay_cursor SET overtaken = NULL WHERE name = $1 AND overtaken = $2",
            self.name,
            self.overtaken,
        )
        self.overtaken = None


async def take_over(connection: Connection, name: str) -> Cursor:
    """Raise the epoch of a cursor, so that no earlier leader can move it, and return it."""
    [row] = await connection.fetch(
        "INSERT INTO relay_cursor AS c (name, position, epoch) VALUES ($1, 0, 1) "
        "ON CONFLICT (name) DO UPDATE SET epoch = c.epoch + 1 RETURNING position, epoch, cluster",
        name,
    )
    return Cursor(name, row["position"], row["epoch"], row["cluster"])


class Relay:
    """The relay of one process; among all processes one leads, the others stand by."""

    def __init__(
        self,
        url: str,
        bootstrap: str,
        source: Source,
        *,
        name: str,
        channel: str = "log",
        timing: Timing | None = None,
    ) -> None:
        """Prepare a relay.

        Args:
            url: of the service's database.
            bootstrap: of Kafka.
            source: what to publish.
            name: of the cursor and of the leadership.
            channel: on which the log's writer notifies; without a notice the relay looks each second.
            timing: of the leadership.
        """
        self._url, self._bootstrap, self._source = url, bootstrap, source
        self._name, self._channel, self._timing = name, channel, timing or Timing()
        self._wake, self._stop = asyncio.Event(), asyncio.Event()
        self._role = STARTING
        self._cursor: Cursor | None = None
        self._ended: Cursor | None = None
        self._publisher: Publisher | None = None
        self._behind_since: float | None = None
        self._problem: str | None = None
        self._failures = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run while the block does; at its end a page under way has five seconds to be acknowledged."""
        task = asyncio.create_task(self.run(), name=f"relay {self._name}")
        try:
            yield
        finally:
            self._stop.set()
            self._wake.set()
            await asyncio.wait({task}, timeout=STOP_SECONDS)
            await _end(task)

    async def run(self) -> None:
        """Lead or stand by until stopped; an error ends the term, and the next begins from the cursor."""
        while not self._stop.is_set():
            try:
                await self._serve_a_term()
            except Exception as error:  # noqa: BLE001 (whatever it is, the relay begins again)
                self._fail(error)
                await _wait(self._stop, BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS)) - 1])

    async def health(self) -> Health:
        """The truth about now; asks Kafka, which takes two seconds when it is away."""
        kafka = await reachable(self._bootstrap)
        waiting = self._publisher.waiting_seconds if self._publisher else 0.0
        works = self._role != STARTING and self._problem is None and waiting < STUCK_SECONDS
        return Health(
            ready=works and kafka,
            role=self._role,
            position=self._cursor.position if self._cursor else None,
            epoch=self._cursor.epoch if self._cursor else None,
            behind_seconds=_seconds_since(self._behind_since),
            waiting_seconds=round(waiting, 1),
            kafka=kafka,
            problem=self._problem,
        )

    async def _serve_a_term(self) -> None:
        async with candidate(self._url, self._name, self._timing) as me:
            if self._ended:
                await self._ended.end(me.connection)
                self._ended = None
            if not await me.elected(self._stand_by):
                return
            try:
                await self._lead(me)
            finally:
                self._role, self._publisher, self._behind_since = STARTING, None, None
                self._cursor, self._ended = None, self._cursor

    def _stand_by(self) -> bool:
        self._role, self._problem = STANDING_BY, None
        return not self._stop.is_set()

    async def _lead(self, me: Candidate) -> None:
        await me.connection.add_listener(self._channel, self._notified)
        # A cursor that a crash of the database sets back repeats, and that is all: no page waits for its disk.
        connection = await connect(self._url, synchronous_commit="off")
        try:
            async with open_publisher(self._bootstrap, f"relay-{self._name}") as publisher:
                cursor = await take_over(me.connection, self._name)
                self._role, self._cursor, self._publisher = LEADING, cursor, publisher
                log.info("leading", relay=self._name, position=cursor.position, epoch=cursor.epoch)
                cluster = await publisher.cluster()
                await _first(
                    me.hold(),
                    _same_cluster(publisher, cluster),
                    self._publish_all(connection, publisher.publish, cursor, cluster),
                )
        finally:
            connection.terminate()

    async def _publish_all(
        self, connection: Connection, publish: Publish, cursor: Cursor, cluster: str
    ) -> None:
        if cluster != cursor.cluster:
            await self._fill(connection, publish, cursor, cluster)
        await self._source.on_lead(connection, cursor.position, publish)
        rest_until, page = 0.0, await self._source.read(connection, cursor.position, PAGE)
        while not self._stop.is_set():
            if page:
                began = time.monotonic()
                self._behind_since = self._behind_since or began
                page = await self._publish(connection, publish, cursor, page)
                rest_until = began + gathering_seconds(time.monotonic() - began)
                continue
            self._problem, self._failures, self._behind_since = None, 0, None
            await cursor.listen(connection)
            await self._mend(connection, publish, cursor)
            await self._source.on_idle(connection, publish)
            await _wait(self._wake, POLL_SECONDS)
            await _wait(self._stop, rest_until - time.monotonic())
            self._wake.clear()
            page = await self._source.read(connection, cursor.position, PAGE)

    async def _publish(
        self, connection: Connection, publish: Publish, cursor: Cursor, page: Sequence[Positioned]
    ) -> Sequence[Positioned]:
        """Publish a page and move the cursor over it; a full one is followed by the next, which is read meanwhile."""
        beside = await self._source.beside(connection, page)
        records, last = [*(record for _, record in page), *beside], page[-1][0]
        following: Sequence[Positioned] | BaseException = ()
        if len(page) < PAGE:
            await publish(records)
        else:
            ahead = self._source.read(connection, last, PAGE)
            published, following = await asyncio.gather(publish(records), ahead, return_exceptions=True)
            if isinstance(published, BaseException):
                raise published
        await cursor.move(connection, last)
        await self._mend(connection, publish, cursor)
        if isinstance(following, BaseException):
            raise following  # only now: what is behind this page is no reason to publish it again
        self._problem, self._failures = None, 0
        return following

    async def _mend(self, connection: Connection, publish: Publish, cursor: Cursor) -> None:
        """Publish again what a leader before this one may have published late."""
        after = cursor.overtaken
        if after is None:
            return
        log.warning("an earlier leader ended late", relay=self._name, after=after, position=cursor.position)
        await cursor.forget_overtaken(connection)
        await self._source.on_overtaken(connection, after, cursor.position, publish)

    async def _fill(self, connection: Connection, publish: Publish, cursor: Cursor, cluster: str) -> None:
        """Go on with a cluster that holds nothing of ours yet; after another one it is filled again."""
        position = cursor.position
        if cursor.cluster is not None:
            log.warning("Kafka was replaced, publishing again", relay=self._name, position=position)
            position = min(position, await self._source.refill(connection, publish))
        await cursor.begin_anew(connection, position, cluster)

    def _notified(self, *_: Any) -> None:
        self._wake.set()

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._role = STARTING
        # The first line only: what a database adds below it may quote a row.
        self._problem = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        log.error("relay ended", relay=self._name, problem=self._problem, failures=self._failures)


def gathering_seconds(took: float) -> float:
    """How long after a page began the next one begins at the earliest, given the seconds that it took."""
    return min(max(GATHER_SECONDS, took / BUSY_SHARE), GATHER_AT_MOST_SECONDS)


async def _same_cluster(publisher: Publisher, cluster: str) -> None:
    """Watch that Kafka is not replaced under a page that waits for it, which would overtake the refill there.

    Raises:
        KafkaReplaced: it was; the publisher is cut off before anything of the page can arrive.
    """
    while True:
        await asyncio.sleep(CLUSTER_SECONDS)
        await publisher.check_cluster(cluster)


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Run side by side until the first one ends, and end with it; the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(*tasks)
    for task in done:
        task.result()


async def _end(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _seconds_since(moment: float | None) -> float:
    return 0.0 if moment is None else round(time.monotonic() - moment, 1)
