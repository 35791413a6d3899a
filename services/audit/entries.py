"""What a record says before it is sealed: who did what to whom, with which outcome. Pure.

Who is who decides whose key keeps what. Of an act upon others, name and address of the actor are under the
actor's key and live as long as the record. Of an act upon oneself, and of a sign-in, everything is under the
key of the one whom it is about, and goes with that person.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from muster_contracts import registry
from muster_contracts.envelope import Envelope
from muster_contracts.errors import UnknownEvent
from muster_contracts.events import Data, person_of
from muster_contracts.personal import Parts, split_wire
from muster_contracts.topics import (
    ATTEMPTS,
    NOTIFICATIONS,
    ORGANIZATIONS,
    SESSION_KILLS,
    SESSION_RECEIPTS,
    USERS,
)

from services.kit.ids import is_id
from services.kit.parked import FROM_IDENTITY
from services.kit.times import rfc3339

TOPICS = tuple(
    t.name for t in (USERS, ORGANIZATIONS, SESSION_KILLS, SESSION_RECEIPTS, ATTEMPTS, NOTIFICATIONS)
)
"""All that audit reads: every topic but the directory, which holds no events."""
OURS = frozenset(TOPICS) - {SESSION_RECEIPTS.name}
READ = "audit.read"
DONE, REFUSED, FAILED = "done", "refused", "failed"
_FAILURES = frozenset({"message.failed", "message.abandoned"})
_KINDS = {
    "usr": "user", "org": "organization", "rol": "role", "key": "api_key", "ses": "session", "job": "job",
    "sch": "schedule", "fac": "factor", "svc": "service", "kil": "session_kill", "msg": "message",
}  # fmt: skip
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record to be: all of it is readable still."""

    id: str
    org: str
    type: str
    outcome: str
    code: str | None
    occurred_at: datetime
    request_id: str | None
    session_id: str | None
    actor_type: str
    actor_id: str | None
    target_type: str | None
    target_id: str | None
    person: str | None
    """The user whom it is about: a target, or whoever stands behind one (the owner of an API key)."""
    event: Data | None
    """Attributes of the event in the order of their names; None for what audit itself records."""
    data: Data
    """The event's data as it came, stamp included."""
    position: int | None
    epoch: int | None

    @property
    def target_key(self) -> str:
        return f"{self.person or self.org}:target"

    @property
    def actor_key(self) -> str:
        owner = self.actor_id if self.actor_id and self.actor_id.startswith("usr_") else self.org
        return f"{owner}:actor"

    def parts(self) -> Parts:
        """The data with what is personal apart."""
        own = self.person is not None and (self.actor_id == self.person or self.actor_type == "anonymous")
        if self.event is None:
            return _split_own(self.data)
        try:
            kind = registry.find(self.event["type"], self.event["version"])
        except UnknownEvent:
            return _split_unknown(self.data, own=own)
        return split_wire(kind, self.data, self_act=own)


def entry_of(envelope: Envelope, topic: str) -> Entry:
    """The record that an event becomes; one of a newer release too, with all its data taken as personal."""
    data = envelope.data
    actor: Data = data["actor"]
    refused = envelope.type == "attempt.refused"
    person = _person(envelope)
    target = _target(envelope, data)
    ours = topic in FROM_IDENTITY
    return Entry(
        id=record_id(envelope, topic),
        org=envelope.org,
        type=str(data["act"]) if refused else envelope.type,
        outcome=REFUSED if refused else FAILED if envelope.type in _FAILURES else DONE,
        code=data.get("code") if refused else None,
        occurred_at=envelope.time,
        request_id=envelope.correlation_id,
        session_id=_text(data.get("session_id") or data.get("session")),
        actor_type=actor["type"],
        actor_id=actor.get("id"),
        target_type=_KINDS.get(target.partition("_")[0], "unknown") if target else None,
        target_id=target,
        person=person,
        event=_attributes(envelope),
        data=data,
        position=envelope.position if ours else None,
        epoch=envelope.epoch if ours else None,
    )


def record_id(envelope: Envelope, topic: str) -> str:
    """The id of the record, which the event's id decides: a repeat finds itself recorded already.

    Only our own services choose ids in our form; what another one sends cannot take the place of an event.
    """
    if topic in OURS and is_id(envelope.id, "evt"):
        return "aud_" + envelope.id.removeprefix("evt_")
    digest = hashlib.sha256(f"{topic}\n{envelope.source}\n{envelope.id}".encode()).digest()
    number = int.from_bytes(digest[:16], "big") & ~(0xF << 76) | (0x8 << 76)  # UUIDv8: made of something
    return "aud_" + "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))


def _person(envelope: Envelope) -> str | None:
    try:
        return person_of(registry.find(envelope.type, envelope.version), envelope.data)
    except UnknownEvent:
        user = envelope.data.get("user")
        return user if isinstance(user, str) and user.startswith("usr_") else None


def _target(envelope: Envelope, data: Data) -> str | None:
    if envelope.type == "attempt.refused":
        return _text(data.get("target"))
    for field in ("key", "user", "role", "organization"):
        if found := _text(data.get(field)):
            return found
    return envelope.partition_key if envelope.partition_key.startswith("usr_") else envelope.subject


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _attributes(envelope: Envelope) -> Data:
    return {
        # in the order of names, as canonical JSON asks
        "action": envelope.action,
        "causation_id": envelope.causation_id,
        "epoch": envelope.epoch,
        "id": envelope.id,
        "position": envelope.position,
        "recorded_at": rfc3339(envelope.recorded_time),
        "sequence": envelope.sequence,
        "source": envelope.source,
        "subject": envelope.subject,
        "traceparent": envelope.traceparent,
        "type": envelope.type,
        "version": envelope.version,
    }


def _split_own(data: Data) -> Parts:
    """Split what audit records itself: nothing is personal but who it was and from where."""
    who: Data = data["actor"]
    actor = {key: data[key] for key in ("ip", "user_agent") if data.get(key) is not None}
    if who.get("name") is not None:
        actor["actor"] = {"name": who["name"]}
    rest = {key: value for key, value in data.items() if key not in ("actor", "ip", "user_agent")}
    return Parts(rest | {"actor": {"type": who["type"], "id": who["id"]}}, {}, actor)


def _split_unknown(data: Mapping[str, Any], *, own: bool) -> Parts:
    stamp = ("ip", "user_agent")
    who: Data = data["actor"]
    open_: Data = {"actor": {key: value for key, value in who.items() if key != "name"}}
    target = {key: value for key, value in data.items() if key not in ("actor", *stamp) and value is not None}
    actor: Data = {key: data[key] for key in stamp if data.get(key) is not None}
    if who.get("name") is not None:
        actor["actor"] = {"name": who["name"]}
    return Parts(open_, target | actor, {}) if own else Parts(open_, target, actor)
