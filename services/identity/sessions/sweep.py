"""What time alone ends, written down within a minute: sessions, invitations; and rows that nobody needs any more.

That something has expired is decided by the database's clock where it is used; this only says so in the log and
tidies up. Several processes may sweep at once: one gets the lock, the others pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from itertools import count

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
from services.kit.postgres import Database
from services.kit.sql import named
from services.kit.telemetry import logger

log = logger(__name__)
SQL = named(__file__)
Work = Callable[[str], Awaitable[None]]
LOCK = 0x6D75_7377  # "musw"
AT_ONCE = 8
PAGE = 500
PAGES = 40
"""Of one kind in a round, at most: what comes in faster than it is written down must not hold up the rest."""
GONE = ("half_sessions", "resets", "enrollments", "answers", "claims", "ended")
EVERY_SECONDS = 20.0
"""Well within the minute in which an expiry is to be written."""
ROUNDS_AN_HOUR = 180


async def run(services: Services) -> None:
    """Sweep every now and then until cancelled."""
    rounds = count()

    async def look() -> None:
        await sweep(services, thorough=next(rounds) % ROUNDS_AN_HOUR == 0)

    await every(EVERY_SECONDS, "sweep", look)


async def sweep(services: Services, *, thorough: bool = True) -> None:
    """One round; nothing where another process is at it.

    Args:
        services: of this process.
        thorough: also look for what a rare race leaves, which reads a whole table.
    """
    async with services.pool.acquire() as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            return
        try:
            await _all(connection, "people", lambda user: _end_sessions(services, user))
            await _all(connection, "invitations", lambda link: _void_invitation(services, link))
            for name in (*GONE, "uses") if thorough else GONE:
                await connection.execute(SQL[name])
            await services.throttles.forget()
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def _all(connection: Database, name: str, work: Work) -> None:
    """Page after page while there are more; nobody comes twice in a round, whatever became of them."""
    tried: list[str] = []
    for _ in range(PAGES):
        ids = [row["id"] for row in await connection.fetch(SQL[name], PAGE, tried)]
        if not ids:
            return
        await _each(ids, work)
        tried += ids


async def _each(ids: Sequence[str], work: Work) -> None:
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
            except Exception:  # what is wrong with one must not keep all that comes after
                log.exception("not swept", id=id_)

    await asyncio.gather(*(one(id_) for id_ in ids))


async def _end_sessions(services: Services, user: str) -> None:
    async def decide(connection: Database) -> tuple[Origin, Draft]:
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
    async def decide(connection: Database) -> tuple[Origin, Draft]:
        row = await connection.fetchrow(SQL["invitation"], link)
        if row is None:
            raise NotFound
        voided = InvitationVoided(user=row["user"], link=link, cause="expired")
        return _by_itself(row["org"], row["now"]), Draft([voided], reads={row["user"]: row["version"]})

    await services.runner.run(decide)


def _by_itself(org: str, now: datetime) -> Origin:
    return Origin(org, Actor(type="system"), now, new_id("req"))
