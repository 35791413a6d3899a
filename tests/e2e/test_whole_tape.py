"""What holds for everything that this run, the demo's 90 days included, put on Kafka. Runs last."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest
from jsonschema import Draft202012Validator

from tests.e2e.acts import NOT_ALWAYS, RFC_3339_UTC
from tests.e2e.client import Client, wait_until
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Org, Person
from tests.e2e.place import Place
from tests.e2e.tape import DIRECTORY, EVENT_TOPICS, KILLS, TOPICS, Record, Tape

CLOUDEVENTS = {
    *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_dataschema", "ce_subject", "ce_partitionkey"),
    *(
        "ce_sequence",
        "ce_time",
        "ce_recordedtime",
        "ce_authtype",
        "ce_dataclassification",
        "ce_org",
        "ce_action",
    ),
    "content-type",
}
SECRET = re.compile(rb"mu[skir]_[0-9A-Za-z]{49}|\$argon2|otpauth:|\"secret\"")
STREAMS = {
    "muster.users": ("usr_", "ses_"),
    "muster.organizations": ("org_", "rol_", "key_", "job_", "sch_"),
    "muster.attempts": ("att_",),
    "muster.notifications": ("msg_",),
    KILLS: ("kil_",),
}


@pytest.fixture(scope="module")
def events(acme: Org, tape: Tape) -> list[Record]:
    """Everything up to an event that was made now, duplicates dropped by id."""
    owner = acme.owner
    change = owner.client.patch(f"/v1/users/{owner.id}", {"labels": ["the end"]})
    owner.client.patch(f"/v1/users/{owner.id}", {"labels": []})
    tape.events(event["id"] for event in change["events"])
    found: dict[str, Record] = {}
    for record in tape.records(*EVENT_TOPICS, KILLS):
        found.setdefault(record.id, record)
    return list(found.values())


def test_sequences_are_dense_from_one_per_subject(events: list[Record]) -> None:
    streams: dict[str, list[int]] = defaultdict(list)
    for record in events:  # as first seen, in the order of its partition
        streams[record.subject].append(record.sequence)
    broken = {subject: seen for subject, seen in streams.items() if seen != list(range(1, len(seen) + 1))}
    assert broken == {}


def test_positions_are_dense_over_the_log(events: list[Record]) -> None:
    positions = sorted(
        record.position for record in events if record.headers["ce_source"] == "/muster/identity"
    )
    assert positions == list(range(1, len(positions) + 1))


def test_a_stream_lives_in_one_topic_under_one_key(events: list[Record]) -> None:
    for record in events:
        assert record.subject.startswith(STREAMS[record.topic]), f"{record.subject} in {record.topic}"
        assert record.key.startswith(
            "org_" if record.topic in ("muster.organizations", "muster.attempts") else "usr_"
        )
    places: dict[str, set[tuple[str, int, str]]] = defaultdict(set)
    for record in events:
        places[record.subject].add((record.topic, record.partition, record.key))
    assert {subject: found for subject, found in places.items() if len(found) > 1} == {}


def test_every_record_has_its_headers_once(events: list[Record]) -> None:
    for record in events:
        names = [name for name, _ in record.header_list]
        assert len(names) == len(set(names))
        assert set(names) >= CLOUDEVENTS, f"{record.type}: {CLOUDEVENTS - set(names)}"
        more = {"ce_correlationid", "ce_traceparent", "ce_authid", "ce_position", "ce_epoch"}
        assert set(names) <= CLOUDEVENTS | more | NOT_ALWAYS
        mine = record.headers["ce_source"] == "/muster/identity"
        assert mine == ("ce_position" in record.headers) == ("ce_epoch" in record.headers), record
        assert RFC_3339_UTC.fullmatch(record.headers["ce_time"])
        assert record.headers["ce_time"] <= record.headers["ce_recordedtime"]


def test_every_event_says_who_did_it_from_where_and_why(events: list[Record]) -> None:
    for record in events:
        assert {"actor", "ip", "user_agent", "reason"} <= record.data.keys(), record.type
        assert {"type", "id", "name"} <= record.data["actor"].keys(), record.type
        if record.subject.startswith(("usr_", "ses_")):
            assert record.data["user"] == record.key, record.type
        if record.subject.startswith("ses_"):
            assert record.data["session"] == record.subject, record.type


def test_events_of_one_command_stand_together_in_order(events: list[Record]) -> None:
    actions: dict[str, list[int]] = defaultdict(list)
    for record in events:
        if "ce_position" in record.headers:
            actions[record.headers["ce_action"]].append(record.position)
    for positions in actions.values():
        ordered = sorted(positions)
        assert ordered == list(range(ordered[0], ordered[0] + len(ordered)))


def test_no_secret_is_in_any_record(tape: Tape, events: list[Record]) -> None:
    for record in tape.records():
        assert not SECRET.search(record.value or b""), record.type
        assert not SECRET.search(str(record.header_list).encode())


def test_no_secret_and_no_person_is_in_any_log_file(place: Place, acme: Org, events: list[Record]) -> None:
    folder = place.run_file.parent / "log"
    for file in folder.glob("*.log"):
        if file.name in ("postgres.log", "kafka.log", "up.log"):
            continue
        text = file.read_bytes()
        assert not SECRET.search(text), file.name
        assert b"@e2e.example" not in text, file.name
        assert acme.owner.password.encode() not in text, file.name


def test_mails_hold_their_secret_once_and_kafka_tells_what_became_of_them(
    events: list[Record], mailbox: Mailbox
) -> None:
    sent = [record for record in events if record.type == "message.sent"]
    assert sent
    assert all(mail["subject"] and mail["text"] and mail["html"] for mail in mailbox.all())


def test_the_directory_topic_ends_with_what_the_table_shows(
    acme: Org, owner: Person, tape: Tape, events: list[Record]
) -> None:
    org = owner.client.get("/v1/me")["organization"]["id"]

    def same() -> bool:
        newest: dict[str, Record] = {}
        for record in tape.records(DIRECTORY):
            if record.headers["ce_org"] == org:
                newest[record.key] = record
        told = {key: r.data["version"] for key, r in newest.items() if r.value is not None}
        return told == {row["id"]: row["version"] for row in _everyone(acme)}

    wait_until(same, "the directory topic to say what the table says")


def test_every_event_is_what_its_served_schema_says(anyone: Client, events: list[Record]) -> None:
    validators: dict[str, Draft202012Validator] = {}
    for record in events:
        urn = record.headers["ce_dataschema"]
        if urn not in validators:
            type_, version = urn.removeprefix("urn:muster:schema:").split(":")
            schema = anyone.http.get(f"/schemas/{type_}/{version}.json")
            assert schema.status_code == 200, urn
            validators[urn] = Draft202012Validator(schema.json())
        validators[urn].validate(record.data)
    document = anyone.http.get("/asyncapi.yaml")
    assert document.status_code == 200
    assert all(topic in document.text for topic in TOPICS)


def test_the_muster_command_finds_nothing_wrong(place: Place, events: list[Record]) -> None:
    """The users table is what the log says; nothing is parked; every part answers."""
    place.muster("rebuild", "users", "--verify")
    assert place.muster("doctor")["ok"] is True
    assert place.muster("parked", "list") == {"data": []}


def test_every_kill_was_ordered(tape: Tape, events: list[Record]) -> None:
    named = {
        record.data["kill"] for record in events if record.topic == "muster.users" and record.data.get("kill")
    }
    wait_until(lambda: named <= {r.data["kill"] for r in tape.records(KILLS)}, "an order for each kill")


def _everyone(acme: Org) -> list[dict[str, object]]:
    page = acme.owner.client.get("/v1/users", limit=200)
    found = page["data"]
    while page["next_cursor"]:
        page = acme.owner.client.get("/v1/users", limit=200, cursor=page["next_cursor"])
        found += page["data"]
    return found
