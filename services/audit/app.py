"""The audit process, `python -m services.audit.app`: its parts are made here and handed to each other."""

from __future__ import annotations

import asyncio
import base64
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services.audit import api, health
from services.audit.entries import TOPICS
from services.audit.healer import Healer
from services.audit.health import Health
from services.audit.identity import connect
from services.audit.janitor import Janitor
from services.audit.keys import Keys
from services.audit.progress import Progress
from services.audit.recorder import Recorder
from services.kit import telemetry
from services.kit.consumer import Consumer
from services.kit.http import create_app
from services.kit.parked import describe
from services.kit.positions import Opaque
from services.kit.postgres import open_pool
from services.kit.sealing import MasterKeys, WrongKey
from services.kit.server import serve
from services.kit.settings import Settings, SettingsError, load

log = telemetry.logger(__name__)

GROUP = "audit"
CONNECTIONS = 12
USAGE = 2


def build(settings: Settings) -> FastAPI:
    """The process as an application; the consumer and the loops beside it run while it does.

    Raises:
        ValueError: a key is missing or malformed.
    """
    master = MasterKeys.parse(settings.keys.master.get_secret_value())
    opaque = Opaque(base64.b64decode(settings.keys.positions.get_secret_value(), validate=True))
    url = settings.databases.audit.get_secret_value()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            open_pool(url, size=CONNECTIONS) as pool,
            open_pool(url, size=2) as key_pool,
            connect(
                settings.urls.identity, settings.service_keys.audit_identity.get_secret_value()
            ) as identity,
        ):
            keys, progress = Keys(key_pool, master), Progress(pool)
            recorder = Recorder(keys)
            consumer = Consumer(
                settings.kafka.bootstrap, TOPICS, GROUP, pool, recorder.apply, committed=progress.committed
            )
            app.state.audit = audit = api.Audit(pool, keys, recorder, progress, identity, opaque)
            app.state.position_of = audit.position_of
            app.state.health = state = Health(pool, consumer, progress)
            loops = (consumer, progress, Healer(progress, consumer, identity), Janitor(pool, keys))
            async with _running(_work(state, keys, loops)):
                yield

    app = create_app(
        "Muster audit", lifespan, {"gateway": settings.service_keys.gateway_audit.get_secret_value()}
    )
    app.include_router(health.router)
    app.include_router(api.router)

    @app.get("/internal/openapi.json", include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(app.openapi())

    return app


class Loop(Protocol):
    """What works beside the answering of requests, until it is cancelled."""

    async def run(self) -> None: ...


async def _work(state: Health, keys: Keys, loops: Iterable[Loop]) -> None:
    """Begin once the database answers and the master key is the right one; without it nothing is touched."""
    while not state.key_is_right:
        try:
            await keys.check()
            await state.progress.load()
            state.key_is_right = True
        except WrongKey as error:
            log.critical("refused to start", error=str(error))
            return
        except Exception as error:  # noqa: BLE001 # away or not migrated yet: it is waited for
            log.warning("the database cannot be asked", error=describe(error))
            await asyncio.sleep(1)
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop.run())


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    task.add_done_callback(_end_if_failed)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """A process that answers but records no more would be worse than one that is started anew."""
    if not task.cancelled() and (error := task.exception()):
        log.critical("the work behind the answers has ended", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


def main() -> None:
    try:
        settings = load()
        app = build(settings)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    telemetry.configure(settings.instance or "audit", settings.log_level)
    serve(app, settings.listen.host, settings.listen.audit)


if __name__ == "__main__":
    main()
