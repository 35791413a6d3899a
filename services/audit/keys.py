"""The keys of audit: two for each person (as target, as actor), one for each org, apart from the records.

A key is stored in a transaction of its own before the first record that it seals: whatever becomes of that
record's transaction, a key that was used is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from services.audit.leaves import Sealers
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection, Pool
from services.kit.sealing import MasterKeys


class Keys:
    """Finds keys and makes those that are missing.

    Source: table `person_keys`.
    """

    def __init__(self, pool: Pool, master: MasterKeys) -> None:
        """Take a pool of its own: it is asked while other connections are held."""
        self._pool = pool
        self._persons = PersonKeys(master)

    async def check(self) -> None:
        """Refuse to start with another master key than the database was written with (WrongKey)."""
        async with self._pool.acquire() as connection:
            await self._persons.check_canary(connection)

    async def sealers(self, owners: Mapping[str, str]) -> Sealers:
        """For key ids and the org of each: sealers; None: the key is destroyed, nobody makes it anew."""
        async with self._pool.acquire() as connection:
            found = await self._persons.fetch(connection, owners)
            missing = [id_ for id_, sealer in found.items() if sealer is None]
            if missing:
                await self._make(connection, {id_: owners[id_] for id_ in missing})
                found |= await self._persons.fetch(connection, missing)
        return found

    async def existing(self, connection: Connection, ids: set[str]) -> Sealers:
        return await self._persons.fetch(connection, ids)

    def forget(self, id_: str) -> None:
        self._persons.forget(id_)

    async def _make(self, connection: Connection, owners: Mapping[str, str]) -> None:
        new = [self._persons.new(id_) for id_ in sorted(owners)]
        await connection.execute(
            "INSERT INTO person_keys (id, org, master, wrapped)"
            " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) ON CONFLICT DO NOTHING",
            [key.id for key in new],
            [owners[key.id] for key in new],
            [key.master for key in new],
            [key.wrapped for key in new],
        )


async def forget_later(connection: Connection, deleted: Mapping[str, datetime]) -> None:
    """Say when the key of a deleted person goes; an earlier word is not put off."""
    await connection.execute(
        "UPDATE person_keys k SET forget_after = least(k.forget_after, d.at)"
        " FROM unnest($1::text[], $2::timestamptz[]) AS d (id, at) WHERE k.id = d.id",
        [f"{person}:target" for person in deleted],
        list(deleted.values()),
    )
