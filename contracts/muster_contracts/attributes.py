"""The attributes of an envelope and their headers: one table that writes, reads and documents them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from muster_contracts.errors import Undecodable

SPEC_VERSION = ("ce_specversion", b"1.0")
CONTENT_TYPE = ("content-type", b"application/json")
DATA_SCHEMA = "ce_dataschema"

_URN = re.compile(r"urn:muster:schema:([a-z0-9_.]{1,100}):([1-9][0-9]{0,3})")
_DIGITS = 18
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST = 255


def _write_number(value: int) -> bytes:
    return b"%d" % value


def _read_number(raw: bytes) -> int:
    if not raw.isdigit() or len(raw) > _DIGITS:
        raise ValueError("not a number of at most 18 digits")
    return int(raw)


@lru_cache(maxsize=2048)
def _write_time(value: datetime) -> bytes:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


def _read_time(raw: bytes) -> datetime:
    text = raw.decode("ascii")
    if not _RFC_3339.fullmatch(text):
        raise ValueError("not a time of RFC 3339")
    time = datetime.fromisoformat(text.upper())
    return time if time.tzinfo is UTC else time.astimezone(UTC)


def _read_text(raw: bytes) -> str:
    # What is longer or not printable fits no index and no log line, and none of our ids looks like that.
    text = raw.decode()
    if not text or len(raw) > _LONGEST or not text.isprintable():
        raise ValueError("not a printable text of 1 to 255 bytes")
    return text


_PREFIX = "muster."


def _write_type(value: str) -> bytes:
    return (_PREFIX + value).encode()


def _read_type(raw: bytes) -> str:
    text = _read_text(raw)
    if not text.startswith(_PREFIX) or text == _PREFIX:
        raise ValueError("not a type of ours")
    return text.removeprefix(_PREFIX)


def _remembered(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """For attributes whose values come again: few different ones, or the same for all events of a command."""
    return lru_cache(maxsize=2048)(read)


class Codec(NamedTuple):
    """How a kind of value is written into a header, and read."""

    kind: str
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]


TEXT = Codec("text", str.encode, _read_text)
NAME = Codec("text", str.encode, _remembered(_read_text))
TYPE = Codec("text", _write_type, _remembered(_read_type))
NUMBER = Codec("number", _write_number, _read_number)
TIME = Codec("time", _write_time, _remembered(_read_time))


class Attribute(NamedTuple):
    """One field of `Envelope` and its header."""

    field: str
    header: str
    codec: Codec
    meaning: str
    required: bool = False


ATTRIBUTES = (
    Attribute("id", "ce_id", TEXT, "one per event, and the same when it is sent again", required=True),
    Attribute("source", "ce_source", NAME, "/muster/identity, /muster/notifier or /{service}", required=True),
    Attribute("type", "ce_type", TYPE, "muster.<type>", required=True),
    Attribute("subject", "ce_subject", TEXT, "id of the stream", required=True),
    Attribute("partition_key", "ce_partitionkey", TEXT, "the record's key", required=True),
    Attribute("sequence", "ce_sequence", NUMBER, "dense from 1 per subject", required=True),
    Attribute("time", "ce_time", TIME, "when it occurred", required=True),
    Attribute("recorded_time", "ce_recordedtime", TIME, "when it was recorded"),
    Attribute("correlation_id", "ce_correlationid", TEXT, "id of the request that led to it"),
    Attribute("causation_id", "ce_causationid", TEXT, "id of the event that led to it"),
    Attribute("traceparent", "ce_traceparent", TEXT, "W3C trace context"),
    Attribute(
        "auth_type", "ce_authtype", NAME, "app_user, api_key, system, unauthenticated, or user: an operator"
    ),
    Attribute("auth_id", "ce_authid", TEXT, "id of the actor"),
    Attribute("data_classification", "ce_dataclassification", NAME, "how the data is to be protected"),
    Attribute("org", "ce_org", NAME, "id of the organization, org_0 when unknown", required=True),
    Attribute("action", "ce_action", TEXT, "one id for all events of a command"),
    Attribute("position", "ce_position", NUMBER, "dense over the log of identity"),
    Attribute("epoch", "ce_epoch", NUMBER, "raised when that log was restored: order is (epoch, position)"),
)
SCHEMA = Attribute("version", DATA_SCHEMA, NAME, "urn:muster:schema:<type>:<version>", required=True)


_WRITERS = [(each.header, each.codec.write) for each in ATTRIBUTES]
_VALUES = attrgetter(*(each.field for each in ATTRIBUTES))
_READERS = {each.header: (each.field, each.codec.read) for each in (*ATTRIBUTES, SCHEMA)}
_REQUIRED_HEADERS = {each.field: each.header for each in (*ATTRIBUTES, SCHEMA) if each.required}
_REQUIRED = _REQUIRED_HEADERS.keys()


def schema_urn(type_: str, version: int) -> str:
    """Return the name of the schema of an event's data."""
    return f"urn:muster:schema:{type_}:{version}"


@lru_cache(maxsize=2048)
def read_version(type_: str, urn: str) -> int:
    """Return the version that `ce_dataschema` names.

    Raises:
        Undecodable: it is no schema of this type.
    """
    match = _URN.fullmatch(urn)
    if not match or match[1] != type_:
        raise Undecodable("ce_dataschema names no schema of ce_type")
    return int(match[2])


def write_headers(envelope: Any) -> list[tuple[str, bytes]]:
    """Return the headers of an envelope; attributes that are None are left out."""
    headers = [SPEC_VERSION, (DATA_SCHEMA, schema_urn(envelope.type, envelope.version).encode())]
    for value, (header, write) in zip(_VALUES(envelope), _WRITERS, strict=True):
        if value is not None:
            headers.append((header, write(value)))
    headers.append(CONTENT_TYPE)
    return headers


def read_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, Any]:
    """Return the fields of an envelope, `version` among them.

    Raises:
        Undecodable: a header is missing, there twice, or malformed.
    """
    found = _unique(headers)
    if found.get(SPEC_VERSION[0]) != SPEC_VERSION[1]:
        raise Undecodable("ce_specversion is not 1.0")
    if not (found.get(CONTENT_TYPE[0]) or b"").startswith(CONTENT_TYPE[1]):
        raise Undecodable("content-type is not application/json")
    fields = _read_all(found)
    if missing := _REQUIRED - fields.keys():
        raise Undecodable(f"{_REQUIRED_HEADERS[min(missing)]} is missing")
    fields["version"] = read_version(fields["type"], fields["version"])
    if fields["sequence"] < 1:
        raise Undecodable("ce_sequence is below 1")
    return fields


def _unique(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes | None]:
    pairs = tuple(headers)
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs if name.startswith(("ce_", "content-type"))]
        if len(names) > len(set(names)):
            raise Undecodable("a header is there twice")
    return found


def _read_all(headers: dict[str, bytes | None]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    header = ""
    try:
        for header, raw in headers.items():
            if known := _READERS.get(header):
                if raw is None:
                    raise Undecodable(f"{header} is missing")
                fields[known[0]] = known[1](raw)
    except (ValueError, OverflowError):
        raise Undecodable(f"{header} is malformed") from None
    return fields
