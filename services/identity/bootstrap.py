"""Identity opened without HTTP: what the process, the command line, the demo and a rebuild work with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from services.identity.projections import project
from services.identity.run import Runner
from services.identity.store import Store
from services.kit import migrate
from services.kit.persons import PersonKeys
from services.kit.postgres import DATABASE_AWAY, Connection, Pool, open_pool
from services.kit.sealing import MasterKeys
from services.kit.settings import Settings, SettingsError
from services.kit.telemetry import logger

log = logger(__name__)

UNKNOWN_ORG = "org_0"
"""Whose key seals attempts at organizations that do not exist."""
POOL_SIZE = 16
LOOKUPS_SIZE = 4
RETRY_SECONDS = 0.5


class NotMigrated(Exception):
    """The database lacks tables that this release needs: run `muster migrate`."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The open machinery: reads by `pool`, decisions by `runner`, the `store` that makes them durable.

    `lookups` is for the few statements by key that nearly every request asks: each has one plan for all values, for
    planning it costs as much as running it.
    """

    pool: Pool
    lookups: Pool
    store: Store
    runner: Runner
    keys: PersonKeys


@asynccontextmanager
async def open_identity(settings: Settings) -> AsyncIterator[Identity]:
    """Open everything that settings name; connections are made when they are first needed.

    Raises:
        SettingsError: the database or the master keys are not set.
    """
    url = settings.databases.identity.get_secret_value()
    if not url:
        raise SettingsError("MUSTER_DATABASES__IDENTITY is not set: the URL of identity's database")
    keys = PersonKeys(master_keys(settings))
    async with (
        open_pool(url, size=POOL_SIZE) as pool,
        open_pool(url, size=LOOKUPS_SIZE, plan_cache_mode="force_generic_plan") as lookups,
        Store(url, project) as store,
    ):
        yield Identity(pool, lookups, store, Runner(pool, store, keys), keys)


def master_keys(settings: Settings) -> MasterKeys:
    """Raises SettingsError."""
    try:
        return MasterKeys.parse(settings.keys.master.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"MUSTER_KEYS__MASTER: {error}") from None


async def prepare(identity: Identity) -> None:
    """Prove that the database is as this release needs it and was written with our keys.

    Raises:
        NotMigrated: steps are missing.
        WrongKey: see `PersonKeys.check_canary`.
        OSError, asyncpg.PostgresError: the database cannot be reached.
    """
    async with identity.pool.acquire() as connection:
        if not await is_migrated(connection):
            raise NotMigrated("the database lacks tables that this release needs: run `muster migrate`")
        await identity.keys.check_canary(connection)
        key = identity.keys.new(UNKNOWN_ORG)
        await connection.execute(
            "INSERT INTO person_keys (id, master, wrapped, created_at) VALUES ($1, $2, $3, now()) "
            "ON CONFLICT DO NOTHING",
            key.id, key.master, key.wrapped,
        )  # fmt: skip


async def wait_until_prepared(identity: Identity) -> None:
    """Try until the database answers and is migrated; a wrong key is an error at once."""
    said = ""
    while True:
        try:
            return await prepare(identity)
        except (*DATABASE_AWAY, asyncpg.PostgresError, NotMigrated) as error:
            if said != (said := type(error).__name__):
                log.warning("waiting for the database", error=said)
        await asyncio.sleep(RETRY_SECONDS)


async def is_migrated(connection: Connection) -> bool:
    """Whether the database has every step of this release; one of a newer release has more."""
    at, needed = await migrate.current(connection), migrate.head("identity")
    return needed is None or (at is not None and at >= needed)
