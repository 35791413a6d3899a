"""What holds for every administrators' command: the change it answers, its events on Kafka, its audit records."""

from __future__ import annotations

import re
from typing import Any

from tests.e2e.client import REACHED_WITHIN, Client, Json, wait_until
from tests.e2e.people import Org, Person
from tests.e2e.tape import Record

RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
ID = re.compile(r"(usr|org|rol|ses|evt|job|key|fac|ipr|aud|kil|svc)_[0-9a-hjkmnp-tv-z]{26}")
HERE = "127.0.0.1"
HEADERS = {
    *("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_dataschema", "ce_subject", "ce_partitionkey"),
    *("ce_sequence", "ce_time", "ce_recordedtime", "ce_correlationid", "ce_traceparent", "ce_authtype"),
    *("ce_authid", "ce_dataclassification", "ce_org", "ce_action", "ce_position", "ce_epoch", "content-type"),
}
NOT_ALWAYS = {"ce_causationid"}


def types(change: Json) -> list[str]:
    return [event["type"] for event in change["events"]]


def check_change(change: Json, *expected: str) -> Json:
    """A change holds what `api.md` says and these events; returns its effects."""
    assert change["object"] == "change"
    assert isinstance(change["position"], str), change
    assert {"events", "user", "effects"} <= change.keys(), change
    assert types(change) == list(expected)
    for event in change["events"]:
        assert event.keys() == {"id", "type", "version"}, event
        assert ID.fullmatch(event["id"]), event
        assert event["id"].startswith("evt_"), event
        assert event["version"] >= 1, event
    return change["effects"]


def check_published(org: Org, change: Json, actor: Person) -> list[Record]:
    """The events of a change are on Kafka in its order, with every header; returns their records."""
    records = org.tape.events(event["id"] for event in change["events"])
    assert [record.id for record in records] == [event["id"] for event in change["events"]]
    assert [record.type for record in records] == types(change)
    assert [record.sequence for record in records] == [event["version"] for event in change["events"]]
    first = records[0].position
    assert [record.position for record in records] == list(range(first, first + len(records)))
    assert len({record.headers["ce_action"] for record in records}) == 1
    for topic in {
        record.topic for record in records
    }:  # one key, one partition: in order for whoever reads it
        offsets = [record.offset for record in records if record.topic == topic]
        assert offsets == sorted(offsets)
    for record in records:
        check_headers(record)
        assert record.headers["ce_source"] == "/muster/identity"
        assert record.headers["ce_authtype"] == "app_user"
        assert record.headers["ce_authid"] == actor.id
        assert record.data["actor"] == {"type": "user", "id": actor.id, "name": actor.name}
        assert record.data["ip"] == HERE
    return records


def check_headers(record: Record) -> None:
    names = [name for name, _ in record.header_list]
    assert len(names) == len(set(names))
    assert set(names) - NOT_ALWAYS == HEADERS, f"{record.type}: {set(names) ^ HEADERS}"
    headers = record.headers
    assert headers["ce_specversion"] == "1.0"
    assert headers["content-type"] == "application/json"
    assert re.fullmatch(rf"urn:muster:schema:{re.escape(record.type)}:[1-9]\d*", headers["ce_dataschema"])
    assert RFC_3339_UTC.fullmatch(headers["ce_time"]), headers
    assert RFC_3339_UTC.fullmatch(headers["ce_recordedtime"]), headers
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", headers["ce_traceparent"]), headers
    assert headers["ce_partitionkey"] == record.key
    assert record.key.startswith("usr_" if record.topic == "muster.users" else "org_")


def audit_of(client: Client, position: str, *, seconds: float = REACHED_WITHIN, **filters: Any) -> list[Json]:
    """Audit records that fit, newest first, once audit is there and has passed this position."""

    def arrived() -> list[Json] | None:
        answer = client.send("GET", "/v1/audit", params={"min_position": position, "limit": 200, **filters})
        if answer.status_code == 503:
            assert "Retry-After" in answer.headers
            return None
        assert answer.status_code == 200, answer.text
        return [answer.json()]

    return wait_until(arrived, f"audit at the position of the command ({filters})", seconds)[0]["data"]


def check_audited(org: Org, change: Json, actor: Person, target: Json, reason: str | None = None) -> Json:
    """Each event of a change has one audit record that says who, from where and when; returns the first one's."""
    (request,) = {
        record.headers["ce_correlationid"] for record in org.tape.events(e["id"] for e in change["events"])
    }
    records = audit_of(org.owner.client, change["position"], actor=actor.id)
    mine = [record for record in reversed(records) if record["request_id"] == request]
    assert [record["type"] for record in mine] == types(change)
    for record in mine:
        assert record["id"].startswith("aud_"), record
        assert record["outcome"] == "done", record
        assert record["actor"] == {"type": "user", "id": actor.id, "name": actor.name}, record
        assert record["ip"] == HERE, record
        assert record["session_id"] == actor.session["id"], record
        assert record["reason"] == reason, record
        assert RFC_3339_UTC.fullmatch(record["occurred_at"]), record
        assert RFC_3339_UTC.fullmatch(record["recorded_at"]), record
        assert record["occurred_at"] <= record["recorded_at"], record
        assert record["sentence"], record
        assert record["seal"] is None, record
    first = mine[0]
    assert actor.name in first["sentence"], first
    assert (first["target"]["type"], first["target"]["id"]) == ("user", target["id"])
    assert first["target"]["name"] == target["name"]
    assert target["name"] in first["sentence"], first
    return first
