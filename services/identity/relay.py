"""The process that publishes identity's log and the directory: `python -m services.identity.relay`.

Any number of them may run; one leads. `/ready` says whether this one does, how far it is, and whether Kafka
takes what it gets.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from muster_contracts.envelope import Record, to_record
from muster_contracts.topics import WEEK_MS

from services.identity import log
from services.identity.directory import Directory
from services.identity.log import UnreadableEvent
from services.kit import telemetry
from services.kit.http import create_app
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection
from services.kit.relay import Positioned, Publish, Relay, Source
from services.kit.sealing import MasterKeys
from services.kit.server import serve
from services.kit.settings import Settings, SettingsError, load

SUBJECT = "ce_subject"
USAGE = 2


class IdentityLog(Source):
    """Identity's log as the relay reads it, with the directory written beside it."""

    def __init__(self, keys: PersonKeys, directory: Directory) -> None:
        self._keys, self._directory = keys, directory

    async def read(self, connection: Connection, after: int, limit: int) -> list[Positioned]:
        """Read the next page, or what comes before an event of it that cannot be read.

        Raises:
            UnreadableEvent: that is the next one, or its position is missing.
        """
        try:
            return await self._page(connection, after, limit)
        except UnreadableEvent as error:
            readable = error.position - after - 1
            if not readable:
                raise
            return await self._page(connection, after, readable)

    async def _page(self, connection: Connection, after: int, limit: int) -> list[Positioned]:
        envelopes = await log.read(connection, self._keys, after, limit)
        for expected, envelope in enumerate(envelopes, after + 1):
            if envelope.position != expected:
                raise UnreadableEvent(expected, "the log does not hold it")
        return [(n, to_record(envelope)) for n, envelope in enumerate(envelopes, after + 1)]

    async def on_lead(self, connection: Connection, after: int, publish: Publish) -> None:
        """Refuse to go on with a wrong master key, then write the directory around the cursor again."""
        await self._keys.check_canary(connection)
        await self._directory.begin(connection, after, publish)

    async def refill(self, connection: Connection, publish: Publish) -> int:
        """Write the whole directory; what Kafka would still keep of the log follows from there on."""
        await self._directory.write_all(connection, publish)
        return await log.position_before(connection, WEEK_MS)

    async def beside(self, connection: Connection, page: Sequence[Positioned]) -> list[Record]:
        """The state of every user who changed."""
        return await self._directory.states(connection, filter(None, (_user(record) for _, record in page)))

    async def on_overtaken(self, connection: Connection, after: int, until: int, publish: Publish) -> None:
        """Write everybody again of whom it may have written a state that is older than what was there already."""
        await self._directory.write_changed(connection, after, until, publish)

    async def on_idle(self, connection: Connection, publish: Publish) -> None:
        """Write again what is due."""
        await self._directory.write_again(connection, publish)


def _user(record: Record) -> str | None:
    """The user whose stream the event is in."""
    return next((s.decode() for name, s in record.headers if name == SUBJECT and s.startswith(b"usr_")), None)


def create(settings: Settings) -> FastAPI:
    """The process as an application with `/live` and `/ready`; the relay runs while it does.

    Raises:
        ValueError: the master keys are missing or malformed.
    """
    keys = PersonKeys(MasterKeys.parse(settings.keys.master.get_secret_value()))
    relay = Relay(
        settings.databases.identity.get_secret_value(),
        settings.kafka.bootstrap,
        IdentityLog(keys, Directory()),
        name="identity",
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with relay.running():
            yield

    app = create_app("Muster relay", lifespan, callers={})

    @app.get("/live")
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.get("/ready")
    async def ready() -> JSONResponse:
        health = await relay.health()
        return JSONResponse(asdict(health), 200 if health.ready else 503)

    return app


def main() -> None:
    try:
        settings = load()
        app = create(settings)
    except (SettingsError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    telemetry.configure(settings.instance or "relay", settings.log_level)
    serve(app, settings.listen.host, settings.listen.relay)


if __name__ == "__main__":
    main()
