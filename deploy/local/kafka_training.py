"""Make the AOT cache of the local Kafka: one training run of a throw-away broker, about 10 s, once per
machine.

Without it everything works, and each start takes a second longer: so nothing here may fail a start.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError as AioKafkaError

from deploy.local.kafka import Kafka, aot_cache, cache_folder, one_at_a_time

TOPIC = "training"
KEPT = 3
"""Caches of other virtual environments that stay, 65 MB each."""
START_SECONDS = 60.0
STOP_SECONDS = 90.0
"""Writing the cache takes about 5 s, on a busy machine several times that."""


def train() -> bool:
    """Make the cache where it is missing; say whether there is one now."""
    with tempfile.TemporaryDirectory(prefix="muster-kafka-") as folder:
        kafka = Kafka(Path(folder), *free_ports(2))
        cache = aot_cache(kafka.class_path)
        with one_at_a_time(cache_folder() / "training.lock"):
            if not cache.exists():
                _forget_all_but(KEPT)
                _train(kafka, Path(folder) / "new.aot", cache)
            return cache.exists()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below 32768: above, the system gives them to outgoing connections."""
    found: list[int] = []
    start = 20_000 + (os.getpid() * 37 + time.monotonic_ns() // 1000) % 10_000
    for port in range(start, 32_700):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} free ports from {start} to 32700")


def _forget_all_but(kept: int) -> None:
    caches = sorted(cache_folder().glob("*.aot"), key=lambda file: file.stat().st_mtime)
    for old in caches[: max(0, len(caches) - kept)]:
        old.unlink()


def _train(kafka: Kafka, written: Path, cache: Path) -> None:
    kafka.format()
    with subprocess.Popen(
        kafka.run_with(f"-XX:AOTCacheOutput={written}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
