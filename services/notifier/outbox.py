"""The queue of messages: a row from when something is to be told until it is known what became of it.

    pending ──► sending ──► sent
                   │ ├────► failed, unknown ──► sending …      (tried again, with a growing pause)
                   │ └────► abandoned                          (never tried again)
                   └ lease ends: the sender died; claimed anew like `unknown`

`unknown`: the connection was lost after the message was handed over and before the answer. It is sent again
with the same Message-ID, so a mailbox may hold it twice, recognizably. Each change is an event on
`muster.notifications`, in the same transaction. A row holds no token, and nothing personal once it is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from muster_contracts.notifications import (
    MessageAbandoned,
    MessageEvent,
    MessageFailed,
    MessageQueued,
    MessageSent,
)

from services.kit.ids import new_id
from services.kit.postgres import Connection, Pool, Record
from services.kit.sealing import Sealer
from services.kit.sql import named
from services.notifier.log import Entry, Log, Persons
from services.notifier.reactions import Cause, Draft

SQL = named(__file__)
LEASE = timedelta(minutes=2)
MAX_ATTEMPTS = 10
FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(hours=1)
OUTAGE_PAUSE = timedelta(seconds=5)
EMAIL = "email"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A claimed message; `personal` is None when the key of its person is destroyed."""

    id: str
    version: int
    kind: str
    channel: str
    cause: Cause
    link: str | None
    facts: dict[str, Any]
    personal: dict[str, str] | None = field(repr=False)
    attempts: int
    """This one included."""
    error: str | None
    lease: str
    expired: bool
    queued_at: datetime

    @property
    def key(self) -> str:
        """The same for every try, and for no other message: what a Message-ID is made from."""
        return f"{self.cause.event_id}.{self.kind}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try.

    Attributes:
        state: as in the queue; `postponed` when it could not be tried at all, which uses up no attempt.
        error: a code of ours.
        told: in words, perhaps a server's, which like to repeat the address: for the event only.
        to: the address that was tried.
    """

    state: Literal["sent", "failed", "unknown", "abandoned", "postponed"]
    error: str | None = None
    told: str | None = field(default=None, repr=False)
    to: str | None = field(default=None, repr=False)


class Outbox:
    """Source and sink: table `messages`."""

    def __init__(self, pool: Pool, log: Log, persons: Persons) -> None:
        self._pool, self._log, self._persons = pool, log, persons

    async def queue(self, connection: Connection, drafts: Sequence[Draft]) -> list[Entry]:
        """Queue messages within a transaction; a repeat is nothing new.

        Returns:
            The events to append to the log at the end of the transaction.
        """
        if not drafts:
            return []
        sealers = await self._persons.fetch({draft.cause.user for draft in drafts})
        entries: list[Entry] = []
        for draft in drafts:
            id_ = new_id("msg")
            sealed = _seal(sealers[draft.cause.user], id_, draft)
            if await connection.fetchval(SQL["queue"], *_columns(id_, draft), sealed):
                to = draft.personal.get("to") or draft.personal.get("known")
                event = MessageQueued(**_named(id_, draft.cause, draft.kind, EMAIL, to))
                entries.append(Entry(event, 1, draft.cause))
        return entries

    async def claim(self, limit: int) -> list[Message]:
        """Take messages that are due, for as long as a lease lasts; no other process takes them meanwhile."""
        rows = await self._pool.fetch(SQL["claim"], limit, new_id("lse"), LEASE)
        if not rows:
            return []
        sealers = await self._persons.fetch({row["user"] for row in rows})
        return [_message(row, sealers[row["user"]]) for row in rows]

    async def finish(self, message: Message, outcome: Outcome) -> bool:
        """Write down and tell what became of a claimed message; False when the lease was lost meanwhile."""
        if outcome.state in ("failed", "unknown") and message.attempts >= MAX_ATTEMPTS:
            outcome = Outcome("abandoned", outcome.error, outcome.told, outcome.to)
        event = _event(message, outcome)
        version = message.version + (event is not None)
        async with self._pool.acquire() as connection, connection.transaction():
            mine = await connection.fetchval(
                SQL["finish"], message.id, message.lease, version, *_next(message, outcome), outcome.error
            )
            if mine and event is not None:
                await self._log.append(connection, [Entry(event, version, message.cause)])
        return bool(mine)

    async def waiting(self) -> int:
        """How many are neither sent nor abandoned."""
        return await self._pool.fetchval("SELECT count(*) FROM messages WHERE finished_at IS NULL")


def pause(attempts: int) -> timedelta:
    """How long to wait after that many attempts: 5 s, 15 s, 45 s, … 1 h."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 3 ** min(attempts - 1, 10))


def _next(message: Message, outcome: Outcome) -> tuple[str, int, timedelta]:
    """State, attempts used up, and the pause before it is due again."""
    if outcome.state == "postponed":
        return "failed", message.attempts - 1, OUTAGE_PAUSE
    return outcome.state, message.attempts, pause(message.attempts)


def _event(message: Message, outcome: Outcome) -> MessageEvent | None:
    named_so = _named(message.id, message.cause, message.kind, message.channel, outcome.to)
    error = outcome.told or outcome.error
    match outcome.state:
        case "sent":
            return MessageSent(**named_so)
        case "abandoned":
            return MessageAbandoned(**named_so, error=error)
        case "failed" | "unknown":
            return MessageFailed(**named_so, error=error)
        case "postponed":  # an outage is told once, however long it lasts
            return MessageFailed(**named_so, error=error) if message.error != outcome.error else None


def _named(id_: str, cause: Cause, kind: str, channel: str, to: str | None) -> dict[str, Any]:
    return {
        "user": cause.user, "message": id_, "kind": kind, "channel": channel,
        "cause_event": cause.event_id, "to": to,
    }  # fmt: skip


def _seal(sealer: Sealer | None, id_: str, draft: Draft) -> bytes | None:
    return sealer.seal_json(draft.personal, f"message:{id_}") if sealer else None


def _columns(id_: str, draft: Draft) -> tuple[object, ...]:
    cause = draft.cause
    return (
        id_, cause.event_id, draft.kind, EMAIL, cause.org, cause.user, cause.action, cause.correlation_id,
        cause.traceparent, draft.link, draft.facts, cause.at, draft.expires_at,
    )  # fmt: skip


def _message(row: Record, sealer: Sealer | None) -> Message:
    cause = Cause(
        row["event_id"], "", row["org"], row["user"], row["action"], row["correlation_id"],
        row["traceparent"], row["occurred_at"],
    )  # fmt: skip
    readable = sealer is not None and row["sealed"] is not None
    return Message(
        id=row["id"],
        version=row["version"],
        kind=row["kind"],
        channel=row["channel"],
        cause=cause,
        link=row["link"],
        facts=row["facts"],
        personal=sealer.open_json(row["sealed"], f"message:{row['id']}") if sealer and readable else None,
        attempts=row["attempts"],
        error=row["error"],
        lease=row["lease"],
        expired=row["expired"],
        queued_at=row["queued_at"],
    )
