"""Kafka as a stranger reads it: aiokafka and json. One consumer keeps everything that it ever read."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.e2e.client import REACHED_WITHIN, wait_until

EVENT_TOPICS = ("muster.users", "muster.organizations", "muster.attempts", "muster.notifications")
KILLS, DIRECTORY = "muster.session-kills", "muster.directory"
TOPICS = (*EVENT_TOPICS, KILLS, "muster.session-receipts", DIRECTORY)


@dataclass(frozen=True)
class Record:
    topic: str
    partition: int
    offset: int
    key: str
    value: bytes | None
    header_list: tuple[tuple[str, str], ...]

    @cached_property
    def headers(self) -> dict[str, str]:
        return dict(self.header_list)

    @cached_property
    def data(self) -> dict[str, Any]:
        return json.loads(self.value or b"{}")

    @property
    def id(self) -> str:
        return self.headers["ce_id"]

    @property
    def type(self) -> str:
        """Empty for a state of the directory, which is no event."""
        return self.headers.get("ce_type", "").removeprefix("muster.")

    @property
    def subject(self) -> str:
        return self.headers.get("ce_subject", "")

    @property
    def sequence(self) -> int:
        return int(self.headers["ce_sequence"])

    @property
    def position(self) -> int:
        return int(self.headers["ce_position"])


class Tape:
    """Reads all topics from their beginning, in a thread of its own; survives a broker that is away."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._records: list[Record] = []
        self._events: dict[str, Record] = {}
        """By id, as first read."""
        self._next: dict[TopicPartition, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._read()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(20)

    def records(self, *topics: str) -> list[Record]:
        return [record for record in list(self._records) if not topics or record.topic in topics]

    def find(self, fits: Callable[[Record], bool], *topics: str) -> list[Record]:
        return [record for record in self.records(*topics) if fits(record)]

    def wait(
        self, fits: Callable[[Record], bool], why: str, *topics: str, seconds: float = REACHED_WITHIN
    ) -> Record:
        """The first record that fits."""
        return wait_until(lambda: self.find(fits, *topics), why, seconds)[0]

    def events(self, ids: Iterable[str], seconds: float = REACHED_WITHIN) -> list[Record]:
        """The records of these events, each once, in the order of the log."""
        wanted = set(ids)

        def arrived() -> bool:
            return wanted <= self._events.keys()

        wait_until(arrived, f"events on Kafka: {sorted(wanted)}", seconds)
        return sorted((self._events[id_] for id_ in wanted), key=lambda record: record.position)

    def _keep(self, records: list[Record]) -> None:
        self._records += records
        for record in records:
            if record.topic in EVENT_TOPICS:
                self._events.setdefault(record.id, record)

    async def _read(self) -> None:
        while not self._stopped.is_set():
            try:
                await self._consume()
            except (KafkaError, OSError):
                await asyncio.sleep(0.2)

    async def _consume(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            places = [
                TopicPartition(topic, n)
                for topic in TOPICS
                for n in range(await _partitions(consumer, topic))
            ]
            consumer.assign(places)
            for place in places:
                if place in self._next:
                    consumer.seek(place, self._next[place])
                else:
                    await consumer.seek_to_beginning(place)
            while not self._stopped.is_set():
                batches = await consumer.getmany(timeout_ms=100)
                for place, batch in batches.items():
                    self._keep([_record(each) for each in batch])
                    self._next[place] = batch[-1].offset + 1
        finally:
            await consumer.stop()


async def _partitions(consumer: Any, topic: str) -> int:
    await consumer._client.add_topic(topic)
    await consumer._client.force_metadata_update()
    return len(consumer.partitions_for_topic(topic) or ())


def _record(raw: Any) -> Record:
    return Record(
        raw.topic,
        raw.partition,
        raw.offset,
        raw.key.decode(),
        raw.value,
        tuple((name, value.decode()) for name, value in raw.headers),
    )
