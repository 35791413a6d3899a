"""Create the topics of the contracts, and refuse to go on where an existing one differs.

A difference is reported and never repaired: more partitions would move keys, and a shorter retention deletes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

CREATED, EXISTS, UNKNOWN = 0, 36, 3
"""Kafka's error codes in the answers about topics."""


VISIBLE_POLLS, VISIBLE_POLL_SECONDS = 50, 0.1


class TopicsError(Exception):
    """A topic cannot be created, or is not as the contracts say; the text lists all of them."""


class Topic(Protocol):
    """What this module needs to know of a topic of `muster_contracts.topics`."""

    @property
    def name(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    @property
    def configs(self) -> Mapping[str, str]: ...


async def create(bootstrap: str, topics: Iterable[Topic], *, replication_factor: int = 1) -> tuple[str, ...]:
    """Create what is missing and return those names; safe from several processes at once.

    Raises:
        TopicsError: Kafka refuses a topic, or one is there already but differs.
        aiokafka.errors.KafkaError: Kafka cannot be reached.
    """
    wanted = tuple(topics)
    async with _admin(bootstrap) as admin:
        answer = await admin.create_topics(
            [
                NewTopic(t.name, t.partitions, replication_factor, topic_configs=dict(t.configs))
                for t in wanted
            ]
        )
        results: list[tuple[str, int, str]] = [(name, code, text) for name, code, text in answer.topic_errors]
        if failed := [f"{name}: {text}" for name, code, text in results if code not in (CREATED, EXISTS)]:
            raise TopicsError("; ".join(failed))
        await _until_visible(admin, [topic.name for topic in wanted])
        existing = {name for name, code, _ in results if code == EXISTS}
        if found := await _differences(admin, [t for t in wanted if t.name in existing]):
            raise TopicsError("; ".join(found))
    return tuple(name for name, code, _ in results if code == CREATED)


async def differences(bootstrap: str, topics: Iterable[Topic]) -> list[str]:
    """Say what is missing or other than the contracts want it, one sentence each; [] when all is right."""
    async with _admin(bootstrap) as admin:
        return await _differences(admin, tuple(topics))


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[Any]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _differences(admin: Any, topics: Iterable[Topic]) -> list[str]:
    wanted = {topic.name: topic for topic in topics}
    if not wanted:
        return []
    described: dict[str, Any] = {t["topic"]: t for t in await admin.describe_topics(list(wanted))}
    missing = [name for name in wanted if described[name]["error_code"] == UNKNOWN]
    present = [topic for name, topic in wanted.items() if name not in missing]
    configs = await _configs(admin, [topic.name for topic in present])
    return [f"{name} is missing: run `muster migrate`" for name in missing] + [
        difference
        for topic in present
        for difference in _compare(topic, len(described[topic.name]["partitions"]), configs[topic.name])
    ]


async def _until_visible(admin: Any, names: list[str]) -> None:
    """Wait until the broker knows what the controller has made, which may be a moment later."""
    for _ in range(VISIBLE_POLLS):
        described = await admin.describe_topics(names)
        if not any(topic["error_code"] == UNKNOWN for topic in described):
            return
        await asyncio.sleep(VISIBLE_POLL_SECONDS)


async def _configs(admin: Any, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }


def _compare(topic: Topic, partitions: int, configs: Mapping[str, str]) -> Iterator[str]:
    if partitions != topic.partitions:
        yield f"{topic.name} has {partitions} partitions instead of {topic.partitions}"
    for name, value in topic.configs.items():
        if configs.get(name) != value:
            yield f"{topic.name} has {name}={configs.get(name)} instead of {value}"
