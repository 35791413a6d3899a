"""Reading Kafka as a stranger does: aiokafka and json, nothing of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


@dataclass(frozen=True)
class Read:
    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str
    value: bytes | None
    headers: dict[str, str]


async def read_until(
    bootstrap: str, topics: Sequence[str], org: str, enough: Callable[[list[Read]], Any], seconds: float = 30
) -> list[Read]:
    """Everything of one organization in these topics from the beginning, until it is enough.

    Raises:
        TimeoutError: it never was.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    found: list[Read] = []
    try:
        await consumer._client.set_topics(topics)
        places = [
            TopicPartition(topic, n) for topic in topics for n in consumer.partitions_for_topic(topic) or ()
        ]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        async with asyncio.timeout(seconds):
            while not enough(found):
                batches = await consumer.getmany(timeout_ms=200)
                records = [_read(record) for batch in batches.values() for record in batch]
                found += [record for record in records if record.headers.get("ce_org") == org]
    finally:
        await consumer.stop()
    return found


def _read(record: Any) -> Read:
    return Read(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp,
        key=record.key.decode(),
        value=record.value,
        headers={name: value.decode() for name, value in record.headers},
    )
