"""Writing to Kafka: records in order, and nothing counts before all of it is acknowledged.

One idempotent producer, one explicit batch per partition, the next one after all acknowledgements, and no
time-out of our own: during an outage the await simply lasts. A producer that ever failed is thrown away, for
it may still deliver what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.protocol.metadata import MetadataRequest
from muster_contracts.envelope import Record

from services.kit import kafka_connection

kafka_connection.mend()

BATCH_BYTES = 1_048_576
CLOSE_SECONDS = 1.0
METADATA_SECONDS = 10.0
PROBE_SECONDS = 2.0
KNOWN_KEYS = 20_000
_PARTITIONER: Any = DefaultPartitioner()


class TopicMissing(Exception):
    """Kafka does not know the topic; `muster migrate` creates it."""


class KafkaReplaced(Exception):
    """Another cluster answers than before: what Kafka held is gone."""


class Place(NamedTuple):
    topic: str
    partition: int


class Publisher:
    """Publishes records; see `open_publisher`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._partitions: dict[str, tuple[int, ...]] = {}
        self._since: float | None = None

    @property
    def waiting_seconds(self) -> float:
        """For how long the oldest batch has waited for its acknowledgement; 0 when none is under way."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    async def cluster(self) -> str:
        """The id of the cluster that is published to.

        Raises:
            aiokafka.errors.KafkaError: none answers.
        """
        if cluster := await cluster_of(self._producer.client):
            return cluster
        raise KafkaConnectionError("no broker answers")

    async def check_cluster(self, cluster: str) -> None:
        """Cut this publisher off when another cluster answers, whatever it still holds.

        Raises:
            KafkaReplaced: it did.
        """
        if await cluster_of(self._producer.client) not in (None, cluster):
            await _cut_off(self._producer)
            raise KafkaReplaced("another Kafka answers than the one that was published to")

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged; those of one key arrive in the order given.

        Raises:
            TopicMissing: a topic does not exist.
            aiokafka.errors.KafkaError: some may have been written; this publisher must not be used again.
        """
        rest = records
        while rest:
            rest = await self._round(rest)

    async def _round(self, records: Sequence[Record]) -> list[Record]:
        """Send one batch per partition; returns what found no room, to be sent after the acknowledgements."""
        batches: dict[Place, Any] = {}
        rest: list[Record] = []
        for record in records:
            place = await self._place(record)
            if place not in batches:
                batches[place] = self._producer.create_batch()
            # A batch that refused a record is closed for good, so nothing overtakes within a partition.
            added = batches[place].append(
                key=record.key, value=record.value, headers=record.headers, timestamp=None
            )
            if added is None:
                rest.append(record)
        await self._send(batches)
        return rest

    async def _send(self, batches: dict[Place, Any]) -> None:
        self._since = time.monotonic()
        acknowledgements: list[Any] = []
        for place, batch in batches.items():
            batch.close()
            acknowledgements.append(
                await self._producer.send_batch(batch, place.topic, partition=place.partition)
            )
        await asyncio.gather(*acknowledgements)
        self._since = None

    async def _place(self, record: Record) -> Place:
        partitions = self._partitions.get(record.topic)
        if partitions is None:
            partitions = self._partitions[record.topic] = await self._find_partitions(record.topic)
        return Place(record.topic, _partition(record.key, partitions))

    async def _find_partitions(self, topic: str) -> tuple[int, ...]:
        try:
            found = await asyncio.wait_for(self._producer.partitions_for(topic), METADATA_SECONDS)
        except (KafkaError, TimeoutError):
            raise TopicMissing(f"Kafka shows no topic {topic}: run `muster migrate`") from None
        return tuple(sorted(found))


@lru_cache(maxsize=KNOWN_KEYS)
def _partition(key: bytes, partitions: tuple[int, ...]) -> int:
    """As every client hashes it; in Python, so not twice for a user who has events and a place in the directory."""
    return _PARTITIONER(key, partitions, partitions)


@asynccontextmanager
async def open_publisher(bootstrap: str, client_id: str) -> AsyncIterator[Publisher]:
    """A publisher of its own producer, thrown away at the end of the block whatever it still holds.

    Raises:
        aiokafka.errors.KafkaError: Kafka cannot be reached.
    """
    # Uncompressed, so that every client library can read it without a codec; a topic's `compression.type`
    # compresses at the broker where disk matters.
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
    )
    try:
        await producer.start()
        yield Publisher(producer)
    finally:
        await _discard(producer)


async def _discard(producer: Any) -> None:
    """Stop for good: after a mere time-out of `stop` the sender lives on and delivers when Kafka is back."""
    with contextlib.suppress(Exception):
        await asyncio.wait_for(producer.stop(), CLOSE_SECONDS)
        return
    await _cut_off(producer)


async def _cut_off(producer: Any) -> None:
    with contextlib.suppress(Exception):
        await producer._sender.close()  # noqa: SLF001 (no public way ends it)
    with contextlib.suppress(Exception):
        await producer.client.close()


async def cluster_of(client: Any) -> str | None:
    """The id of the cluster that a client of aiokafka is connected to; None while none answers.

    It is the only thing that tells that Kafka lost its data: to producers and consumers, topics that were made
    anew look like the old ones.
    """
    node = client.get_random_node()
    if node is None:
        return None
    # Never cancelled: a client that is interrupted while it connects loses the connection without closing it.
    asking: asyncio.Future[Any] = asyncio.ensure_future(client.send(node, MetadataRequest([])))
    asking.add_done_callback(_heard)
    await asyncio.wait({asking}, timeout=PROBE_SECONDS)
    with contextlib.suppress(KafkaError, OSError, TimeoutError, asyncio.InvalidStateError):
        return asking.result().cluster_id
    return None


def _heard(asked: asyncio.Future[Any]) -> None:
    if not asked.cancelled():
        asked.exception()


async def cluster_at(bootstrap: str) -> str | None:
    """The id of the cluster that answers there now; None while none does."""
    client: Any = AIOKafkaClient(bootstrap_servers=bootstrap, client_id="probe", request_timeout_ms=2000)
    try:
        await asyncio.wait_for(client.bootstrap(), PROBE_SECONDS)
        return await cluster_of(client)
    except (KafkaError, OSError, TimeoutError):
        return None
    finally:
        await client.close()


async def reachable(bootstrap: str) -> bool:
    """Whether a broker answers now."""
    return await cluster_at(bootstrap) is not None
