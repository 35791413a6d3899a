"""Have Kafka's jars, then its AOT cache: `python -m deploy.local.kafka_training [jars]`, once per machine.

The cache comes from a training run of a throw-away broker, about 10 s. Without it everything works, and each
start takes a second longer: so training never fails a start.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError as AioKafkaError

from deploy.local.children import die_with_parent
from deploy.local.kafka import Kafka, KafkaError, aot_cache, cache_folder, class_path, jars, one_at_a_time
from deploy.local.ports import free_ports

TOPIC = "training"
KEPT = 3
"""Caches of other virtual environments that stay, 65 MB each."""
START_SECONDS = 60.0
STOP_SECONDS = 90.0
"""Writing the cache takes about 5 s, on a busy machine several times that."""


def is_trained() -> bool:
    return aot_cache(class_path()).exists()


def train() -> None:
    """Make the cache where it is missing."""
    with (
        tempfile.TemporaryDirectory(prefix="muster-kafka-") as folder,
        one_at_a_time(cache_folder() / "training.lock"),
    ):
        if not is_trained():
            _forget_all_but(KEPT)
            _train(Kafka(Path(folder), *free_ports(2)), Path(folder) / "new.aot", aot_cache(class_path()))


def _forget_all_but(kept: int) -> None:
    caches = sorted(cache_folder().glob("*.aot"), key=lambda file: file.stat().st_mtime)
    for old in caches[: max(0, len(caches) - kept)]:
        old.unlink()


def _train(kafka: Kafka, written: Path, cache: Path) -> None:
    kafka.format()
    with subprocess.Popen(
        kafka.run_with(f"-XX:AOTCacheOutput={written}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 # no other thread lives here
    ) as broker:
        try:
            asyncio.run(_exercise(kafka))
            broker.terminate()
            broker.wait(STOP_SECONDS)
            if written.exists():
                partial = cache.with_suffix(".partial")
                partial.write_bytes(written.read_bytes())
                partial.replace(cache)
        except (TimeoutError, subprocess.TimeoutExpired, AioKafkaError):
            pass  # see the top: a start without the cache is only slower
        finally:
            broker.kill()


async def _exercise(kafka: Kafka) -> None:
    async with asyncio.timeout(START_SECONDS):
        while not await kafka.is_ready():
            await asyncio.sleep(0.1)
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic(TOPIC, 2, 1)])
        await admin.close()
        producer: Any = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, enable_idempotence=True)
        async with producer:
            for number in range(200):
                await producer.send_and_wait(TOPIC, b"x" * 200, key=str(number).encode())
        consumer: Any = AIOKafkaConsumer(
            TOPIC, bootstrap_servers=kafka.bootstrap, group_id="training", auto_offset_reset="earliest"
        )
        async with consumer:
            await consumer.getone()
            await consumer.commit()


def main() -> int:
    try:
        jars()
    except KafkaError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if "jars" not in sys.argv[1:]:
        train()
    return 0


if __name__ == "__main__":
    sys.exit(main())
