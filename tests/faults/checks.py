"""The comparison of what was told with what there is: each check returns its findings, one sentence each.

None of them knows which faults there were: whatever happened, these hold.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.faults.evidence import Evidence, Row
from tests.faults.fold import State, after_each_unit
from tests.faults.history import KEPT_REFUSALS, Attempt, History
from tests.support.plain_kafka import Read

Findings = Iterator[str]
FROM_IDENTITY = ("muster.users", "muster.organizations", "muster.attempts")
FROM_NOTIFIER = ("muster.notifications", "muster.session-kills")


def check(history: History, evidence: Evidence) -> list[str]:
    """Everything that is wrong; at most a few of a kind."""
    found: list[str] = []
    for each in CHECKS:
        some = list(each(history, evidence))
        name = each.__name__.replace("_", " ")
        found += [f"{name}: {sentence}" for sentence in some[:3]]
        if len(some) > 3:
            found.append(f"{name}: … and {len(some) - 3} more")
    return found


def everything_came_to_rest(_: History, evidence: Evidence) -> Findings:
    yield from evidence.unrest


def positions_are_dense(_: History, evidence: Evidence) -> Findings:
    positions = [event.position for event in evidence.log]
    if positions != list(range(1, evidence.head + 1)):
        gaps = [b for a, b in pairwise([0, *positions]) if (a or 0) + 1 != b]
        yield f"{len(positions)} events up to {evidence.head}, out of step at {gaps[:5]}"


def versions_are_contiguous(_: History, evidence: Evidence) -> Findings:
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for event in evidence.log:
        versions[event.subject].append(event.sequence)
    for stream, numbers in versions.items():
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"{stream} has {numbers[:10]}"
        elif evidence.heads.get(stream) != len(numbers):
            yield f"the head of {stream} says {evidence.heads.get(stream)} of {len(numbers)}"


def what_was_acknowledged_is_durable(history: History, evidence: Evidence) -> Findings:
    by_id = {event.id: event for event in evidence.log}
    units = evidence.units()
    for command in history.commands:
        for attempt in command.answered:
            if not attempt.done or "events" not in attempt.body:
                continue
            told = [(event["id"], event["type"], event["version"]) for event in attempt.body["events"]]
            found = [by_id[id_] for id_, _, _ in told if id_ in by_id]
            if [(e.id, e.type, e.sequence) for e in found] != told:
                yield f"{command.act} was answered {told}, the log has {[e.id for e in found]}"
            elif found and [e.id for e in units[found[0].action or ""]] != [id_ for id_, _, _ in told]:
                yield f"{command.act} was answered less or more than its unit holds"


def refusals_are_recorded(history: History, evidence: Evidence) -> Findings:
    recorded = {event.correlation_id for event in evidence.log if event.type == "attempt.refused"}
    for command in history.commands:
        for attempt in command.answered:
            if attempt.status not in KEPT_REFUSALS or attempt.replayed:
                continue
            if not any(each.request_id in recorded for each in command.attempts):
                yield f"{command.act} was refused with {attempt.body['code']}, of which there is no event"


def there_is_no_ghost(history: History, evidence: Evidence) -> Findings:
    """Each unit was asked for by one attempt, and not by one that was refused."""
    asked = {
        attempt.request_id: (command, attempt) for command in history.commands for attempt in command.attempts
    }
    for unit in evidence.units().values():
        first = unit[0]
        others = history.others | (evidence.asked - asked.keys()) | evidence.by_hand
        if first.correlation_id in others or first.data["actor"]["type"] in ("system", "operator"):
            continue  # an operator made the organizations, and the system does what time alone brings
        if first.correlation_id not in asked:
            yield f"{first.type} at {first.position} was asked for by nobody"
            continue
        command, attempt = asked[first.correlation_id]
        is_attempt = first.type == "attempt.refused"
        if not attempt.unknown and attempt.done == is_attempt:
            yield f"{command.act} was answered {attempt.status} and left {first.type} at {first.position}"
        if first.org != command.org or first.auth_id != command.actor:
            yield f"{first.type} at {first.position} is another's doing than {command.act}'s"


def each_command_was_done_once(history: History, evidence: Evidence) -> Findings:
    done: defaultdict[str, set[str]] = defaultdict(set)
    for event in evidence.log:
        if event.type != "attempt.refused":
            done[event.correlation_id or ""].add(event.action or "")
    for command in history.commands:
        units = set[str]().union(*(done[attempt.request_id] for attempt in command.attempts))
        if len(units) > 1:
            yield f"{command.act} with {'a' if command.key else 'no'} key was done {len(units)} times"


def the_same_key_has_the_same_answer(history: History, _: Evidence) -> Findings:
    for command in history.commands:
        kept = [attempt for attempt in command.answered if _is_kept(attempt)]
        if command.key and len({_essence(attempt) for attempt in kept}) > 1:
            yield f"{command.act}: {[_essence(attempt)[:200] for attempt in kept]}"


def _is_kept(attempt: Attempt) -> bool:
    refused = attempt.status in (*KEPT_REFUSALS, 404)
    return attempt.done or (
        refused and attempt.body["code"] not in ("confirmation_required", "permission_missing")
    )


def _essence(attempt: Attempt) -> str:
    """The answer without what a replay may leave out or names itself by."""
    body = {k: v for k, v in (attempt.body or {}).items() if k not in ("token", "request_id")}
    return f"{attempt.status} {json.dumps(body, sort_keys=True)}"


def reads_are_never_stale(history: History, _: Evidence) -> Findings:
    for read in history.reads:
        if (read.shown or 0) < read.acknowledged:
            yield f"{read.user} was shown at {read.shown} after {read.acknowledged} was acknowledged"


def the_users_table_is_what_the_log_says(_: History, evidence: Evidence) -> Findings:
    state = State()
    for event in evidence.log:
        state.apply(event)
    if state.users.keys() != evidence.users.keys():
        yield f"{sorted(state.users.keys() ^ evidence.users.keys())[:5]} are in one of the two only"
    for user, person in state.users.items():
        row = evidence.users.get(user)
        if row is None:
            continue
        shown = {name: row[name] for name in person.fields} | {"role": row["role"], "status": row["status"]}
        wanted = person.fields | {"role": person.role, "status": person.status}
        if shown | {"labels": sorted(shown["labels"])} != wanted | {"labels": sorted(wanted["labels"] or ())}:
            yield f"{user}: {shown} instead of {wanted}"
        if row["version"] != person.version or row["has_password"] != person.has_password:
            yield f"{user} is at {row['version']} instead of {person.version}"
        if person.has_password != (user in evidence.with_password):
            yield f"{user} has a password: {person.has_password}, the vault says otherwise"
    if state.sessions != evidence.sessions:
        yield f"sessions differ: {sorted(state.sessions.keys() ^ evidence.sessions.keys())[:5]}"
    if ghosts := [
        s for s, u in state.sessions.items() if u not in state.users or state.users[u].status != "active"
    ]:
        yield f"{len(ghosts)} sessions live of people who are not active"
    yield from _claims(state, evidence)


def _claims(state: State, evidence: Evidence) -> Findings:
    wanted = {}
    for user, person in state.users.items():
        for name in ("email", "username"):
            if person.fields[name]:
                wanted[f"login:{person.org}:{person.fields[name].casefold()}"] = user
    if wanted != evidence.claims:
        yield f"names differ: {sorted(wanted.items() ^ evidence.claims.items())[:4]}"


def an_owner_can_always_sign_in(_: History, evidence: Evidence) -> Findings:
    had: set[str] = set()
    for unit, state in after_each_unit(evidence.log):
        org = unit[0].org
        if state.owners(org, evidence.roles):
            had.add(org)
        elif org in had:
            yield f"{org} has none from {unit[-1].position} on, after {unit[0].type}"
            return


def nobody_acts_after_the_right_is_gone(_: History, evidence: Evidence) -> Findings:
    """At each commit its actor was active, held a role that administers, and the session lived."""
    actors: dict[str, tuple[str, str]] = {}
    ended: set[str] = set()
    for unit, state in after_each_unit(evidence.log):
        first = unit[0]
        if first.auth_type == "app_user" and first.type != "attempt.refused":
            role, status = actors.get(first.auth_id or "", ("", ""))
            is_own = first.auth_id in (first.subject, first.data.get("user"))
            may = is_own and status == "invited"
            may |= status == "active" and (is_own or evidence.roles.get(role) in ("owner", "admin"))
            if not may:
                yield f"{first.type} at {first.position} by someone {status} as {evidence.roles.get(role)}"
            if first.data.get("session_id") in ended:
                yield f"{first.type} at {first.position} in a session that had ended"
        ended |= {event.subject for event in unit if event.type == "session.ended"}
        for user in {event.subject for event in unit} & state.users.keys():
            actors[user] = (state.users[user].role, state.users[user].status)
        for user in {event.subject for event in unit} & state.deleted:
            actors[user] = ("", "deleted")


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


MAILS = frozenset({"invitation.sent", "password.reset_requested", "mfa.reset"})
EXCUSES = frozenset(
    {"user.deactivated", "user.deleted", "invitation.voided", "invitation.accepted", "invitation.sent",
     "password.reset_requested", "password.reset_completed", "password.changed", "user.reactivated"}
)  # fmt: skip


def one_mail_goes_out_for_each_cause(_: History, evidence: Evidence) -> Findings:
    causes = {event.id: event for event in evidence.log if event.type in MAILS}
    queued = Counter(row["event_id"] for row in evidence.messages if row["event_id"] in causes)
    for id_, event in causes.items():
        if queued[id_] != 1:
            yield f"{event.type} at {event.position} has {queued[id_]} mails"
    sent: defaultdict[str, list[bool]] = defaultdict(list)
    for delivery in evidence.deliveries:
        sent[delivery.message_id.rpartition("@")[0]].append(delivery.told)
    twice = 0
    for row in evidence.messages:
        tries = sent.pop(f"{row['event_id']}.{row['kind']}", [])
        twice += max(0, tries.count(True) - 1)
        yield from _mail(row, tries, evidence)
    if twice > evidence.answers_lost:
        yield f"{twice} came twice although at most {evidence.answers_lost} answers were lost"
    if sent:
        yield f"{len(sent)} mails were sent that nobody had queued: {sorted(sent)[:3]}"


def _mail(row: Row, tries: list[bool], evidence: Evidence) -> Findings:
    if row["state"] == "sent" and not tries:
        yield f"{row['id']} is said to be sent, and never came"
    event = next((e for e in evidence.log if e.id == row["event_id"]), None)
    if row["state"] == "abandoned" and event is not None:
        later = (e for e in evidence.log if (e.position or 0) > (event.position or 0))
        if not any(e.subject == event.subject and e.type in EXCUSES for e in later):
            yield f"{row['id']} was given up for {row['error']}"


def kills_are_ordered_once(_: History, evidence: Evidence) -> Findings:
    wanted = {event.data["kill"] for event in evidence.log if event.data.get("kill")}
    ordered = Counter(row["stream"] for row in evidence.told if row["type"] == "session_kill.ordered")
    if missing := wanted - ordered.keys():
        yield f"{len(missing)} of {len(wanted)} are not ordered"
    if more := {kill: n for kill, n in ordered.items() if n > 1 or kill not in wanted}:
        yield f"{more}"


CHECKS: tuple[Callable[[History, Evidence], Findings], ...] = (
    everything_came_to_rest,
    positions_are_dense,
    versions_are_contiguous,
    what_was_acknowledged_is_durable,
    refusals_are_recorded,
    there_is_no_ghost,
    each_command_was_done_once,
    the_same_key_has_the_same_answer,
    reads_are_never_stale,
    the_users_table_is_what_the_log_says,
    an_owner_can_always_sign_in,
    nobody_acts_after_the_right_is_gone,
    kafka_holds_every_event_in_order,
    the_directory_shows_the_users,
    each_event_is_in_the_audit_once,
    nothing_of_ours_is_parked,
    one_mail_goes_out_for_each_cause,
    kills_are_ordered_once,
)
