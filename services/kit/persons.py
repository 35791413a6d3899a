"""The keys of persons: one for each, wrapped by a master key, and the only way to what is sealed under it.

A service that seals keeps them in a table of its own (`person_keys` with columns id, master, wrapped, …;
`wrapped` is null once a key is destroyed) beside a table `canary(master, sealed)`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from services.kit.postgres import Database
from services.kit.sealing import MasterKeys, Sealer, WrongKey, new_key

CACHED_KEYS = 20_000
CACHED_SECONDS = 60.0
"""How long a process may go on reading a person after another one destroyed the key."""
_CANARY = b"muster"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is about to be stored: `wrapped` under the master key named `master`."""

    id: str
    master: str
    wrapped: bytes
    sealer: Sealer


class PersonKeys:
    """Unwraps keys of persons, and remembers them for a minute."""

    def __init__(self, master: MasterKeys) -> None:
        self._master = master
        self._cache: OrderedDict[str, tuple[float, Sealer]] = OrderedDict()

    def new(self, owner: str) -> NewKey:
        """Make the key of a person; the unit that creates the person stores it."""
        key = new_key()
        master, wrapped = self._master.wrap(key, owner)
        return NewKey(owner, master, wrapped, Sealer(key))

    async def fetch(self, connection: Database, ids: Iterable[str]) -> dict[str, Sealer | None]:
        """The sealers of these keys, one entry for each id; None: destroyed, or never there.

        At most one query, none when all are remembered.

        Raises:
            WrongKey: a key is there and the settings lack its master key.

        Source: table `person_keys`.
        """
        found: dict[str, Sealer | None] = {id_: self._remembered(id_) for id_ in ids}
        missing = [id_ for id_, sealer in found.items() if sealer is None]
        if missing:
            for row in await connection.fetch(
                "SELECT id, master, wrapped FROM person_keys WHERE id = ANY($1) AND wrapped IS NOT NULL",
                missing,
            ):
                found[row["id"]] = self._remember(row["id"], row["master"], row["wrapped"])
        return found

    def forget(self, id_: str) -> None:
        """Drop a key from memory; for whoever destroys it."""
        self._cache.pop(id_, None)

    async def check_canary(self, connection: Database) -> None:
        """Prove that the settings hold the keys that this database was written with; call at the start.

        The first start with a master key leaves a sealed text under its name, each later one opens it.

        Raises:
            WrongKey: a key is missing or another one; the sentence says which setting to look at.

        Source: table `canary`, written here only.
        """
        await self._open_canaries(connection)
        master = self._master.current
        sealed = Sealer(self._master.keys[master]).seal(_CANARY, f"canary:{master}")
        written = await connection.execute(
            "INSERT INTO canary (master, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING", master, sealed
        )
        if written == "INSERT 0 0":  # it was there, or another process was faster
            await self._open_canaries(connection)

    async def _open_canaries(self, connection: Database) -> None:
        for row in await connection.fetch("SELECT master, sealed FROM canary"):
            name = row["master"]
            if name not in self._master.keys:
                raise WrongKey(
                    f"this database was written with the master key {name!r}: add it to MUSTER_KEYS__MASTER, "
                    "behind a newer one if it was replaced"
                )
            try:
                Sealer(self._master.keys[name]).open(row["sealed"], f"canary:{name}")
            except WrongKey:
                raise WrongKey(
                    f"the master key {name!r} in MUSTER_KEYS__MASTER is not the one that this database was "
                    "written with: give the old one back, nothing can be read without it"
                ) from None

    def _remembered(self, id_: str) -> Sealer | None:
        entry = self._cache.get(id_)
        if entry is None or entry[0] < time.monotonic():
            return None
        self._cache.move_to_end(id_)
        return entry[1]

    def _remember(self, id_: str, master: str, wrapped: bytes) -> Sealer:
        sealer = Sealer(self._master.unwrap(master, wrapped, id_))
        self._cache[id_] = (time.monotonic() + CACHED_SECONDS, sealer)
        self._cache.move_to_end(id_)
        while len(self._cache) > CACHED_KEYS:
            self._cache.popitem(last=False)
        return sealer
