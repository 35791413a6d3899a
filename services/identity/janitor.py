"""Erasure: destroys the keys of people who were deleted, once all that reads the log has passed their deletion.

Their rows went with the deletion itself. What the log says of them is noise from then on and reads as erased;
its places stay. Relay and audit need the key until they have passed; whatever keeps them, it goes after a week.
"""

from __future__ import annotations

from datetime import timedelta

from services.identity.background import every
from services.kit.persons import PersonKeys
from services.kit.postgres import Pool
from services.kit.sql import named
from services.kit.telemetry import logger

log = logger(__name__)
SQL = named(__file__)

EVERY_SECONDS = 60.0
ALARM_AFTER = timedelta(hours=24)
AT_LATEST = timedelta(days=7)


async def run(pool: Pool, keys: PersonKeys) -> None:
    """Look once a minute until cancelled; any number of processes may."""

    async def look() -> None:
        await erase(pool, keys)

    await every(EVERY_SECONDS, "erasure", look)


async def erase(pool: Pool, keys: PersonKeys) -> list[str]:
    """Destroy every key that is due.

    Returns:
        Whose keys this call destroyed.

    Source: table `person_keys`; how far relay and audit are: `relay_cursor`, `progress`.
    """
    async with pool.acquire() as connection:
        erased = await connection.fetch(SQL["erase"], AT_LATEST)
        waiting = await connection.fetchrow(SQL["waiting"], ALARM_AFTER)
    for row in erased:
        keys.forget(row["id"])
        log.info("person erased", person=row["id"], position=row["position"])
        if row["forced"]:
            log.error("erased before relay and audit had passed", alarm=True, position=row["position"])
    if waiting and waiting["persons"]:
        log.error("erasure waits for relay or audit", alarm=True, **dict(waiting))
    return [row["id"] for row in erased]
