"""In what order events came: for each stream the last `ce_sequence`, and the gap where one is missing.

The first sequence seen is the base. A stream with a gap waits: what comes meanwhile is not applied, only
counted, for identity's log holds all of it and gives it back in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from muster_contracts.envelope import Envelope

from services.kit.postgres import Connection, Pool
from services.kit.sql import named

SQL = named(__file__)
LONGEST_PAUSE = timedelta(minutes=5)


@dataclass(slots=True)
class _Place:
    sequence: int
    missing_to: int | None

    def admits(self, sequence: int) -> bool:
        """Whether an event may be applied now; what is not ahead is a repeat, or was parked and comes back."""
        if sequence <= self.sequence:
            return True
        if self.missing_to is None and sequence == self.sequence + 1:
            self.sequence = sequence
            return True
        self.missing_to = max(sequence, self.missing_to or 0)
        return False


@dataclass(frozen=True, slots=True)
class Gap:
    """A stream of which the events after `sequence` up to `missing_to` are to be fetched."""

    stream: str
    sequence: int
    missing_to: int
    tries: int


async def in_order(connection: Connection, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """Those that may be applied now, in their order; within a transaction, which locks their streams."""
    following = await _follow(connection, envelopes)
    others = [envelope for envelope in envelopes if envelope.subject not in following]
    if not others:
        return list(envelopes)
    admitted = {id(envelope) for envelope in await _place(connection, others)}
    return [each for each in envelopes if each.subject in following or id(each) in admitted]


async def _follow(connection: Connection, envelopes: Sequence[Envelope]) -> set[str]:
    """The streams of which all of these simply come next: nearly every one, in one statement."""
    runs: dict[str, list[int]] = {}
    for envelope in envelopes:
        runs.setdefault(envelope.subject, []).append(envelope.sequence)
    dense = {id_: run for id_, run in sorted(runs.items()) if run == list(range(run[0], run[0] + len(run)))}
    if not dense:
        return set()
    firsts, lasts = [run[0] for run in dense.values()], [run[-1] for run in dense.values()]
    return {row["id"] for row in await connection.fetch(SQL["follow"], list(dense), firsts, lasts)}


async def _place(connection: Connection, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """Those that may be applied now of streams that are new, that have a gap, or of which something comes again."""
    rows = await connection.fetch(SQL["lock"], sorted({envelope.subject for envelope in envelopes}))
    places = {row["id"]: _Place(row["sequence"], row["missing_to"]) for row in rows}
    admitted: list[Envelope] = []
    for envelope in envelopes:
        place = places.setdefault(envelope.subject, _Place(envelope.sequence, None))
        if place.admits(envelope.sequence):
            admitted.append(envelope)
    await connection.execute(
        SQL["save"],
        list(places),
        [place.sequence for place in places.values()],
        [place.missing_to for place in places.values()],
    )
    return admitted


async def gaps(pool: Pool, limit: int) -> list[Gap]:
    """Gaps that are to be fetched now."""
    rows = await pool.fetch(SQL["gaps"], limit)
    return [Gap(row["id"], row["sequence"], row["missing_to"], row["tries"]) for row in rows]


async def lock_gap(connection: Connection, stream: str) -> Gap | None:
    """The gap as it is now, kept for this transaction; None when it is closed."""
    rows = await connection.fetch(SQL["lock"], [stream])
    if not rows or rows[0]["missing_to"] is None:
        return None
    return Gap(stream, rows[0]["sequence"], rows[0]["missing_to"], rows[0]["tries"])


async def advance(connection: Connection, gap: Gap, sequence: int) -> None:
    """Note that all up to `sequence` is applied or parked; the gap closes when nothing is missing."""
    await connection.execute(SQL["advance"], gap.stream, sequence)


async def put_off(pool: Pool, gap: Gap) -> None:
    """Fetch this gap again later, each time after a longer pause."""
    wait = min(LONGEST_PAUSE, timedelta(seconds=2.0 ** min(gap.tries, 10)))
    await pool.execute(SQL["put_off"], gap.stream, wait)
