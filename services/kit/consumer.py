"""Reads Kafka into a database: each batch is one transaction of effect, poison put aside, and progress.

A record is never lost (progress moves with its effect or with its parking), and data never stops the reading:
only what is ours to mend (a database that is away) is raised, waited for and read again. Several processes of
one group may run; a repeat after a crash or a rebalance is skipped by its offset.

    consumer = Consumer(settings.kafka.bootstrap, ("muster.users",), "notifier", pool, apply)
    task = asyncio.create_task(consumer.run())      # cancel it to stop

Offsets are those of one cluster: a Kafka that lost its data is read from its beginning.

Source and sink: tables `offsets` and `parked` (`consumer.sql`, `consumer_cluster.sql`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy, BaseMiddleware
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.message import AckStatus

from services.kit import parked
from services.kit.broker import KafkaReplaced, cluster_at, cluster_of
from services.kit.parked import DATA_ERRORS, Decoded, Raw, decode, describe
from services.kit.postgres import Connection, Pool
from services.kit.telemetry import logger

log = logger(__name__)
faststream = logging.getLogger(f"{__name__}.faststream")
faststream.setLevel(logging.ERROR)  # its warnings tell what was decided on purpose

Apply = Callable[[Connection, Sequence[Decoded]], Awaitable[None]]
"""Applies records in the transaction of that connection; called again with each alone when one is refused.

It must not keep anything in memory that a rollback would not undo, and must take a repeat as nothing new.
"""

MAX_RECORDS = 500
BATCH_TIMEOUT_MS = 50
"""How long an empty poll waits; an idle reader therefore adds at most about twice this to a record's way."""
SESSION_MS, HEARTBEAT_MS = 6000, 1000
"""Who was not heard of for so long is taken for dead, and the others of the group read its partitions."""
RETRY_SECONDS = 0.3
RECONNECT_SECONDS = 1.0
REQUEST_TIMEOUT_MS = 10_000
"""A broker that was frozen and then killed leaves a request to join unanswered: 40 s, says the default."""
RETRY_POLL_SECONDS = 1.0
RETRY_LIMIT = 50
COMMIT_SECONDS, COMMIT_TIMEOUT_SECONDS = 1.0, 0.5
"""How often Kafka is told where to go on: what it does not know yet is read again, and skipped by its offset."""


class Consumer:
    """One member of a consumer group."""

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        group: str,
        pool: Pool,
        apply: Apply,
        *,
        committed: Callable[[], None] | None = None,
    ) -> None:
        """Take what it needs; nothing happens before `run`.

        Args:
            bootstrap: host:port of Kafka.
            topics: must exist, else they are looked for again every 30 seconds.
            group: name of the consumer group, one per service.
            pool: of the database that holds `offsets` and `parked`; two connections at a time are used.
            apply: the effect of records.
            committed: called after each commit, for waking those who wait for progress.
        """
        self._bootstrap = bootstrap
        self._topics = tuple(topics)
        self._group = group
        self._pool = pool
        self._apply = apply
        self._committed = committed or (lambda: None)
        self._consumer: Any = None
        self._untold: dict[TopicPartition, int] = {}
        self._cluster = ""
        self._replaced = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; Kafka and the database may come and go."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read())
            group.create_task(self._retry())
            group.create_task(self._tell())

    async def behind(self) -> int:
        """How many records are in the topics that are neither applied nor parked.

        Raises:
            KafkaError, OSError, TimeoutError: Kafka cannot be asked.
        """
        ends = await self.ends()
        done = await self.done()
        return sum(max(0, end - max(start, done.get(place, 0))) for place, (start, end) in ends.items())

    async def ends(self) -> dict[tuple[str, int], tuple[int, int]]:
        """First and next offset of each partition, as Kafka tells them now."""
        consumer = self._consumer
        if consumer is None:
            raise KafkaError("not connected")
        async with asyncio.timeout(5):
            places = [
                TopicPartition(topic, number)
                for topic in self._topics
                for number in consumer.partitions_for_topic(topic) or ()
            ]
            starts = await consumer.beginning_offsets(places)
            ends = await consumer.end_offsets(places)
        return {(p.topic, p.partition): (starts[p], ends[p]) for p in places}

    async def done(self) -> dict[tuple[str, int], int]:
        """The next offset to apply of each partition that was ever read, by any process of the group."""
        rows = await self._pool.fetch(
            "SELECT topic, partition, next_offset FROM offsets WHERE cluster IN ('', $1)", self._cluster
        )
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def process(self, records: Sequence[Raw]) -> None:
        """Apply one batch; returns once it is durable.

        Records that were fetched from identity instead of Kafka (without partition) are always applied.

        Raises:
            Exception: what is no fault of the data; nothing of the batch has happened then.
        """
        async with self._pool.acquire() as connection:
            try:
                async with connection.transaction():
                    await self._batch(connection, records, self._apply)
            except DATA_ERRORS as error:
                log.warning("batch refused, applied one by one", error=describe(error), records=len(records))
                async with connection.transaction():
                    await self._batch(connection, records, self._one_by_one)
        self._committed()

    async def _batch(self, connection: Connection, records: Sequence[Raw], apply: Apply) -> None:
        fresh = await _fresh(connection, records, self._cluster)
        good, bad = decode(fresh)
        if good:
            await apply(connection, good)
        if bad:
            await _park(connection, bad)
        await _advance(connection, fresh, self._cluster)

    async def _one_by_one(self, connection: Connection, records: Sequence[Decoded]) -> None:
        for record in records:
            if error := await self._try(connection, record):
                await _park(connection, [(record.raw, error)])

    async def _try(self, connection: Connection, record: Decoded) -> Exception | None:
        try:
            async with connection.transaction():
                await self._apply(connection, [record])
        except DATA_ERRORS as error:
            return error
        return None

    async def _read(self) -> None:
        while True:
            try:
                await self._session()
            except (KafkaError, OSError) as error:
                log.warning("Kafka cannot be reached", error=type(error).__name__)
            except Exception as error:  # noqa: BLE001 # the next session goes on where this one ended
                log.warning("reading begins anew", error=describe(error))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _session(self) -> None:
        cluster = await cluster_at(self._bootstrap)
        if cluster is None:
            raise KafkaError("no broker answers")
        self._cluster = cluster
        self._replaced.clear()
        broker, subscriber = self._declare()
        try:
            await broker.start()
            self._consumer = subscriber.consumer
            await self._replaced.wait()
        finally:
            await self._tell_offsets()
            self._consumer = None
            await broker.stop()

    def _declare(self) -> tuple[KafkaBroker, Any]:
        broker = KafkaBroker(
            self._bootstrap, client_id=self._group, consumer_only=True, ack_policy=AckPolicy.NACK_ON_ERROR,
            graceful_timeout=20, allow_auto_create_topics=False, metadata_max_age_ms=30_000,
            request_timeout_ms=REQUEST_TIMEOUT_MS, middlewares=[Backoff], parser=_parser, logger=faststream,
            log_level=logging.DEBUG,
        )  # fmt: skip
        subscriber = broker.subscriber(
            *self._topics, group_id=self._group, batch=True, max_records=MAX_RECORDS,
            batch_timeout_ms=BATCH_TIMEOUT_MS, auto_offset_reset="earliest", session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS, decoder=_decoder, no_reply=True,
        )  # fmt: skip

        untold = self._untold = dict[TopicPartition, int]()  # of this session and this cluster alone

        async def handle(msg: KafkaMessage) -> None:
            await self._check_cluster(subscriber.consumer)
            batch: Any = msg.raw_message  # the true batch, put there by _parser
            await self.process([_raw(record) for record in batch])
            untold.update({TopicPartition(raw.topic, raw.partition): raw.offset + 1 for raw in batch})
            # Kafka is told by `_tell`. Whoever raised before this line gets the batch again.
            msg.committed = AckStatus.ACKED

        subscriber(handle)
        return broker, subscriber

    async def _check_cluster(self, consumer: Any) -> None:
        """Ask who sent this batch: what a replaced Kafka holds is not what was read under the same offsets.

        Raises:
            KafkaReplaced: it does not count as read, and the next session begins with the new cluster.
        """
        cluster = await cluster_of(consumer._client)  # noqa: SLF001 (no public way asks for it)
        if cluster not in (None, self._cluster):
            self._replaced.set()
            raise KafkaReplaced("the next session begins with it")

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_SECONDS)
            await self._tell_offsets()

    async def _tell_offsets(self) -> None:
        """Tell Kafka what is done, and never another one that has come since; what it does not take stays untold."""
        consumer, untold, cluster = self._consumer, self._untold, self._cluster
        if consumer is None or not untold:
            return
        done = dict(untold)
        try:
            if await cluster_of(consumer._client) != cluster:  # noqa: SLF001 (see below)
                return
            ours = consumer.assignment()
            async with asyncio.timeout(COMMIT_TIMEOUT_SECONDS):
                await consumer.commit({place: offset for place, offset in done.items() if place in ours})
        except Exception as error:  # noqa: BLE001 (whatever it is: what is not told now is told later)
            log.info("Kafka was not told how far reading is", error=type(error).__name__)
        else:
            for place, offset in done.items():
                if untold.get(place) == offset:
                    del untold[place]

    async def _retry(self) -> None:
        while True:
            await asyncio.sleep(RETRY_POLL_SECONDS)
            try:
                if await parked.is_asked(self._pool):
                    await self.retry_parked()
            except Exception as error:  # noqa: BLE001 # tried again in a second, whatever it is
                log.warning("parked records cannot be tried again", error=describe(error))

    async def retry_parked(self) -> int:
        """Try again what `muster parked retry` asked for; return how many were resolved."""
        count = 0
        async with self._pool.acquire() as connection, connection.transaction():
            for id_, raw in await parked.asked_again(connection, RETRY_LIMIT):
                good, bad = decode([raw])
                error = bad[0][1] if bad else await self._try(connection, good[0])
                if error is None:
                    await parked.resolved(connection, id_)
                    count += 1
                else:
                    await parked.failed_again(connection, id_, error)
        if count:
            log.info("parked records resolved", count=count)
            self._committed()
        return count


class Backoff(BaseMiddleware):
    """Waits before a failed batch is read again: FastStream would do so at once, and without end."""

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        try:
            return await call_next(msg)
        except Exception:
            await asyncio.sleep(RETRY_SECONDS)
            raise


async def _parser(msg: Any, original: Any) -> Any:
    # FastStream drops a whole batch for one header that is not UTF-8: it sees one record without headers,
    # while the handler, ack and nack get the true batch.
    message = await original((dataclasses.replace(msg[0], headers=()),))
    object.__setattr__(message, "raw_message", tuple(msg))
    return message


async def _decoder(msg: Any, _original: Any = None) -> Any:
    return msg.body  # the default one parses every header again


def _raw(record: Any) -> Raw:
    return Raw(
        record.topic, record.key, record.value, tuple(record.headers), record.partition, record.offset,
        record.timestamp,
    )  # fmt: skip


async def _park(connection: Connection, poison: list[tuple[Raw, Exception]]) -> None:
    for raw, error in poison:
        place = {"topic": raw.topic, "partition": raw.partition, "offset": raw.offset}
        log.error("record parked", **place, error=describe(error))
    await parked.park(connection, poison)


async def _fresh(connection: Connection, records: Sequence[Raw], cluster: str) -> list[Raw]:
    """Those not seen before; locks their partitions, so that two processes never apply the same one.

    What is known of another cluster says nothing of this one. A record before the known offset that is newer than
    all seen belongs to a topic that was made anew.
    """
    places = sorted({(raw.topic, raw.partition) for raw in records if raw.partition is not None})
    if not places:
        return list(records)
    topics, partitions = [p[0] for p in places], [p[1] for p in places]
    rows = await connection.fetch(_LOCK, topics, partitions)
    if len(rows) < len(places):
        await connection.execute(_FIRST, topics, partitions)
        rows = await connection.fetch(_LOCK, topics, partitions)
    known = {
        (row["topic"], row["partition"]): (row["next_offset"], row["newest_ms"])
        if row["cluster"] in ("", cluster)
        else (0, 0)
        for row in rows
    }
    return [raw for raw in records if _is_fresh(raw, known)]


def _is_fresh(raw: Raw, known: Mapping[tuple[str, int], tuple[int, int]]) -> bool:
    if raw.partition is None:
        return True
    next_offset, newest_ms = known[raw.topic, raw.partition]
    return (raw.offset or 0) >= next_offset or (raw.timestamp_ms or 0) > newest_ms


async def _advance(connection: Connection, fresh: Sequence[Raw], cluster: str) -> None:
    by_place: dict[tuple[str, int], list[Raw]] = defaultdict(list)
    for raw in fresh:
        if raw.partition is not None:
            by_place[raw.topic, raw.partition].append(raw)
    await connection.execute(
        _ADVANCE,
        [topic for topic, _ in by_place],
        [partition for _, partition in by_place],
        [max(raw.offset or 0 for raw in raws) + 1 for raws in by_place.values()],
        [max(raw.timestamp_ms or 0 for raw in raws) for raws in by_place.values()],
        cluster,
    )


_LOCK = (
    "SELECT o.* FROM offsets o JOIN unnest($1::text[], $2::int[]) AS p (topic, partition)"
    " USING (topic, partition)"
    " ORDER BY topic, partition FOR UPDATE OF o"
)
_FIRST = (
    "INSERT INTO offsets (topic, partition, next_offset, newest_ms)"
    " SELECT topic, partition, 0, 0 FROM unnest($1::text[], $2::int[]) AS p (topic, partition)"
    " ORDER BY topic, partition ON CONFLICT DO NOTHING"
)
_ADVANCE = (
    "UPDATE offsets o SET next_offset = p.next_offset, cluster = $5, newest_ms = CASE"
    "  WHEN o.cluster IN ('', $5) THEN greatest(o.newest_ms, p.newest_ms) ELSE p.newest_ms END"
    " FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[])"
    "  AS p (topic, partition, next_offset, newest_ms)"
    " WHERE o.topic = p.topic AND o.partition = p.partition"
)
