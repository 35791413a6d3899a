"""Topics are made once as the contracts say, and a differing one is reported, never repaired."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from secrets import token_hex

import pytest

from services.kit.topics import TopicsError, create, differences
from tests.support.servers import KafkaServer


@dataclass(frozen=True)
class Topic:
    partitions: int = 2
    configs: dict[str, str] = field(
        default_factory=lambda: {"retention.ms": "604800000", "cleanup.policy": "delete"}
    )
    name: str = field(default_factory=lambda: f"test.{token_hex(4)}")


async def test_creation_is_idempotent(kafka_server: KafkaServer) -> None:
    topics = [Topic(), Topic(configs={"cleanup.policy": "compact"})]

    assert await create(kafka_server.bootstrap, topics) == tuple(t.name for t in topics)
    assert await create(kafka_server.bootstrap, topics) == ()
    assert await differences(kafka_server.bootstrap, topics) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [({"partitions": 3}, "2 partitions instead of 3"), ({"configs": {"retention.ms": "1"}}, "instead of 1")],
)
async def test_an_existing_topic_that_differs_is_refused(
    kafka_server: KafkaServer, change: dict, said: str
) -> None:
    topic = Topic()
    await create(kafka_server.bootstrap, [topic])

    with pytest.raises(TopicsError, match=f"{topic.name} has .*{said}"):
        await create(kafka_server.bootstrap, [replace(topic, **change)])


async def test_a_missing_topic_is_named_with_what_to_do(kafka_server: KafkaServer) -> None:
    topic = Topic()

    assert await differences(kafka_server.bootstrap, [topic]) == [
        f"{topic.name} is missing: run `muster migrate`"
    ]


async def test_a_killed_broker_comes_back_with_its_topics(kafka_server: KafkaServer) -> None:
    topic = Topic()
    await create(kafka_server.bootstrap, [topic])

    kafka_server.kill()
    kafka_server.start()

    assert await differences(kafka_server.bootstrap, [topic]) == []
