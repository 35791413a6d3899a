"""Which events begin and end a person's own session: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from muster_contracts.events import Event
from muster_contracts.sessions import IpRuleGranted, SessionStarted

from services.identity.users.ending import end_sessions
from services.identity.users.situation import LiveSession

MOST = 100
"""Sessions of one person at a time; the next sign-in ends the oldest."""
PASSWORD, FACTOR = "password", "factor"
WITH_PASSWORD, WITH_CODE, WITH_RECOVERY = ("pwd",), ("pwd", "otp", "mfa"), ("pwd", "recovery_code", "mfa")
"""How someone signed in (RFC 8176, and a name of ours for a recovery code)."""


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a session: `network` is where it may be used from, `kill` names the end of those that give way."""

    user: str
    session: str
    amr: tuple[str, ...]
    expires_at: datetime
    rule: str
    network: str | None
    kill: str


def start(live: Sequence[LiveSession], command: Start) -> list[Event]:
    """The sessions that give way, oldest first, then the new one with its IP rule.

    Args:
        live: the person's sessions, oldest first.
        command: the new one.
    """
    surplus = live[: max(0, len(live) + 1 - MOST)]
    events = end_sessions(command.user, surplus, "replaced", command.kill)
    events.append(
        SessionStarted(
            user=command.user, session=command.session, amr=command.amr, expires_at=command.expires_at
        )
    )
    if command.network:
        events.append(
            IpRuleGranted(
                user=command.user,
                session=command.session,
                id=command.rule,
                network=command.network,
                expires_at=command.expires_at,
            )
        )
    return events
