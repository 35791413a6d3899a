"""Records that nobody of ours would write, one of each kind, put among the true ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from services.kit.ids import new_id

Headers = list[tuple[str, Any]]
OWN_TOPIC = "muster.users"
"""Where a record of that type belongs."""
NOT_JSON, LACKS = "the value is not JSON", ": missing"


class Poison(NamedTuple):
    kind: str
    error: str | None
    """Words of the reason for which it has to be parked; None where it has to be taken on its own topic."""
    key: bytes | None
    value: bytes | None
    headers: Headers

    def error_on(self, topic: str) -> str | None:
        """The same on this topic: what could be read is in the wrong place on any other than its own."""
        is_readable = self.error in (None, LACKS)
        return f"does not belong to {topic}" if is_readable and topic != OWN_TOPIC else self.error

    @property
    def claimed(self) -> str | None:
        """The event id that it claims to have."""
        return next((value.decode() for name, value in self.headers if name == "ce_id" and value), None)


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
        "ip": None,
        "user_agent": None,
        "reason": None,
    }
    return user, json.dumps(data).encode(), [(name, str(value).encode()) for name, value in headers.items()]


def _make(
    kind: str,
    error: str | None,
    change: Callable[[bytes, Headers], tuple[bytes | None, Headers]],
    **changed: Any,
) -> Poison:
    user, value, headers = _sound(**changed)
    bad, worse = change(value, headers)
    return Poison(kind, error, user.encode(), bad, worse)


def one_of_each() -> list[Poison]:
    def without(name: str) -> Callable[[bytes, Headers], tuple[bytes | None, Headers]]:
        return lambda value, headers: (value, [(n, v) for n, v in headers if n != name])

    def keep(value: bytes, headers: Headers) -> tuple[bytes | None, Headers]:
        return value, headers

    return [
        _make("not JSON", NOT_JSON, lambda _, headers: (b"{", headers)),
        _make("not UTF-8", NOT_JSON, lambda _, headers: (b'{"name": "\xff"}', headers)),
        _make("no object", "not a JSON object", lambda _, headers: (b"[1, 2]", headers)),
        _make(
            "NUL in a text",
            "a text holds NUL",
            lambda value, headers: (value.replace(b'"b"', b'"\\u0000"'), headers),
        ),
        _make("no value", "no value", lambda _, headers: (None, headers)),
        _make("empty", NOT_JSON, lambda _, headers: (b"", headers)),
        _make("no headers", "ce_specversion is not 1.0", lambda value, _: (value, [])),
        _make("a header that is no text", None, lambda v, h: (v, [*h, ("extra", b"\xff\xfe")])),
        _make(
            "a header that is null",
            "ce_type is missing",
            lambda v, h: (v, [(n, None if n == "ce_type" else x) for n, x in h]),
        ),
        _make("without an id", "ce_id is missing", without("ce_id")),
        _make("without an organization", "ce_org is missing", without("ce_org")),
        _make("a sequence that is none", "ce_sequence is malformed", keep, ce_sequence="many"),
        _make("a time that is none", "ce_time is malformed", keep, ce_time="yesterday"),
        _make("a position that is none", "ce_position is malformed", keep, ce_position="first"),
        _make("data of another type", LACKS, lambda _, headers: (b'{"role": 17}', headers)),
        _make(
            "a schema that is none", "ce_dataschema names no schema", keep, ce_dataschema="urn:other:thing"
        ),
        _make("nested too deep", NOT_JSON, lambda _, headers: (b"[" * 50_000 + b"]" * 50_000, headers)),
        _make("huge", LACKS, lambda _, headers: (json.dumps({"x": "y" * 900_000}).encode(), headers)),
        Poison("without a key", "ce_partitionkey is not the key", None, *_sound()[1:]),
    ]


class Place(NamedTuple):
    """Of a record on Kafka."""

    topic: str
    partition: int
    offset: int


def sound() -> Poison:
    """None at all: what each of the others would be without the one thing that is wrong with it."""
    return _make("sound", None, lambda value, headers: (value, headers))


async def spread(bootstrap: str, topics: Sequence[str]) -> dict[Place, Poison]:
    """Put one of each kind into each topic, and a sound one; returns where each is."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=bootstrap)
    found: dict[Place, Poison] = {}
    await producer.start()
    try:
        for topic in topics:
            for poison in [sound(), *one_of_each()]:
                told = await producer.send_and_wait(topic, poison.value, poison.key, headers=poison.headers)
                found[Place(told.topic, told.partition, told.offset)] = poison
    finally:
        await producer.stop()
    return found
