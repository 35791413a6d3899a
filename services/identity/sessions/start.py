"""A session that begins: its events, its token, and the proof that it begins with. Callable without HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from muster_contracts.events import Event

from services.identity.access import access_guard
from services.identity.run import Draft
from services.identity.sessions import decider
from services.identity.sessions.account import Account
from services.identity.sessions.decider import Start
from services.identity.sessions.networks import network_of
from services.identity.store import Write
from services.identity.vault import ConfirmSession, StoreHalfSession, StoreSessionToken
from services.kit.ids import new_id
from services.kit.times import rfc3339
from services.kit.tokens import make_token, token_hash

DONE, OTP, ENROLL = "done", "otp", "enroll"
HALF_LIVES = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Ticket:
    """Id and token of a session that is about to begin; the token is shown once and kept as a hash."""

    id: str = field(default_factory=lambda: new_id("ses"))
    token: str = field(default_factory=lambda: make_token("mus"), repr=False)

    @property
    def hash(self) -> bytes:
        return token_hash(self.token)


def next_step(account: Account) -> str:
    """What is missing after the right password; whoever has a proof beside it is asked for it, always."""
    if account.user.mfa_enabled:
        return OTP
    return ENROLL if account.organization.mfa_enforced else DONE


def half(account: Account, ticket: Ticket, step: str) -> Draft:
    """Half a session, which opens nothing but its next step.

    It moves the guard, like a whole one: what takes half sessions away must not be in one batch with it.
    """
    user = account.user
    expires_at = account.now + HALF_LIVES
    write = StoreHalfSession(ticket.hash, ticket.id, user.org, user.id, step, account.now, expires_at)
    guard = access_guard(user.id)
    return Draft(
        reads={guard: account.heads[guard]},
        touches=frozenset({guard}),
        writes=(write,),
        body=_shown(ticket, step, expires_at),
        secret={"token": ticket.token},
    )


def full(
    account: Account,
    ticket: Ticket,
    ip: str | None,
    amr: tuple[str, ...],
    *,
    proven_by: str,
    before: tuple[Event, ...] = (),
    writes: tuple[Write, ...] = (),
) -> Draft:
    """A session, confirmed from the start.

    Args:
        account: read for this try.
        ticket: of the session.
        ip: the address that it begins from.
        amr: how the person signed in.
        proven_by: `password` or `factor`.
        before: events of the person's stream that lead to it, written first.
        writes: what goes with those.
    """
    user, now = account.user, account.now
    network = network_of(ip)
    ends = now + timedelta(seconds=account.organization.session_absolute_seconds)
    command = Start(user.id, ticket.id, amr, ends, new_id("ipr"), network, new_id("kil"))
    started = decider.start(account.sessions, command)
    events = _in_order(started, before)
    streams = {event.stream() for event in events}
    guard = access_guard(user.id)
    reads = {head: version for head, version in account.heads.items() if head in streams or head == guard}
    confirmed = ConfirmSession(ticket.id, now, proven_by)
    return Draft(
        events=events,
        reads=reads,
        touches=frozenset({guard}),
        writes=(*writes, StoreSessionToken(ticket.hash, ticket.id), confirmed),
        body=_shown(ticket, DONE, ends),
        secret={"token": ticket.token},
    )


def _shown(ticket: Ticket, step: str, expires_at: datetime) -> dict[str, Any]:
    return {"session": {"id": ticket.id, "expires_at": rfc3339(expires_at)}, "next": step}


def _in_order(started: list[Event], before: tuple[Event, ...]) -> list[Event]:
    """Sessions that give way come first, since the first event of a unit names its kill."""
    own = next(n for n, event in enumerate(started) if event.type == "session.started")
    return [*started[:own], *before, *started[own:]]
