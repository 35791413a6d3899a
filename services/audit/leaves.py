"""The bytes of a record: canonical JSON, the same for ever, with what is personal sealed inside.

A leaf is what is stored and what a proof is about. It can be read without any key but for the sealed parts,
and it does not change when a key is destroyed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from muster_contracts.errors import UnknownEvent
from muster_contracts.events import Data
from muster_contracts.personal import join
from pydantic_core import to_json

from services.audit.entries import Entry
from services.kit.sealing import Sealer
from services.kit.times import rfc3339

Sealers = Mapping[str, Sealer | None]
VERSION = 1


@dataclass(frozen=True, slots=True)
class Readable:
    """A record as it may be shown now: what a destroyed key held is None, and said to be erased."""

    org: str
    seq: int
    id: str
    type: str
    outcome: str
    code: str | None
    occurred_at: str
    recorded_at: str
    request_id: str | None
    session_id: str | None
    event_id: str | None
    actor_type: str
    actor_id: str | None
    actor_erased: bool
    target_type: str | None
    target_id: str | None
    target_name: str | None
    target_erased: bool
    person: str | None
    data: Data

    @property
    def actor_name(self) -> str | None:
        return self.data["actor"].get("name")


def write(entry: Entry, record: Readable, sealers: Sealers) -> bytes:
    """The leaf of an entry.

    Args:
        entry: what happened.
        record: the same as it may be shown now; its `target_name` is sealed with the target's part.
        sealers: of `entry.target_key` and `entry.actor_key`; None: destroyed, and with it what it would hold.
    """
    parts = entry.parts()
    name = record.target_name
    target = parts.target | {"name_then": name} if name is not None else parts.target
    return to_json(
        # in the order of names, as canonical JSON asks
        {
            "actor": {"id": record.actor_id, "type": record.actor_type},
            "code": record.code,
            "data": _ordered(parts.open),
            "event": entry.event,
            "id": record.id,
            "occurred_at": record.occurred_at,
            "org": record.org,
            "outcome": record.outcome,
            "person": record.person,
            "recorded_at": record.recorded_at,
            "request_id": record.request_id,
            "sealed_actor": _seal(parts.actor, entry.actor_key, f"{record.id}:actor", sealers),
            "sealed_target": _seal(target, entry.target_key, f"{record.id}:target", sealers),
            "seq": record.seq,
            "session_id": record.session_id,
            "target": {"id": record.target_id, "type": record.target_type} if record.target_id else None,
            "type": record.type,
            "v": VERSION,
        }
    )


def _ordered(value: Any) -> Any:
    """The same with the members of every object in the order of their names."""
    if isinstance(value, dict):
        members = sorted(cast("Data", value).items())
        return {name: _ordered(each) if isinstance(each, (dict, list)) else each for name, each in members}
    return [_ordered(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def _seal(part: Data, key: str, context: str, sealers: Sealers) -> Data | None:
    if not part:
        return None
    sealer = sealers[key]
    text = base64.b64encode(sealer.seal_json(part, context)).decode() if sealer else None
    return {"key": key, "text": text}


def parse(leaf: bytes) -> Data:
    return json.loads(leaf)


def keys_of(record: Data) -> set[str]:
    """The keys that seal parts of it."""
    return {part["key"] for part in (record["sealed_target"], record["sealed_actor"]) if part}


def read(record: Data, sealers: Sealers) -> Readable:
    """Open a parsed leaf with the keys that are still there."""
    target = _open(record["sealed_target"], f"{record['id']}:target", sealers)
    actor = _open(record["sealed_actor"], f"{record['id']}:actor", sealers)
    name = target.pop("name_then", None) if target else None
    data = _join(record, target, actor)
    event: Data = record["event"] or {}
    who: Data = record["actor"]
    whom: Data = record["target"] or {}
    return Readable(
        org=record["org"],
        seq=record["seq"],
        id=record["id"],
        type=record["type"],
        outcome=record["outcome"],
        code=record["code"],
        occurred_at=record["occurred_at"],
        recorded_at=record["recorded_at"],
        request_id=record["request_id"],
        session_id=record["session_id"],
        event_id=event.get("id"),
        actor_type=who["type"],
        actor_id=who["id"],
        actor_erased=bool(data["actor"].get("erased")),
        target_type=whom.get("type"),
        target_id=whom.get("id"),
        target_name=name,
        target_erased=target is None or bool(data.get("erased")),
        person=record["person"],
        data=data,
    )


def readable(entry: Entry, seq: int, recorded_at: str, target_name: str | None) -> Readable:
    """What `read` answers for an entry once its leaf is written.

    Args:
        entry: what happened.
        seq: its place among the records of its org.
        recorded_at: database time, RFC 3339.
        target_name: what the target was called then, as far as known.
    """
    return Readable(
        org=entry.org,
        seq=seq,
        id=entry.id,
        type=entry.type,
        outcome=entry.outcome,
        code=entry.code,
        occurred_at=rfc3339(entry.occurred_at),
        recorded_at=recorded_at,
        request_id=entry.request_id,
        session_id=entry.session_id,
        event_id=entry.event["id"] if entry.event else None,
        actor_type=entry.actor_type,
        actor_id=entry.actor_id,
        actor_erased=bool(entry.data["actor"].get("erased")),
        target_type=entry.target_type,
        target_id=entry.target_id,
        target_name=target_name,
        target_erased=bool(entry.data.get("erased")),
        person=entry.person,
        data=entry.data,
    )


def _open(part: Data | None, context: str, sealers: Sealers) -> Data | None:
    """The part, {} where there was nothing to seal, None where its key is destroyed."""
    if part is None:
        return {}
    sealer = sealers.get(part["key"])
    if sealer is None or part["text"] is None:
        return None
    return sealer.open_json(base64.b64decode(part["text"]), context)


def _join(record: Data, target: Data | None, actor: Data | None) -> Data:
    event = record["event"]
    if event is not None:
        try:
            return join(event["type"], event["version"], record["data"], target, actor)
        except UnknownEvent:
            pass
    data: dict[str, Any] = {"ip": None, "user_agent": None, "reason": None, **record["data"]}
    data |= (target or {}) | (actor or {})
    data["actor"] = {"name": None, **record["data"]["actor"], **(actor or target or {}).get("actor", {})}
    if target is None:
        data["erased"] = True
    if actor is None:
        data["actor"]["erased"] = True
    return data
