"""What `/ready` tells: what the notifier needs to do its work, and how far it is."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from aiokafka.errors import KafkaError
from fastapi.responses import JSONResponse

from services.kit.consumer import Consumer
from services.kit.migrate import current, head
from services.kit.postgres import DATABASE_AWAY, Pool
from services.kit.relay import Relay
from services.notifier.channels import Channel
from services.notifier.outbox import Outbox

CHECK_SECONDS = 2.0
MAIL_SECONDS = 5.0
"""For so long an answer about the mail server holds: whoever polls us must not keep a server of others busy."""


@dataclass(slots=True)
class Health:
    """Asks everything anew each time; `problem` keeps the notifier from working at all."""

    pool: Pool
    consumer: Consumer
    relay: Relay
    email: Channel
    outbox: Outbox
    problem: str | None = None
    _mail: tuple[float, bool] = (float("-inf"), False)

    async def answer(self) -> JSONResponse:
        """200 when events are read and our own are published; a mail server that is away is only told."""
        database, consumer, relay, mail = await asyncio.gather(
            self._database(), self._consumer(), self.relay.health(), self._mail_server()
        )
        ready = self.problem is None and database["ready"] and consumer["ready"] and relay.ready
        document: dict[str, Any] = {
            "ready": ready,
            "problem": self.problem,
            "database": database,
            "consumer": consumer,
            "relay": asdict(relay),
            "mail": {"state": "ok" if mail else "degraded", "waiting": await self._waiting()},
        }
        return JSONResponse(document, 200 if ready else 503)

    async def _database(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(CHECK_SECONDS), self.pool.acquire() as connection:
                revision = await current(connection)
        except DATABASE_AWAY as error:
            return {"ready": False, "problem": type(error).__name__}
        needed = head("notifier")
        return {"ready": revision == needed, "revision": revision, "needed": needed}

    async def _consumer(self) -> dict[str, Any]:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return {"ready": True, "behind": await self.consumer.behind()}
        except (KafkaError, *DATABASE_AWAY) as error:
            return {"ready": False, "problem": type(error).__name__}

    async def _mail_server(self) -> bool:
        asked, reachable = self._mail
        if time.monotonic() - asked > MAIL_SECONDS:
            reachable = await self.email.reachable()
            self._mail = (time.monotonic(), reachable)
        return reachable

    async def _waiting(self) -> int | None:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await self.outbox.waiting()
        except DATABASE_AWAY:
            return None
