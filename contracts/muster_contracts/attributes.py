"""The attributes of an envelope and their headers: one table that writes, reads and documents them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from muster_contracts.errors import Undecodable

SPEC_VERSION = ("ce_specversion", b"1.0")
CONTENT_TYPE = ("content-type", b"application/json")
DATA_SCHEMA = "ce_dataschema"

_URN = re.compile(r"urn:muster:schema:([a-z0-9_.]{1,100}):([1-9][0-9]{0,3})")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST = 255


def _write_number(value: int) -> bytes:
    return b"%d" % value


def _read_number(raw: bytes) -> int:
    if not _NUMBER.fullmatch(raw):
        raise ValueError("not a number of at most 18 digits")
    return int(raw)


def _write_time(value: datetime) -> bytes:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()


def _read_time(raw: bytes) -> datetime:
    text = raw.decode("ascii")
    if not _RFC_3339.fullmatch(text):
        raise ValueError("not a time of RFC 3339")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def _read_text(raw: bytes) -> str:
    # What is longer or not printable fits no index and no log line, and none of our ids looks like that.
    text = raw.decode()
    if not text or len(raw) > _LONGEST or not text.isprintable():
        raise ValueError("not a printable text of 1 to 255 bytes")
    return text


class Attribute(NamedTuple):
    """One field of `Envelope`, its header, and how the value is written and read."""

    field: str
    header: str
    write: Callable[[Any], bytes]
    read: Callable[[bytes], Any]
    required: bool
    meaning: str

    @property
    def kind(self) -> str:
        """`text`, `number` or `time`."""
        return {_read_number: "number", _read_time: "time"}.get(self.read, "text")


_PREFIX = "muster."


def _write_type(value: str) -> bytes:
    return (_PREFIX + value).encode()


def _read_type(raw: bytes) -> str:
    text = _read_text(raw)
    if not text.startswith(_PREFIX) or text == _PREFIX:
        raise ValueError("not a type of ours")
    return text.removeprefix(_PREFIX)


def _text(field: str, header: str, meaning: str, *, required: bool = False) -> Attribute:
    return Attribute(field, header, str.encode, _read_text, required, meaning)


def _number(field: str, header: str, meaning: str, *, required: bool = False) -> Attribute:
    return Attribute(field, header, _write_number, _read_number, required, meaning)


def _time(field: str, header: str, meaning: str, *, required: bool = False) -> Attribute:
    return Attribute(field, header, _write_time, _read_time, required, meaning)


ATTRIBUTES = (
    _text("id", "ce_id", "one per event, and the same when it is sent again", required=True),
    _text("source", "ce_source", "/muster/identity, /muster/notifier or /{service}", required=True),
    Attribute("type", "ce_type", _write_type, _read_type, required=True, meaning="muster.<type>"),
    _text("subject", "ce_subject", "id of the stream", required=True),
    _text("partition_key", "ce_partitionkey", "the record's key", required=True),
    _number("sequence", "ce_sequence", "dense from 1 per subject", required=True),
    _time("time", "ce_time", "when it occurred", required=True),
    _time("recorded_time", "ce_recordedtime", "when it was recorded"),
    _text("correlation_id", "ce_correlationid", "id of the request that led to it"),
    _text("causation_id", "ce_causationid", "id of the event that led to it"),
    _text("traceparent", "ce_traceparent", "W3C trace context"),
    _text("auth_type", "ce_authtype", "app_user, api_key, system, user (an operator) or unauthenticated"),
    _text("auth_id", "ce_authid", "id of the actor"),
    _text("data_classification", "ce_dataclassification", "what the data is, for those who must protect it"),
    _text("org", "ce_org", "id of the organization, org_0 when unknown", required=True),
    _text("action", "ce_action", "one id for all events of a command"),
    _number("position", "ce_position", "dense over the log of identity"),
    _number("epoch", "ce_epoch", "raised when that log was restored: order is (epoch, position)"),
)
_SCHEMA = _text("version", DATA_SCHEMA, "urn:muster:schema:<type>:<version>", required=True)


def schema_urn(type_: str, version: int) -> str:
    """Return the name of the schema of an event's data."""
    return f"urn:muster:schema:{type_}:{version}"


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
    for field, header, write, *_ in ATTRIBUTES:
        if (value := getattr(envelope, field)) is not None:
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
    fields = {each.field: _read(each, found[each.header]) for each in ATTRIBUTES if each.header in found}
    for each in ATTRIBUTES:
        if each.required and each.field not in fields:
            raise Undecodable(f"{each.header} is missing")
    fields["version"] = read_version(fields["type"], _read(_SCHEMA, found.get(DATA_SCHEMA)))
    if fields["sequence"] < 1:
        raise Undecodable("ce_sequence is below 1")
    return fields


def _unique(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for name, value in headers:
        if name in found and name.startswith(("ce_", "content-type")):
            raise Undecodable("a header is there twice")
        found[name] = value
    return found


def _read(attribute: Attribute, raw: bytes | None) -> Any:
    if raw is None:
        raise Undecodable(f"{attribute.header} is missing")
    try:
        return attribute.read(raw)
    except (ValueError, OverflowError):
        raise Undecodable(f"{attribute.header} is malformed") from None
