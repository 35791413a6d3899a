"""The notifier: mails and session kills that follow from events. `python -m services.notifier.app`.

Several may run: Kafka's partitions, the leases of the queue and one leading relay divide the work. Each part
goes on by itself when what it needs is back: database, Kafka, identity, mail server.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from asyncpg import UndefinedTableError
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services.kit import telemetry
from services.kit.consumer import Consumer
from services.kit.http import create_app
from services.kit.persons import PersonKeys
from services.kit.positions import Opaque
from services.kit.postgres import DATABASE_AWAY, Pool, open_pool
from services.kit.relay import Relay
from services.kit.sealing import MasterKeys, WrongKey
from services.kit.server import serve
from services.kit.settings import Settings, SettingsError, load
from services.notifier import api, janitor
from services.notifier.channels import Email
from services.notifier.courier import Courier
from services.notifier.health import Health
from services.notifier.identity import open_identity
from services.notifier.intake import TOPICS, Intake
from services.notifier.kills import Kills
from services.notifier.log import RELAY, Log, Persons
from services.notifier.mails.render import Renderer
from services.notifier.outbox import EMAIL, Outbox

log = telemetry.logger(__name__)

CONNECTIONS = 12
KEY_CONNECTIONS = 3
"""In a pool of their own: keys are fetched amid transactions that hold a connection of the other one."""
EXPECTED: tuple[str, ...] = ()
"""Services that have to confirm session kills: nobody can subscribe yet, so nobody is late."""
USAGE = 2

Part = Callable[[], Awaitable[None]]
Work = Coroutine[Any, Any, None]


@dataclass(frozen=True, slots=True)
class Keys:
    master: MasterKeys
    positions: bytes

    @classmethod
    def of(cls, settings: Settings) -> Keys:
        """Raises ValueError: a key is missing or malformed."""
        return cls(
            MasterKeys.parse(settings.keys.master.get_secret_value()),
            base64.b64decode(settings.keys.positions.get_secret_value(), validate=True),
        )


def create(settings: Settings) -> FastAPI:
    """The process as an application; its parts run while it does.

    Raises:
        ValueError: a key is missing or malformed.
    """
    keys = Keys.of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            work = await _assemble(app, settings, keys, stack)
            task = asyncio.create_task(work)
            stack.push_async_callback(_end, task)
            yield

    app = create_app(
        "Muster notifier", lifespan, {"gateway": settings.service_keys.gateway_notifier.get_secret_value()}
    )
    api.add_routes(app)

    @app.get("/live", include_in_schema=False)
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.get("/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        health: Health = app.state.health
        return await health.answer()

    @app.get("/internal/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    return app


async def _assemble(app: FastAPI, settings: Settings, keys: Keys, stack: AsyncExitStack) -> Work:
    """Make the parts and hand each what it needs; returns what is to be run."""
    url, bootstrap = settings.databases.notifier.get_secret_value(), settings.kafka.bootstrap
    pool = await stack.enter_async_context(open_pool(url, size=CONNECTIONS))
    identity = await stack.enter_async_context(
        open_identity(settings.urls.identity, settings.service_keys.notifier_identity.get_secret_value())
    )
    person_keys = PersonKeys(keys.master)
    persons = Persons(await stack.enter_async_context(open_pool(url, size=KEY_CONNECTIONS)), person_keys)
    own_log = Log(persons)
    outbox = Outbox(pool, own_log, persons)
    email = Email(settings.smtp)
    renderer = Renderer(settings.urls.console)
    courier = Courier(outbox, {EMAIL: email}, identity, renderer)
    kills = Kills(pool, own_log, identity, EXPECTED)

    def wake() -> None:
        courier.wake()
        kills.wake()

    intake = Intake(pool, outbox, own_log, persons, identity, wake)
    consumer = Consumer(bootstrap, TOPICS, "notifier", pool, intake.apply, committed=intake.committed)
    relay = Relay(url, bootstrap, own_log, name=RELAY)
    health = Health(pool, consumer, relay, email, outbox)
    app.state.health = health
    app.state.reading = api.Reading(pool, identity, Opaque(keys.positions), EXPECTED)
    parts: dict[str, Part] = {
        "consumer": consumer.run,
        "gaps": intake.run,
        "kills": kills.run,
        "courier": courier.run,
        "janitor": lambda: janitor.run(pool, persons),
    }
    return _run(parts, relay, person_keys, pool, health)


async def _run(parts: dict[str, Part], relay: Relay, keys: PersonKeys, pool: Pool, health: Health) -> None:
    """Run everything until cancelled; nothing at all with a wrong master key."""
    try:
        await _check_master_key(keys, pool)
    except WrongKey as error:
        health.problem = str(error)
        log.critical("wrong master key", problem=health.problem)
        return
    async with relay.running(), asyncio.TaskGroup() as group:
        for name, part in parts.items():
            group.create_task(_keep(name, part))


async def _check_master_key(keys: PersonKeys, pool: Pool) -> None:
    """Raises WrongKey; waits for a database that is away or not migrated yet."""
    while True:
        try:
            async with pool.acquire() as connection:
                await keys.check_canary(connection)
        except (*DATABASE_AWAY, UndefinedTableError):
            await asyncio.sleep(1)
        else:
            return


async def _keep(name: str, part: Part) -> None:
    """Begin a part again whenever it ends: each keeps what it does in the database, and goes on there."""
    while True:
        try:
            await part()
        except Exception as error:  # noqa: BLE001 (whatever it is, the part begins again)
            log.warning("a part begins again", part=name, error=type(error).__name__)
        await asyncio.sleep(1)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def main() -> None:
    try:
        settings = load()
        app = create(settings)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    telemetry.configure(settings.instance or "notifier", settings.log_level)
    serve(app, settings.listen.host, settings.listen.notifier)


if __name__ == "__main__":
    main()
