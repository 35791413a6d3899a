"""Tables `sessions`, `ip_rules` and `ended_sessions`: who is signed in from where, and which kill ended whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from muster_contracts.sessions import (
    IpRuleGranted,
    IpRuleRevoked,
    SessionEnded,
    SessionStarted,
)

from services.identity.readmodel import Table
from services.identity.store import Fact
from services.kit.postgres import Connection
from services.kit.times import rfc3339

SESSIONS = Table(
    "sessions", ("org", "user", "amr", "ip", "user_agent", "created_at", "expires_at", "version")
)
IP_RULES = Table("ip_rules", ("org", "user", "session", "network", "expires_at"))
ENDED = Table("ended_sessions", ("user", "kill", "ended_at"))
EVENTS = (SessionStarted, SessionEnded, IpRuleGranted, IpRuleRevoked)

Rows = dict[str, dict[str, Any]]


async def project(connection: Connection, facts: Sequence[tuple[str, Fact]]) -> None:
    """Fill the three tables from these events, in log order, inside the transaction that inserts them."""
    sessions, rules, ended = Rows(), Rows(), Rows()
    revoked: list[str] = []
    for org, fact in facts:
        event = fact.event
        match event:
            case SessionStarted():
                sessions[event.session] = _session(org, fact, event)
            case IpRuleGranted():
                rules[event.id] = _rule(org, event)
            case SessionEnded():
                ended[event.session] = _ended(fact, event)
            case IpRuleRevoked():
                revoked.append(event.id)
            case _:
                continue
        if event.session in sessions:
            sessions[event.session]["version"] = fact.version
    await SESSIONS.save(connection, [row for id_, row in sessions.items() if id_ not in ended])
    await IP_RULES.save(connection, [row for id_, row in rules.items() if id_ not in revoked])
    await SESSIONS.remove(connection, list(ended))
    await ENDED.save(connection, list(ended.values()))
    await IP_RULES.remove(connection, revoked)


def _session(org: str, fact: Fact, event: SessionStarted) -> dict[str, Any]:
    return {
        "id": event.session, "org": org, "user": event.user, "amr": list(event.amr), "ip": fact.ip,
        "user_agent": fact.user_agent, "created_at": rfc3339(fact.occurred_at),
        "expires_at": rfc3339(event.expires_at), "version": fact.version,
    }  # fmt: skip


def _rule(org: str, event: IpRuleGranted) -> dict[str, Any]:
    return {
        "id": event.id, "org": org, "user": event.user, "session": event.session, "network": event.network,
        "expires_at": rfc3339(event.expires_at),
    }  # fmt: skip


def _ended(fact: Fact, event: SessionEnded) -> dict[str, Any]:
    return {
        "id": event.session, "user": event.user, "kill": event.kill, "ended_at": rfc3339(fact.occurred_at)
    }  # fmt: skip
