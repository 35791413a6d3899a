"""The events that take a person's ways in away: the same, in the same order, for every act that does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from muster_contracts.api_keys import ApiKeyRevoked
from muster_contracts.events import Event
from muster_contracts.sessions import IpRuleRevoked, SessionEnded
from muster_contracts.users import InvitationVoided

from services.identity.users.situation import LiveSession, Situation


def end_sessions(user: str, sessions: Iterable[LiveSession], cause: str, kill: str | None) -> list[Event]:
    """Per session `session.ended`, `ip_rule.revoked` (api.md §3, table of acts)."""
    events: list[Event] = []
    for session in sessions:
        events.append(SessionEnded(user=user, session=session.id, cause=cause, kill=kill))
        if rule := session.rule:
            events.append(IpRuleRevoked(user=user, session=session.id, id=rule.id, network=rule.network))
    return events


def end_everything(situation: Situation, cause: str, kill: str) -> list[Event]:
    """Sessions, their IP rules, personal API keys and the open invitation of someone who is out from now on."""
    user = situation.user.id
    events = end_sessions(user, situation.sessions, cause, kill)
    events += [ApiKeyRevoked(key=k.id, name=k.name, user=user, cause=cause) for k in situation.keys]
    if link := situation.invitation:
        events.append(InvitationVoided(user=user, link=link.id, cause=cause))
    return events


def count_effects(events: Iterable[Event]) -> dict[str, Any]:
    """How many of each went: members `sessions_ended`, `ip_rules_revoked`, `api_keys_revoked` of `effects`."""
    kinds = [type(event) for event in events]
    return {
        "sessions_ended": kinds.count(SessionEnded),
        "ip_rules_revoked": kinds.count(IpRuleRevoked),
        "api_keys_revoked": kinds.count(ApiKeyRevoked),
    }
