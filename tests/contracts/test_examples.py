"""Each event as it is on Kafka: whoever changes a contract must still read these."""

import json

import pytest
from jsonschema import Draft202012Validator
from muster_contracts.envelope import from_record, to_record
from muster_contracts.personal import join, split_wire
from muster_contracts.wire import wire

from tests.contracts import golden

each_example = pytest.mark.parametrize("name", golden.NAMES)


def validate(name: str, data: object) -> None:
    Draft202012Validator(golden.schema(name), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
        data
    )


def test_every_version_of_every_event_has_an_example():
    assert set(golden.NAMES) == set(golden.KINDS)


@each_example
def test_an_example_is_what_its_schema_says(name: str):
    validate(name, json.loads(golden.record(name).value or b""))


@each_example
def test_a_record_read_and_written_again_is_the_same(name: str):
    record = golden.record(name)
    again = to_record(from_record(*record))
    assert (again.topic, again.key, sorted(again.headers)) == (
        record.topic,
        record.key,
        sorted(record.headers),
    )
    assert json.loads(again.value or b"").items() >= json.loads(record.value or b"").items()


@each_example
def test_the_typed_event_holds_all_that_was_sent(name: str):
    envelope = from_record(*golden.record(name))
    assert wire(envelope.event(), envelope.stamp()) == envelope.data
    assert envelope.event().type == envelope.type


@each_example
def test_stream_and_key_follow_from_the_event(name: str):
    envelope = from_record(*golden.record(name))
    event = envelope.event()
    assert event.stream() in (envelope.subject, None)
    if name != "session_kill.confirmed.1":
        assert event.partition_key(envelope.org) == envelope.partition_key


@each_example
@pytest.mark.parametrize("self_act", [False, True])
def test_what_is_split_is_joined_to_the_same(name: str, self_act: bool):
    envelope = from_record(*golden.record(name))
    parts = split_wire(golden.KINDS[name], envelope.data, self_act=self_act)
    assert join(envelope.type, envelope.version, parts.open, parts.target, parts.actor) == envelope.data


@each_example
@pytest.mark.parametrize("self_act", [False, True])
@pytest.mark.parametrize("lost", ["target", "actor", "both"])
def test_an_erased_event_is_still_what_its_schema_says(name: str, self_act: bool, lost: str):
    record = golden.record(name)
    envelope = from_record(*record)
    parts = split_wire(golden.KINDS[name], envelope.data, self_act=self_act)
    target = parts.target if lost == "actor" else None
    actor = parts.actor if lost == "target" else None
    erased = join(envelope.type, envelope.version, parts.open, target, actor)
    validate(name, erased)
    value = json.dumps(erased).encode()
    assert from_record(record.topic, record.key, value, record.headers).data == erased


@each_example
@pytest.mark.parametrize("self_act", [False, True])
def test_nothing_personal_stays_in_the_open_part(name: str, self_act: bool):
    envelope = from_record(*golden.record(name))
    parts = split_wire(golden.KINDS[name], envelope.data, self_act=self_act)
    text = json.dumps(parts.open)
    for word in (
        "Mia",
        "mia",
        "Ada",
        "203.0.113.7",
        "198.51.100",
        "2001:db8",
        "Mozilla",
        "Friday",
        "5550123",
    ):
        assert word not in text
