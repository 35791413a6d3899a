"""Forgets persons when their time has come: destroys the key, and makes anew the rows that show them.

The records stay as they are, and so do their places; what was sealed under the key is noise from then on.
"""

from __future__ import annotations

import asyncio

from services.audit import leaves, lookup, names
from services.audit.keys import Keys
from services.kit import parked
from services.kit.postgres import Connection, Pool
from services.kit.telemetry import logger

log = logger(__name__)

EVERY_SECONDS = 60.0
PAGE = 1_000
SUFFIX = ":target"


class Janitor:
    def __init__(self, pool: Pool, keys: Keys) -> None:
        self._pool = pool
        self._keys = keys

    async def run(self) -> None:
        """Look once a minute until cancelled."""
        while True:
            try:
                while await self.forget_one():
                    pass
            except Exception as error:  # noqa: BLE001 # tried again in a minute, whatever it is
                log.warning("forgetting failed", error=parked.describe(error))
            await asyncio.sleep(EVERY_SECONDS)

    async def forget_one(self) -> str | None:
        """Forget the next person who is due, in one transaction; return the id, None when nobody is."""
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow(
                "SELECT id, org FROM person_keys WHERE forget_after <= now() AND destroyed_at IS NULL"
                " ORDER BY forget_after LIMIT 1 FOR UPDATE SKIP LOCKED"
            )
            if row is None:
                return None
            # The org's lock keeps out a recorder that holds the key still and would write in clear.
            await connection.execute("SELECT 1 FROM orgs WHERE org = $1 FOR UPDATE", row["org"])
            await connection.execute(
                "UPDATE person_keys SET wrapped = NULL, destroyed_at = now() WHERE id = $1", row["id"]
            )
            self._keys.forget(row["id"])
            person = row["id"].removesuffix(SUFFIX)
            await names.forget(connection, person)
            await parked.forget(connection, [person])
            await self._blank(connection, row["org"], person)
        self._keys.forget(row["id"])
        log.info("person forgotten", person=person)
        return person

    async def _blank(self, connection: Connection, org: str, person: str) -> None:
        after = -1
        while rows := await connection.fetch(_ABOUT, org, person, after, PAGE):
            records = [leaves.parse(row["leaf"]) for row in rows]
            sealers = await self._keys.existing(
                connection, {key for record in records for key in leaves.keys_of(record)}
            )
            sealers = {**sealers, person + SUFFIX: None}
            await lookup.replace(connection, [lookup.row(leaves.read(record, sealers)) for record in records])
            after = rows[-1]["seq"]


_ABOUT = (
    "SELECT seq, leaf FROM records JOIN lookup USING (org, seq)"
    " WHERE org = $1 AND (target = $2 OR (person = $2 AND person IS DISTINCT FROM target)) AND seq > $3"
    " ORDER BY seq LIMIT $4"
)
