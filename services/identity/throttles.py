"""How many wrong guesses are let through: per account, half session, address and organization.

An attempt is given its place before it is evaluated, so that of any number of parallel guesses no more are
compared than the limit says. Places, failures and delays are in the database: they hold over restarts and for
all processes. The figures are settings (api.md §2, "rates").

An account is delayed, never locked: and who has signed in from a network before has a count of their own there,
so that a stranger who keeps guessing does not keep them out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.identity.access import keyed_hash
from services.identity.sessions.networks import network_of
from services.kit.errors import Throttled
from services.kit.postgres import Pool
from services.kit.settings import Throttles as Figures
from services.kit.sql import named

SQL = named(__file__)
WINDOW_SECONDS = 600.0
PLACE_SECONDS = 10.0
"""A place that was not given back counts for so long: its process died."""
PATIENCE_SECONDS = 5.0
MAIL_SECONDS = 3600.0


class TooManyFailures(Throttled):
    """Too many failed attempts; try again later."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `failures`; then nothing more for the rest of the window, or (`window` None) a growing delay."""

    id: str
    failures: int
    window: float | None = None
    at_home: bool = False
    """Whether it counts only who comes from where the person has signed in before."""


@dataclass(frozen=True, slots=True)
class Place:
    """An admitted attempt."""

    limit: Limit
    at: datetime


@dataclass(frozen=True, slots=True)
class Attempted:
    """An attempt that is under way; `delayed`: its account has to wait, so it is refused unseen."""

    places: tuple[Place, ...]
    delayed: bool


class Throttles:
    """Counts in table `throttles`; `key` hashes what must not be read there (addresses, unknown logins)."""

    def __init__(self, pool: Pool, figures: Figures, key: bytes) -> None:
        self._pool = pool
        self._figures = figures
        self._key = key

    @property
    def session_codes(self) -> int:
        """Tries of one half session."""
        return self._figures.session_codes * self._figures.factor

    def address(self, ip: str | None) -> Limit:
        return self._window("address", self._hash(network_of(ip) or ""), self._figures.address_failures)

    def organization(self, org: str | None, slug: str) -> Limit:
        """Of an organization, or of a name that none has."""
        return self._window("org", org or self._hash(slug), self._figures.organization_failures)

    def windows(self, org: str | None, slug: str, ip: str | None, account: Limit) -> tuple[Limit, ...]:
        """What is counted beside the account. Strangers who fill the organization's window keep strangers out,
        and nobody who comes from home.
        """
        return (self.address(ip),) if account.at_home else (self.address(ip), self.organization(org, slug))

    async def passwords(self, user: str, ip: str | None) -> Limit:
        """Of a person: from a network where they have signed in before, a count of its own."""
        known = self._known(user, ip)
        is_known = await self._pool.fetchval(SQL["is_known"], known)
        id_ = f"password:{user}:{known}" if is_known else f"password:{user}"
        return Limit(id_, self._figures.account_passwords * self._figures.factor, at_home=is_known)

    async def passwords_of_nobody(self, org: str | None, slug: str, login: str, ip: str | None) -> Limit:
        """Of a login that nobody has, by the same steps: it must take as long."""
        return await self.passwords(self._hash(f"{org or slug} {login}"), ip)

    def codes(self, user: str) -> Limit:
        return Limit(f"code:{user}", self._figures.account_codes * self._figures.factor)

    async def begin(self, windows: Sequence[Limit], account: Limit) -> Attempted:
        """Admit one attempt.

        Args:
            windows: limits whose excess is told to the caller; of one length.
            account: the limit whose excess is answered like a wrong guess.

        Raises:
            TooManyFailures: a window is full.
        """
        places, seconds = await self._admit(windows)
        if seconds is not None:
            raise TooManyFailures(retry_after=max(1, round(seconds)))
        own, seconds = await self._admit([account])
        return Attempted((*places, *own), delayed=seconds is not None)

    async def end(self, attempt: Attempted, *, failed: bool) -> None:
        """Give the places back; a failure is counted on each."""
        if not failed:
            await self._give_back(attempt.places)
            return
        limits = [place.limit for place in attempt.places]
        doubles_from = [limit.failures if limit.window is None else None for limit in limits]
        await self._pool.execute(
            SQL["failed"],
            [limit.id for limit in limits],
            [place.at for place in attempt.places],
            doubles_from,
        )

    async def signed_in(self, user: str, ip: str | None) -> None:
        """A full sign-in: nothing is held against the account, and the network is known from now on."""
        await self._pool.execute(SQL["signed_in"], self._passwords_of(user, ip), self._known(user, ip))

    async def clear_passwords(self, user: str, ip: str | None) -> None:
        """A person has proven who they are: their failures are forgotten, also those from this network."""
        await self._pool.execute(SQL["clear"], self._passwords_of(user, ip))

    async def clear_codes(self, user: str) -> None:
        await self._pool.execute(SQL["clear"], [f"code:{user}"])

    async def may_mail(self, user: str) -> bool:
        """Whether one more reset mail may go to this person; it is counted then."""
        most = self._figures.reset_mails_per_hour * self._figures.factor
        admitted = await self._pool.fetch(SQL["admit"], [f"reset:{user}"], [most], None, MAIL_SECONDS)
        return bool(admitted)

    async def forget(self) -> None:
        """Remove what nobody has come back to; for the sweeper."""
        await self._pool.execute(SQL["forget"])

    async def _admit(self, limits: Sequence[Limit]) -> tuple[list[Place], float | None]:
        """A place under each of these limits (of one kind of window), and None; or none at all, and the seconds
        until there may be. Waits, holding nothing, while only attempts under way are in the way.
        """
        loop = asyncio.get_running_loop()
        deadline, pause = loop.time() + PATIENCE_SECONDS, 0.01
        while True:
            places = await self._take(limits) if limits else []
            if len(places) == len(limits):
                return places, None
            await self._give_back(places)
            held = {place.limit for place in places}
            waits = [await self._seconds_until(limit) for limit in limits if limit not in held]
            if any(waits) or loop.time() > deadline:
                return [], max(seconds or 0.0 for seconds in waits) or PLACE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.2)

    async def _seconds_until(self, limit: Limit) -> float | None:
        """None where it is only attempts under way that fill the places."""
        return await self._pool.fetchval(SQL["refused"], limit.id, limit.failures, limit.window)

    async def _take(self, limits: Sequence[Limit]) -> list[Place]:
        ids, most = [limit.id for limit in limits], [limit.failures for limit in limits]
        rows = await self._pool.fetch(SQL["admit"], ids, most, limits[0].window, PLACE_SECONDS)
        at: dict[str, datetime] = {row["id"]: row["place"] for row in rows}
        return [Place(limit, at[limit.id]) for limit in limits if limit.id in at]

    async def _give_back(self, places: Sequence[Place]) -> None:
        if places:
            ids, at = [place.limit.id for place in places], [place.at for place in places]
            await self._pool.execute(SQL["released"], ids, at)

    def _window(self, kind: str, of: str, failures: int) -> Limit:
        return Limit(f"{kind}:{of}", failures * self._figures.factor, WINDOW_SECONDS)

    def _passwords_of(self, user: str, ip: str | None) -> list[str]:
        return [f"password:{user}", f"password:{user}:{self._known(user, ip)}"]

    def _known(self, user: str, ip: str | None) -> str:
        return f"known:{user}:{self._hash(network_of(ip) or '')}"

    def _hash(self, text: str) -> str:
        return keyed_hash(self._key, text).hex()
