"""Identity's process: `python -m services.identity.app`. Everything it holds is opened and put together here."""

from __future__ import annotations

import asyncio
import base64
import binascii
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services.identity import internal, janitor
from services.identity.access import Principals
from services.identity.api_keys import api as api_keys
from services.identity.attempts import Attempts
from services.identity.background import running
from services.identity.bootstrap import Identity, is_migrated, master_keys, open_identity, wait_until_prepared
from services.identity.credentials import api as credentials
from services.identity.credentials.passwords import Hasher
from services.identity.idempotency import Answers
from services.identity.openapi import document
from services.identity.organizations import api as organizations
from services.identity.roles import api as roles
from services.identity.routes import Services, position_of
from services.identity.sessions import api as sessions
from services.identity.sessions import sweep
from services.identity.throttles import Throttles
from services.identity.users import api as users
from services.identity.users import read
from services.kit import telemetry
from services.kit.http import create_app
from services.kit.positions import Opaque
from services.kit.postgres import DATABASE_AWAY
from services.kit.sealing import KEY_BYTES
from services.kit.server import serve
from services.kit.settings import Settings, SettingsError, load
from services.kit.together import Together

USAGE = 2
OPENAPI = "/internal/openapi.json"
CAPABILITIES = (users, sessions, credentials, organizations, roles, api_keys, internal)


def create(settings: Settings) -> FastAPI:
    """The process as an application; its routes are there once it has started.

    Raises:
        SettingsError: something that it cannot do without is not set.
    """
    keys = settings.service_keys
    callers = {
        "gateway": keys.gateway_identity.get_secret_value(),
        "audit": keys.audit_identity.get_secret_value(),
        "notifier": keys.notifier_identity.get_secret_value(),
    }
    for name, key in callers.items():
        if not key:
            raise SettingsError(f"MUSTER_SERVICE_KEYS__{name.upper()}_IDENTITY is not set")
    sealing_keys(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_identity(settings) as identity:
            await wait_until_prepared(identity)
            async with open_services(identity, settings) as services:
                add_routes(app, identity, services)
                app.state.position_of = partial(position_of, services)
                erasure = janitor.run(identity.pool, identity.keys)
                async with running(services.attempts.run(), erasure, sweep.run(services)):
                    yield

    return create_app("Muster identity", lifespan, callers, may_ask)


@asynccontextmanager
async def open_services(identity: Identity, settings: Settings) -> AsyncIterator[Services]:
    """What decisions and routes work with; attempts that were summed up are written at the end.

    Raises:
        SettingsError: see `sealing_keys`.
    """
    kept, positions, lookup = sealing_keys(settings)
    hasher, attempts = Hasher(), Attempts(identity.runner)
    throttles = Throttles(identity.pool, settings.throttles, lookup)
    try:
        yield Services(
            identity.pool,
            identity.runner,
            attempts,
            Answers(kept),
            Opaque(positions),
            hasher,
            throttles,
            lookup,
            Principals(identity.pool, identity.lookups),
            Together(identity.lookups, read.situations),
        )
    finally:
        hasher.close()
        await attempts.flush(everything=True)


def sealing_keys(settings: Settings) -> tuple[list[bytes], bytes, bytes]:
    """The keys of answers that are kept, of positions and cursors, and of keyed hashes. Raises SettingsError."""
    return (
        master_keys(settings).derive("answers"),
        secret(settings.keys.positions.get_secret_value(), "MUSTER_KEYS__POSITIONS"),
        secret(settings.keys.lookup.get_secret_value(), "MUSTER_KEYS__LOOKUP"),
    )


def secret(text: str, name: str) -> bytes:
    """A key of 32 bytes from a setting. Raises SettingsError."""
    with suppress(binascii.Error, ValueError):
        if len(key := base64.b64decode(text, validate=True)) == KEY_BYTES:
            return key
    raise SettingsError(f"{name} is base64 of 32 bytes, for example of `openssl rand -base64 32`")


def may_ask(caller: str, path: str) -> bool:
    """Public routes are for the gateway, internal ones for audit and notifier."""
    if path.startswith("/v1/") or path == OPENAPI:
        return caller == "gateway"
    return caller in ("audit", "notifier") or not path.startswith("/internal/")


def add_routes(app: FastAPI, identity: Identity, services: Services) -> None:
    """Every route of the process."""
    for capability in CAPABILITIES:
        capability.add_routes(app, services)

    @app.get("/live", include_in_schema=False)
    async def live() -> JSONResponse:
        return JSONResponse({"live": True})

    @app.get("/ready", include_in_schema=False)
    async def ready() -> JSONResponse:
        checks = {"database": await database_answers(identity), "writer": identity.store.alive}
        well = all(checks.values())
        return JSONResponse({"ready": well, **checks}, 200 if well else 503)

    @app.get(OPENAPI, include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(document(app))


async def database_answers(identity: Identity) -> bool:
    """Whether the database can be asked, and has every step of this release."""
    try:
        async with asyncio.timeout(2), identity.pool.acquire() as connection:
            return await is_migrated(connection)
    except DATABASE_AWAY:
        return False


def main() -> None:
    try:
        settings = load()
        telemetry.configure(settings.instance or "identity", settings.log_level)
        app = create(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    serve(app, settings.listen.host, settings.listen.identity)


if __name__ == "__main__":
    main()
