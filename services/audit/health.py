"""What `/live` and `/ready` say: ready is who can answer and record, whoever else is away is named."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import KafkaError
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from services.audit.progress import Progress
from services.kit import migrate
from services.kit.consumer import Consumer
from services.kit.postgres import Pool

CHECK_SECONDS = 2.0
UNAVAILABLE = 503


@dataclass(slots=True)
class Health:
    pool: Pool
    consumer: Consumer
    progress: Progress
    key_is_right: bool = False
    """The canary was opened: this process can read what the database holds."""

    async def ready(self) -> tuple[bool, dict[str, Any]]:
        database, kafka = await asyncio.gather(self._database(), self._kafka())
        ready = database == "ok" and self.key_is_right
        keys = (
            "ok"
            if self.key_is_right
            else "not checked yet"
            if database != "ok"
            else "the master key is wrong"
        )
        return ready, {
            "ready": ready, "database": database, "keys": keys, "kafka": kafka, "position": self.progress.position
        }  # fmt: skip

    async def _database(self) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS), self.pool.acquire() as connection:
                current = await migrate.current(connection)
        except Exception:  # noqa: BLE001 # whatever it is, it cannot be asked
            return "away"
        return "ok" if current == migrate.head("audit") else "not migrated"

    async def _kafka(self) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                behind = await self.consumer.behind()
        except (KafkaError, OSError, TimeoutError):
            return "away"
        except Exception:  # noqa: BLE001 # the database is needed for this answer too
            return "unknown"
        return "ok" if behind == 0 else f"{behind} records behind"


router = APIRouter(include_in_schema=False)


@router.get("/live")
async def live() -> JSONResponse:
    return JSONResponse({"live": True})


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    state: Health = request.app.state.health
    is_ready, answer = await state.ready()
    return JSONResponse(answer, 200 if is_ready else UNAVAILABLE)
