import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from muster_contracts import registry
from muster_contracts.envelope import Envelope, Record, from_record, to_record
from muster_contracts.errors import Undecodable, UnknownEvent
from muster_contracts.users import UserDeactivated

from tests.contracts import golden

RECORD = golden.record("user.deactivated.1")
DATA = json.loads(RECORD.value or b"")


def with_header(name: str, value: bytes | None) -> Record:
    kept = [(header, old) for header, old in RECORD.headers if header != name]
    return RECORD._replace(headers=kept if value is None else [*kept, (name, value)])


def with_data(**changes: object) -> Record:
    return RECORD._replace(value=json.dumps(DATA | changes).encode())


def refusal(record: Record) -> str:
    with pytest.raises(Undecodable) as caught:
        from_record(*record)
    return caught.value.reason


def test_times_are_utc_with_microseconds_whatever_zone_they_came_in():
    vienna = datetime(2026, 11, 24, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    envelope = Envelope(
        id="evt_1", source="/muster/identity", type="user.deactivated", version=1, subject="usr_1",
        partition_key="usr_1", sequence=1, time=vienna, org="org_1", data=DATA,
    )  # fmt: skip
    assert dict(to_record(envelope).headers)["ce_time"] == b"2026-11-24T09:30:00.000000Z"


def test_optional_attributes_that_are_none_are_left_out():
    headers = dict(to_record(from_record(*with_header("ce_position", None))).headers)
    assert "ce_position" not in headers


@pytest.mark.parametrize("raw", [b"2026-11-24T09:30:15Z", b"2026-11-24t10:30:15.000+01:00"])
def test_every_time_of_rfc_3339_is_read(raw: bytes):
    envelope = from_record(*with_header("ce_time", raw))
    assert envelope.time == datetime(2026, 11, 24, 9, 30, 15, tzinfo=UTC)


def test_a_type_of_a_newer_release_is_an_envelope_but_no_event():
    record = with_header("ce_type", b"muster.user.suspended")
    kept = [(name, value) for name, value in record.headers if name != "ce_dataschema"]
    record = record._replace(headers=[*kept, ("ce_dataschema", b"urn:muster:schema:user.suspended:1")])
    envelope = from_record(*record)
    assert envelope.stamp().actor.name == "Ada Park"
    with pytest.raises(UnknownEvent):
        envelope.event()
    with pytest.raises(UnknownEvent):
        to_record(envelope)


def test_a_version_of_a_newer_release_is_an_envelope_but_no_event():
    envelope = from_record(*with_header("ce_dataschema", b"urn:muster:schema:user.deactivated:2"))
    with pytest.raises(UnknownEvent):
        envelope.event()


def test_unknown_fields_and_headers_are_ignored():
    record = with_data(locale="de")
    envelope = from_record(*record._replace(headers=[*record.headers, ("ce_shoesize", b"\xff"), ("x", b"")]))
    assert isinstance(envelope.event(), UserDeactivated)


def test_who_may_write_to_one_topic_cannot_say_there_what_belongs_to_another():
    assert "does not belong" in refusal(RECORD._replace(topic="muster.session-receipts"))


def test_a_receipt_without_a_stamp_is_by_the_service_that_it_names():
    envelope = from_record(*golden.record("session_kill.confirmed.1"))
    assert envelope.stamp().actor.type == "service"
    assert envelope.stamp().actor.id == "billing"


@pytest.mark.parametrize("header", [name for name, _ in RECORD.headers if name not in (
    "ce_recordedtime", "ce_correlationid", "ce_causationid", "ce_traceparent", "ce_authtype", "ce_authid",
    "ce_dataclassification", "ce_action", "ce_position", "ce_epoch",
)])  # fmt: skip
def test_a_record_without_a_required_header_is_undecodable(header: str):
    assert header in refusal(with_header(header, None))


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_sequence", b"0"),
        ("ce_sequence", b"-1"),
        ("ce_sequence", b"1.0"),
        ("ce_sequence", "²".encode()),
        ("ce_sequence", b"9" * 19),
        ("ce_position", b"1 "),
        ("ce_time", b"2026-11-24"),
        ("ce_time", b"2026-13-24T00:00:00Z"),
        ("ce_time", b"2026-11-24T00:00:00"),
        ("ce_time", b"0001-01-01T00:00:00+23:59"),
        ("ce_time", b"\xff"),
        ("ce_id", b""),
        ("ce_id", b"\xff\xfe"),
        ("ce_id", b"evt\0"),
        ("ce_id", b"e" * 256),
        ("ce_type", b"user.deactivated"),
        ("ce_type", b"muster."),
        ("ce_dataschema", b"urn:muster:schema:user.deleted:1"),
        ("ce_dataschema", b"urn:muster:schema:user.deactivated:0"),
        ("ce_partitionkey", b"usr_other"),
        ("content-type", b"text/plain"),
    ],
)
def test_a_malformed_header_is_undecodable(header: str, value: bytes):
    assert refusal(with_header(header, value))


def test_a_header_that_is_there_twice_is_undecodable():
    assert "twice" in refusal(RECORD._replace(headers=[*RECORD.headers, ("ce_id", b"evt_2")]))


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'"text"',
        b"{",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":-Infinity}',
        b"[" * 100_000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_a_value_that_is_no_json_object_is_undecodable(value: bytes | None):
    assert refusal(RECORD._replace(value=value))


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "\udfff!"])
@pytest.mark.parametrize("place", ["value", "key"])
def test_a_text_that_postgresql_cannot_keep_is_undecodable(text: str, place: str):
    extra = {"more": [{"x": text}]} if place == "value" else {"more": {text: 1}}
    assert "NUL or half" in refusal(with_data(**extra))


def test_escaped_characters_that_are_whole_are_read():
    assert from_record(*with_data(reason="\U0001f600 \\u0000 é")).stamp().reason == "\U0001f600 \\u0000 é"


@pytest.mark.parametrize(
    "changes",
    [
        {"user": None},
        {"user": 7},
        {"status": "inactive"},
        {"actor": None},
        {"actor": "Ada"},
        {"actor": {"id": "usr_1", "name": None}},
        {"ip": 7},
    ],
)
def test_data_that_is_not_what_the_schema_says_is_undecodable(changes: dict[str, object]):
    assert next(iter(changes)) in refusal(with_data(**changes))


def test_a_reason_to_put_a_record_aside_holds_nothing_personal():
    assert "mia" not in refusal(with_data(user={"email": "mia@acme.example"}))


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"usr_other"])
def test_a_key_that_is_not_the_partition_key_is_undecodable(key: bytes | None):
    assert "ce_partitionkey" in refusal(RECORD._replace(key=key))


anything = st.one_of(st.none(), st.binary(max_size=40))
headers = st.lists(st.tuples(st.sampled_from([name for name, _ in RECORD.headers]), anything), max_size=25)


@given(topic=st.text(max_size=20), key=anything, value=anything, headers=headers)
def test_whatever_is_in_a_topic_is_an_envelope_or_undecodable(topic, key, value, headers):
    with suppress(Undecodable):
        from_record(topic, key, value, headers)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(changes=st.dictionaries(st.sampled_from([*DATA, "erased"]), json_values, max_size=3))
def test_whatever_is_in_the_data_is_readable_or_undecodable(changes):
    try:
        envelope = from_record(*with_data(**changes))
    except Undecodable:
        return
    envelope.event()
    envelope.stamp()


@given(name=st.sampled_from([name for name, _ in RECORD.headers]), value=anything)
def test_whatever_is_in_a_header_is_readable_or_undecodable(name, value):
    kept = [(header, old) for header, old in RECORD.headers if header != name]
    with suppress(Undecodable):
        from_record(*RECORD._replace(headers=[*kept, (name, value)]))


def test_a_busy_relay_encodes_thousands_of_events_a_second():
    envelope = from_record(*RECORD)
    begin = time.process_time()
    for _ in range(5_000):
        to_record(envelope)
    # 60,000/s on an idle machine; the test is there for a slip by an order of magnitude.
    assert time.process_time() - begin < 1.0


def test_an_unknown_type_still_says_who_did_it_or_is_undecodable():
    record = with_data(actor="Ada")
    kept = [(name, value) for name, value in record.headers if name not in ("ce_type", "ce_dataschema")]
    newer = [("ce_type", b"muster.user.suspended"), ("ce_dataschema", b"urn:muster:schema:user.suspended:1")]
    assert "actor" in refusal(record._replace(headers=[*kept, *newer]))


def test_what_no_client_should_ever_hand_over_is_undecodable_too():
    assert refusal(RECORD._replace(headers=None))  # pyright: ignore[reportArgumentType]


def test_numbers_with_fractions_are_read():
    assert from_record(*with_data(weight=1.5)).data["weight"] == 1.5


def test_data_from_elsewhere_that_is_no_event_is_undecodable():
    with pytest.raises(Undecodable):
        registry.read("user.deactivated", 1, {"user": "usr_1"})


def test_an_envelope_says_whether_its_person_was_erased():
    assert not from_record(*RECORD).erased
    assert from_record(*with_data(erased=True)).erased
