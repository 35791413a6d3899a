"""The comparison of what was told with what there is: each check returns its findings, one sentence each.

None of them knows which faults there were: whatever happened, these hold.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

from tests.faults.checks_answers import (
    answers_show_what_the_log_says,
    what_people_did_to_themselves_is_durable,
    what_was_acknowledged_is_durable,
    what_was_asked_is_what_was_done,
)
from tests.faults.checks_mail import kills_are_ordered_once, one_mail_goes_out_for_each_cause
from tests.faults.checks_published import (
    FROM_IDENTITY,
    FROM_NOTIFIER,
    each_event_is_in_the_audit_once,
    kafka_holds_every_event_in_order,
    kafka_says_what_the_logs_say,
    nothing_of_ours_is_parked,
    the_audit_finds_what_the_logs_say,
    the_directory_shows_the_users,
)
from tests.faults.checks_rights import (
    an_owner_can_always_sign_in,
    keys_hold_no_more_than_their_makers,
    nobody_acts_after_the_right_is_gone,
)
from tests.faults.evidence import Evidence, Findings
from tests.faults.fold import State
from tests.faults.history import KEPT_REFUSALS, Attempt, History

__all__ = ["FROM_IDENTITY", "FROM_NOTIFIER", "check"]


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


CHECKS: tuple[Callable[[History, Evidence], Findings], ...] = (
    everything_came_to_rest,
    positions_are_dense,
    versions_are_contiguous,
    what_was_acknowledged_is_durable,
    what_was_asked_is_what_was_done,
    answers_show_what_the_log_says,
    what_people_did_to_themselves_is_durable,
    refusals_are_recorded,
    there_is_no_ghost,
    each_command_was_done_once,
    the_same_key_has_the_same_answer,
    reads_are_never_stale,
    the_users_table_is_what_the_log_says,
    an_owner_can_always_sign_in,
    nobody_acts_after_the_right_is_gone,
    keys_hold_no_more_than_their_makers,
    kafka_holds_every_event_in_order,
    kafka_says_what_the_logs_say,
    the_directory_shows_the_users,
    each_event_is_in_the_audit_once,
    the_audit_finds_what_the_logs_say,
    nothing_of_ours_is_parked,
    one_mail_goes_out_for_each_cause,
    kills_are_ordered_once,
)
