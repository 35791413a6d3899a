"""What others were told of the log: Kafka, the directory and audit hold it once, whole and in order."""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter, defaultdict
from typing import Any

from muster_contracts.envelope import Envelope, to_record

from tests.faults.evidence import Evidence, Findings
from tests.faults.history import History
from tests.support.plain_kafka import Read

FROM_IDENTITY = ("muster.users", "muster.organizations", "muster.attempts")
FROM_NOTIFIER = ("muster.notifications", "muster.session-kills")


def kafka_holds_every_event_in_order(_: History, evidence: Evidence) -> Findings:
    for topics, log in (
        (FROM_IDENTITY, {event.id: event.position or 0 for event in evidence.log}),
        (FROM_NOTIFIER, {row["id"]: row["position"] for row in evidence.told}),
    ):
        records = [r for t in topics for r in evidence.kafka[t] if not _is_foreign(r, evidence)]
        first = {record.headers.get("ce_id", ""): record for record in reversed(records)}
        if lost := log.keys() - first.keys():
            yield f"{len(lost)} of {len(log)} events are not on Kafka, the first at {min(log[i] for i in lost)}"
        if ghosts := first.keys() - log.keys():
            yield f"{len(ghosts)} events on Kafka are not in the log: {sorted(ghosts)[:3]}"
        if not evidence.disordered:
            yield from _in_order(first, log)


def _is_foreign(record: Read, evidence: Evidence) -> bool:
    """Whether a test put it there; much of that names no event at all."""
    return bool(evidence.foreign) and record.headers.get("ce_id", "") in {"", *evidence.foreign}


def _in_order(first: dict[str, Read], log: dict[str, int]) -> Findings:
    by_key: defaultdict[tuple[str, str], list[Read]] = defaultdict(list)
    for id_, record in first.items():
        if id_ in log:
            by_key[record.topic, record.key].append(record)
    for (topic, key), records in by_key.items():
        if len({record.partition for record in records}) > 1:
            yield f"{key} is in several partitions of {topic}"
        records.sort(key=lambda record: record.offset)
        positions = [log[record.headers["ce_id"]] for record in records]
        if positions != sorted(positions):
            yield f"{key} on {topic}: {positions[:12]}"
        sequences: dict[str, int] = {}
        for record in records:
            subject, sequence = record.headers["ce_subject"], int(record.headers["ce_sequence"])
            if sequence <= sequences.get(subject, 0):
                yield f"{subject}: {sequence} after {sequences[subject]}"
            sequences[subject] = sequence


def kafka_says_what_the_logs_say(_: History, evidence: Evidence) -> Findings:
    """Every record of an event, each repeat too, is that event: where it is, what stands beside it, and its data."""
    wanted = {event.id: to_record(event) for event in (*evidence.log, *evidence.told_events)}
    for topic in (*FROM_IDENTITY, *FROM_NOTIFIER):
        for record in evidence.kafka[topic]:
            event = wanted.get(record.headers.get("ce_id", ""))
            if event is None or _is_foreign(record, evidence):
                continue
            headers = {name: value.decode() for name, value in event.headers}
            if (record.topic, record.key, record.headers) != (event.topic, event.key.decode(), headers):
                yield f"{headers['ce_id']} is on {record.topic} as {record.key} with {record.headers}"
            elif differ := _differing(json.loads(record.value or b"{}"), json.loads(event.value or b"{}")):
                yield f"{headers['ce_type']} at {headers.get('ce_position')} says something else in {differ}"


def _differing(told: Any, kept: Any) -> list[str]:
    """Names of members that differ; what is personal may be gone from one of both."""
    erased = told.get("erased") or kept.get("erased") or _lost_actor(told) or _lost_actor(kept)
    names = told.keys() | kept.keys() if not erased else told.keys() & kept.keys() - {"erased", "actor"}
    return sorted(
        name
        for name in names
        if told.get(name) != kept.get(name)
        and not (erased and (_is_blank(told[name]) or _is_blank(kept[name])))
    )


def _lost_actor(data: Any) -> bool:
    return bool((data.get("actor") or {}).get("erased"))


def _is_blank(value: Any) -> bool:
    return not any(value.values()) if isinstance(value, dict) else not value


def the_directory_shows_the_users(_: History, evidence: Evidence) -> Findings:
    last = {record.key: record for record in evidence.kafka["muster.directory"]}
    for user, row in evidence.users.items():
        shown = json.loads(last[user].value or b"null") if user in last else None
        if shown is None:
            yield f"{user} is not there"
        elif [shown["version"], shown["status"], shown["name"]] != [
            row["version"],
            row["status"],
            row["name"],
        ]:
            yield f"{user} is there at {shown['version']} instead of {row['version']}"
    deleted = {event.subject for event in evidence.log if event.type == "user.deleted"}
    for user in deleted & last.keys():
        if last[user].value is not None:
            yield f"{user} is there after the deletion"


def each_event_is_in_the_audit_once(_: History, evidence: Evidence) -> Findings:
    logged = [event.id for event in evidence.log] + [row["id"] for row in evidence.told]
    wanted = Counter("aud_" + id_.removeprefix("evt_") for id_ in logged)
    found = Counter(row["id"] for row in evidence.audit)
    foreign = {"aud_" + id_.removeprefix("evt_") for id_ in evidence.foreign}
    if missing := wanted - found:
        yield f"{missing.total()} of {wanted.total()} are not there: {sorted(missing)[:3]}"
    if more := [id_ for id_ in (found - wanted) if id_ not in foreign]:
        yield f"{len(more)} are there that are in no log: {sorted(more)[:3]}"
    places: defaultdict[str, list[int]] = defaultdict(list)
    for row in evidence.audit:
        places[row["org"]].append(row["seq"])
    for org, numbers in places.items():
        if numbers != list(range(len(numbers))):
            yield f"{org} has holes in its sequence"
    logged_at = {"aud_" + e.id.removeprefix("evt_"): e.position for e in evidence.log}
    if any(row["position"] != logged_at.get(row["id"], row["position"]) for row in evidence.audit):
        yield "a record names another position than the log"


def nothing_of_ours_is_parked(_: History, evidence: Evidence) -> Findings:
    ours = {event.id for event in evidence.log} | {row["id"] for row in evidence.told}
    for row in evidence.parked:
        id_ = next(
            (b64decode(v).decode("utf-8", "replace") for name, v in row["headers"] if name == "ce_id" and v),
            None,
        )
        if row["resolved_at"] is None and id_ in ours - evidence.foreign:
            yield f"{row['service']} parked {id_}: {row['error']}"


def the_audit_finds_what_the_logs_say(_: History, evidence: Evidence) -> Findings:
    """By what a record is found: who did what to whom, when, with which outcome, in the organization's own order."""
    events = {"aud_" + e.id.removeprefix("evt_"): e for e in (*evidence.log, *evidence.told_events)}
    for row in evidence.audit:
        event = events.get(row["id"])
        if event is None or event.id in evidence.foreign:
            continue
        found = tuple(row[name] for name in ("org", "type", "outcome", "actor", "target", "occurred_at"))
        if found != (wanted := _finding_of(event)):
            yield f"{row['id']} is found as {found} instead of {wanted}"


def _finding_of(event: Envelope) -> tuple[Any, ...]:
    data: Any = event.data
    is_refused = event.type == "attempt.refused"
    is_failed = event.type in ("message.failed", "message.abandoned")
    names = ("target",) if is_refused else ("key", "user", "role", "organization")
    return (
        event.org,
        data["act"] if is_refused else event.type,
        "refused" if is_refused else "failed" if is_failed else "done",
        data["actor"]["id"],
        next((data[name] for name in names if data.get(name)), None),
        event.time,
    )
