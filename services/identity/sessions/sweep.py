"""What time alone ends, written down within a minute: sessions, invitations; and rows that nobody needs any more.

That something has expired is decided by the database's clock where it is used; this only says so in the log and
tidies up. Several processes may sweep at once: one gets the lock, the others pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from muster_contracts.events import Actor, Event
from muster_contracts.users import InvitationVoided

from services.identity.access import access_guard
from services.identity.background import every
from services.identity.routes import Services
from services.identity.run import Draft, Origin
from services.identity.sessions import account as accounts
from services.identity.users.ending import end_sessions
from services.kit.errors import NotFound, Unavailable
from services.kit.ids import new_id
from services.kit.postgres import Connection
from services.kit.sql import named
from services.kit.telemetry import logger

log = logger(__name__)
SQL = named(__file__)
LOCK = 0x6D75_7377  # "musw"
AT_ONCE = 8
PAGE = 500
GONE = ("half_sessions", "resets", "enrollments", "answers", "claims", "ended", "uses")
EVERY_SECONDS = 20.0
"""Well within the minute in which an expiry is to be written."""


async def run(services: Services) -> None:
    """Sweep every now and then until cancelled."""

    async def look() -> None:
        await sweep(services)

    await every(EVERY_SECONDS, "sweep", look)


async def sweep(services: Services) -> None:
    """One round; nothing where another process is at it."""
    async with services.pool.acquire() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return
        try:
            people = [row["id"] for row in await connection.fetch(SQL["people"], PAGE)]
            await _each(people, lambda user: _end_sessions(services, user))
            links = [row["id"] for row in await connection.fetch(SQL["invitations"], PAGE)]
            await _each(links, lambda link: _void_invitation(services, link))
            for name in GONE:
                await connection.execute(SQL[name])
            await services.throttles.forget()
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def _each(ids: Sequence[str], work: Callable[[str], Awaitable[None]]) -> None:
    """A few at once; one that does not get through comes again in the next round."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(id_: str) -> None:
        async with turns:
            try:
                await work(id_)
            except NotFound:
                return  # someone else was faster
            except Unavailable as error:
                log.warning("not swept", id=id_, code_=error.code)

    await asyncio.gather(*(one(id_) for id_ in ids))


async def _end_sessions(services: Services, user: str) -> None:
    async def decide(connection: Connection) -> tuple[Origin, Draft]:
        account = await accounts.read(connection, user)
        if account is None:
            raise NotFound
        causes = {
            row["id"]: "expired" if row["expired"] else "idle"
            for row in await connection.fetch(SQL["over"], user)
        }
        events: list[Event] = []
        for live in account.sessions:
            if cause := causes.get(live.id):
                events += end_sessions(user, [live], cause, None)
        guard = access_guard(user)
        heads = {guard, *(stream for event in events if (stream := event.stream()))}
        reads = {head: account.heads[head] for head in heads}
        draft = Draft(events=events, reads=reads, touches=frozenset({guard} if events else ()))
        return _by_itself(account.user.org, account.now), draft

    await services.runner.run(decide)


async def _void_invitation(services: Services, link: str) -> None:
    async def decide(connection: Connection) -> tuple[Origin, Draft]:
        row = await connection.fetchrow(SQL["invitation"], link)
        if row is None:
            raise NotFound
        voided = InvitationVoided(user=row["user"], link=link, cause="expired")
        return _by_itself(row["org"], row["now"]), Draft([voided], reads={row["user"]: row["version"]})

    await services.runner.run(decide)


def _by_itself(org: str, now: datetime) -> Origin:
    return Origin(org, Actor(type="system"), now, new_id("req"))
