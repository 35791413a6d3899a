"""Records that nobody of ours would write, one of each kind, put among the true ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from services.kit.ids import new_id

Headers = list[tuple[str, Any]]


class Poison(NamedTuple):
    kind: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def _sound(type_: str = "user.renamed", **changed: Any) -> tuple[str, bytes, Headers]:
    """A record as it should be, of a person and an organization that do not exist."""
    user, event = new_id("usr"), new_id("evt")
    headers = {
        "ce_specversion": "1.0", "ce_id": event, "ce_source": "/muster/identity", "ce_type": f"muster.{type_}",
        "ce_dataschema": f"urn:muster:schema:{type_}:1", "ce_subject": user, "ce_partitionkey": user,
        "ce_sequence": "1", "ce_time": "2026-11-24T00:00:00Z", "ce_recordedtime": "2026-11-24T00:00:00Z",
        "ce_org": "org_0", "ce_action": new_id("act"), "ce_authtype": "system",
        "content-type": "application/json",
    } | changed  # fmt: skip
    data = {
        "user": user,
        "name": {"old": "a", "new": "b"},
        "actor": {"type": "system", "id": None, "name": None},
    }
    return user, json.dumps(data).encode(), [(name, str(value).encode()) for name, value in headers.items()]


def _make(
    kind: str, change: Callable[[bytes, Headers], tuple[bytes | None, Headers]], **changed: Any
) -> Poison:
    user, value, headers = _sound(**changed)
    bad, worse = change(value, headers)
    return Poison(kind, user.encode(), bad, worse)


def one_of_each() -> list[Poison]:
    def without(name: str) -> Callable[[bytes, Headers], tuple[bytes | None, Headers]]:
        return lambda value, headers: (value, [(n, v) for n, v in headers if n != name])

    def keep(value: bytes, headers: Headers) -> tuple[bytes | None, Headers]:
        return value, headers

    return [
        _make("not JSON", lambda _, headers: (b"{", headers)),
        _make("not UTF-8", lambda _, headers: (b'{"name": "\xff"}', headers)),
        _make("no object", lambda _, headers: (b"[1, 2]", headers)),
        _make("NUL in a text", lambda value, headers: (value.replace(b'"b"', b'"\\u0000"'), headers)),
        _make("no value", lambda _, headers: (None, headers)),
        _make("empty", lambda _, headers: (b"", headers)),
        _make("no headers", lambda value, _: (value, [])),
        _make("a header that is no text", lambda v, h: (v, [*h, ("extra", b"\xff\xfe")])),
        _make("a header that is null", lambda v, h: (v, [(n, None if n == "ce_type" else x) for n, x in h])),
        _make("without an id", without("ce_id")),
        _make("without an organization", without("ce_org")),
        _make("a sequence that is none", keep, ce_sequence="many"),
        _make("a time that is none", keep, ce_time="yesterday"),
        _make("a position that is none", keep, ce_position="first"),
        _make("data of another type", lambda _, headers: (b'{"role": 17}', headers)),
        _make("a schema that is none", keep, ce_dataschema="urn:other:thing"),
        _make("nested too deep", lambda _, headers: (b"[" * 50_000 + b"]" * 50_000, headers)),
        _make("huge", lambda _, headers: (json.dumps({"x": "y" * 900_000}).encode(), headers)),
        Poison("without a key", None, *_sound()[1:]),
    ]


async def spread(bootstrap: str, topics: list[str]) -> set[str]:
    """Put one of each kind into each topic; returns the event ids that they claim to have."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap)
    claimed: set[str] = set()
    await producer.start()
    try:
        for topic in topics:
            for poison in one_of_each():
                claimed |= {value.decode() for name, value in poison.headers if name == "ce_id" and value}
                await producer.send_and_wait(topic, poison.value, poison.key, headers=poison.headers)
    finally:
        await producer.stop()
    return claimed
