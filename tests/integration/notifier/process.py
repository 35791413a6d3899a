"""The notifier as a process of its own, with everything real around it but identity."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from muster_contracts.envelope import Record
from muster_contracts.topics import ALL

from deploy.local.kafka_training import free_ports
from services.kit import topics
from services.kit.broker import open_publisher
from services.kit.postgres import Pool, open_pool
from tests.integration.notifier.world import MASTER, ORG, SERVICE_KEY, FakeIdentity, Mailbox, until
from tests.support.plain_kafka import Read, read_until
from tests.support.servers import KafkaServer, PostgresServer

GATEWAY_KEY = "gateway-to-notifier"
POSITIONS = base64.b64encode(bytes(32)).decode()


@dataclass
class Notifier:
    """Starts, stops and asks the process; `url` and `pool` are of its database."""

    kafka: KafkaServer
    identity: FakeIdentity
    mailbox: Mailbox
    url: str
    pool: Pool
    port: int
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "contracts",
            "MUSTER_DATABASES__NOTIFIER": self.url,
            "MUSTER_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "MUSTER_SMTP__PORT": str(self.mailbox.port),
            "MUSTER_KEYS__MASTER": MASTER,
            "MUSTER_KEYS__POSITIONS": POSITIONS,
            "MUSTER_SERVICE_KEYS__GATEWAY_NOTIFIER": GATEWAY_KEY,
            "MUSTER_SERVICE_KEYS__NOTIFIER_IDENTITY": SERVICE_KEY,
            "MUSTER_URLS__IDENTITY": self.identity.url,
            "MUSTER_LISTEN__NOTIFIER": str(self.port),
        } | self.settings
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.notifier.app", env=environment, stdout=log, stderr=log
            )

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        shown = {"Muster-Service-Key": GATEWAY_KEY} | {n.replace("_", "-"): v for n, v in headers.items()}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}{path}", headers=shown) as answer,
        ):
            return answer.status, await answer.json(content_type=None), answer.headers

    async def ready(self) -> dict[str, Any] | None:
        """What `/ready` tells, when it is 200."""
        try:
            status, told, _ = await self.get("/ready")
        except aiohttp.ClientError:
            return None
        return told if status == 200 else None

    async def publish(self, *records: Record) -> None:
        async with open_publisher(self.kafka.bootstrap, "test") as publisher:
            await publisher.publish(records)

    async def read(self, topic: str, enough: Callable[[list[Read]], Any]) -> list[Read]:
        """What a stranger reads of this test's users."""

        def mine(found: list[Read]) -> list[Read]:
            return [read for read in found if read.key in self.identity.users]

        found = await read_until(self.kafka.bootstrap, [topic], ORG, lambda all_: enough(mine(all_)))
        return mine(found)


@asynccontextmanager
async def open_notifier(
    postgres: PostgresServer, kafka: KafkaServer, folder: Path
) -> AsyncIterator[Notifier]:
    await topics.create(kafka.bootstrap, ALL)
    name = postgres.create_migrated_database("notifier")
    async with AsyncExitStack() as stack:
        stack.callback(postgres.drop_database, name)
        url = postgres.url(name, "notifier")
        pool = await stack.enter_async_context(open_pool(url, size=2))
        identity, mailbox = FakeIdentity(), Mailbox()
        await stack.enter_async_context(identity.serving())
        await mailbox.start()
        stack.push_async_callback(mailbox.stop)
        notifier = Notifier(kafka, identity, mailbox, url, pool, free_ports(1)[0], folder / "notifier.log")
        await notifier.start()
        try:
            await until(notifier.ready, 30)
            yield notifier
        finally:
            await notifier.stop()
