"""Takes away what has served its purpose: keys of deleted persons, and rows that are only history."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from services.kit.postgres import Pool
from services.kit.sql import named
from services.kit.telemetry import logger
from services.notifier import log as own_log
from services.notifier.log import RELAY, Persons

log = logger(__name__)

POLL_SECONDS = 10.0
KEPT = timedelta(days=30)
"""Well beyond what Kafka keeps, so that nothing can be read twice and be taken for new."""
KEPT_STREAMS = timedelta(days=90)
"""Longer than any session lives; a stream that comes back later begins with a new base."""


async def run(pool: Pool, persons: Persons) -> None:
    """Tidy until cancelled."""
    while True:
        await tidy(pool, persons)
        await asyncio.sleep(POLL_SECONDS)


async def tidy(pool: Pool, persons: Persons) -> None:
    """Destroy keys that are due, and delete what is older than it is kept."""
    for user in await persons.destroy_erased():
        log.info("the key of a deleted person is destroyed", user=user)
    await pool.execute("DELETE FROM messages WHERE finished_at < now() - $1::interval", KEPT)
    await pool.execute("DELETE FROM inbox WHERE at < now() - $1::interval", KEPT)
    await pool.execute("DELETE FROM streams WHERE seen_at < now() - $1::interval", KEPT_STREAMS)
    await pool.execute(named(own_log.__file__)["prune"], RELAY, KEPT)
