"""Takes in events: from Kafka, and from identity's log where a stream has a gap.

Everything that an event leads to is one transaction with the note that it was read: the inbox (a repeat leads
to nothing), the stream's sequence, queued messages, wanted kills, receipts, and our own events about them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from muster_contracts.envelope import Envelope
from muster_contracts.errors import Undecodable
from muster_contracts.kills import SessionKillConfirmed
from muster_contracts.topics import SESSION_RECEIPTS, USERS

from services.kit import parked
from services.kit.parked import DATA_ERRORS, Decoded, Raw, decode
from services.kit.postgres import Connection, Pool
from services.kit.telemetry import logger
from services.notifier import kills, streams
from services.notifier.identity import Identity, IdentityAway
from services.notifier.log import Log, Persons
from services.notifier.outbox import Outbox
from services.notifier.reactions import Reaction, concerns, react

log = logger(__name__)

TOPICS = (USERS.name, SESSION_RECEIPTS.name)
GAPS = 20
POLL_SECONDS = 1.0


class Intake:
    """What is done with records; `apply` is for the consumer, `run` closes gaps."""

    def __init__(
        self,
        pool: Pool,
        outbox: Outbox,
        log_: Log,
        persons: Persons,
        identity: Identity,
        done: Callable[[], None],
    ) -> None:
        """Take what it needs; `done` is called when something was committed that others have to act upon."""
        self._pool, self._outbox, self._log, self._persons = pool, outbox, log_, persons
        self._identity = identity
        self._done = done
        self._is_news = False

    async def apply(self, connection: Connection, records: Sequence[Decoded]) -> None:
        """Apply records in a transaction, in their order; a repeat changes nothing."""
        envelopes = [record.envelope for record in records if record.raw.topic == USERS.name]
        await self._receive([r.envelope for r in records if r.raw.topic == SESSION_RECEIPTS.name], connection)
        await self._react(connection, await streams.in_order(connection, envelopes))

    def committed(self) -> None:
        """Say that what was applied is durable; most of it concerns nobody here."""
        if self._is_news:
            self._is_news = False
            self._done()

    async def run(self) -> None:
        """Close gaps until cancelled."""
        while True:
            for gap in await streams.gaps(self._pool, GAPS):
                await self.close(gap)
            await asyncio.sleep(POLL_SECONDS)

    async def close(self, gap: streams.Gap) -> None:
        """Fetch what a stream lacks from identity, and apply it in order."""
        try:
            records = await self._identity.events(gap.stream, gap.sequence + 1)
        except IdentityAway:
            records = []
        async with self._pool.acquire() as connection, connection.transaction():
            now = await streams.lock_gap(connection, gap.stream)
            if now is None:
                return
            reached = await self._fill(connection, now, records)
        if reached > gap.sequence:
            log.info("gap closed", stream=gap.stream, after=gap.sequence, reached=reached)
            self._done()
        else:
            await self._put_off(gap)

    async def _put_off(self, gap: streams.Gap) -> None:
        if gap.tries:
            log.error("a stream has a gap that identity does not fill", stream=gap.stream, after=gap.sequence)
        await streams.put_off(self._pool, gap)

    async def _fill(self, connection: Connection, gap: streams.Gap, records: Sequence[Raw]) -> int:
        """Apply the missing ones as far as they are dense; returns the last sequence reached."""
        sequence = gap.sequence
        for raw in records:
            sequence = await self._next(connection, sequence, raw)
        if sequence > gap.sequence:
            await streams.advance(connection, gap, sequence)
        return sequence

    async def _next(self, connection: Connection, sequence: int, raw: Raw) -> int:
        if _sequence(raw) != sequence + 1:
            return sequence
        good, bad = decode([raw])
        error = bad[0][1] if bad else None
        try:
            async with connection.transaction():
                await self._react(connection, [record.envelope for record in good])
        except DATA_ERRORS as refused:
            error = refused
        if error is not None and not await _is_parked(connection, raw):
            await parked.park(connection, [(raw, error)])
        return sequence + 1

    async def _react(self, connection: Connection, envelopes: Sequence[Envelope]) -> None:
        ours = [envelope for envelope in envelopes if concerns(envelope)]
        if not ours:
            return
        now = await connection.fetchval("SELECT now()")
        reactions = [reaction for envelope in ours if (reaction := react(envelope, now))]
        if not reactions:
            return
        self._is_news = True
        new = await self._never_seen(connection, reactions)
        entries = await self._outbox.queue(connection, [draft for each in new for draft in each.drafts])
        await kills.want(connection, [(each.kill, each.cause) for each in new if each.kill])
        for each in new:
            if each.erases:
                await self._persons.erase(connection, each.cause.user)
                await parked.forget(connection, [each.cause.user])
        await self._log.append(connection, entries)

    async def _never_seen(self, connection: Connection, reactions: Sequence[Reaction]) -> list[Reaction]:
        rows = await connection.fetch(
            "INSERT INTO inbox (event_id) SELECT DISTINCT unnest($1::text[])"
            " ON CONFLICT DO NOTHING RETURNING event_id",
            [reaction.cause.event_id for reaction in reactions],
        )
        new = {row["event_id"] for row in rows}
        first = {reaction.cause.event_id: reaction for reaction in reversed(reactions)}
        return [reaction for id_, reaction in reversed(first.items()) if id_ in new]

    async def _receive(self, envelopes: Sequence[Envelope], connection: Connection) -> None:
        for envelope in envelopes:
            event = envelope.event()
            if not isinstance(event, SessionKillConfirmed) or envelope.source != f"/{event.service}":
                raise Undecodable("not a receipt, or one in another's name")
            await kills.receive(connection, event)


def _sequence(raw: Raw) -> int | None:
    value = dict(raw.headers).get("ce_sequence") or b""
    return int(value) if value.isdigit() else None


async def _is_parked(connection: Connection, raw: Raw) -> bool:
    """Whether Kafka brought it before the gap was seen."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM parked WHERE position = $1)", raw.position())
