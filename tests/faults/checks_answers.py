"""What was asked, what was answered and what the log says: the same, not only by id but in what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from muster_contracts.envelope import Envelope

from tests.faults.evidence import Evidence, Findings
from tests.faults.fold import FIELDS, State, after_each_unit
from tests.faults.history import Command, History, OwnAct

FOLLOWS = frozenset(
    {"session.ended", "ip_rule.revoked", "api_key.revoked", "invitation.voided", "invitation.sent"}
)  # fmt: skip
"""What may come with an act upon somebody, whatever it was."""
LEADS_TO = {
    ("POST", "users"): {"user.created"},
    ("POST", "deactivate"): {"user.deactivated"},
    ("POST", "reactivate"): {"user.reactivated"},
    ("POST", "resend-invitation"): set[str](),
    ("POST", "reset-password"): {"password.reset_requested"},
    ("POST", "reset-mfa"): {"mfa.reset"},
    ("DELETE", "usr"): {"user.deleted"},
    ("DELETE", "sessions"): set[str](),
    ("POST", "api-keys"): {"api_key.created"},
    ("DELETE", "key"): {"api_key.revoked"},
    ("PATCH", "organization"): {"organization.settings_changed"},
}
"""Method and end of the path → what it may lead to, beside what follows from that."""


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


# ------------------------------------------------------------------------------------- what was asked was done
def what_was_asked_is_what_was_done(history: History, evidence: Evidence) -> Findings:
    """Each unit changed what its command asked, to what it asked, and nothing else."""
    asked = {attempt.request_id: command for command in history.commands for attempt in command.attempts}
    erased = _erased(evidence)
    for unit, state in after_each_unit(evidence.log):
        command = asked.get(unit[0].correlation_id or "")
        if command is None or unit[0].type == "attempt.refused":
            continue
        where = f"{command.act} of {command.json} at {unit[0].position}"
        if more := {event.type for event in unit} - _may_lead_to(command):
            yield f"{where} led to {sorted(more)}"
        elif wrong := list(_differences(command, unit, state, evidence.roles, erased)):
            yield f"{where} led to {wrong}"


def _may_lead_to(command: Command) -> set[str]:
    end, json = command.path.rpartition("/")[2], command.json or {}
    if command.method != "PATCH" or end == "organization":
        kind = end if (command.method, end) in LEADS_TO else end.partition("_")[0]
        return LEADS_TO.get((command.method, kind), set()) | FOLLOWS
    types = {type_ for type_, name in FIELDS.items() if name in json}
    if "role" in json:
        types.add("user.role_changed")
    if "active" in json:
        types.add("user.reactivated" if json["active"] else "user.deactivated")
    return types | (FOLLOWS if "active" in json else set())


def _differences(
    command: Command, unit: Sequence[Envelope], state: State, roles: dict[str, str], erased: set[str]
) -> Iterator[str]:
    """What the unit says otherwise than the command."""
    json, user = command.json or {}, user_of(command)
    if user and (others := {event.data.get("user") for event in unit} - {user}):
        yield f"something of {sorted(map(str, others))}"
    if command.method == "PATCH" and user in state.users:
        person = state.users[user]
        yield from _unlike(json, _known(person.fields, user, erased), person.status, roles.get(person.role))
    for event in unit:
        data: Any = event.data
        match event.type:
            case "user.created":
                role, fields = roles.get(data["role"]["id"]), _known(data, data["user"], erased)
                yield from _unlike({"role": "member"} | json, fields, data["status"], role)
            case "organization.settings_changed":
                yield from (f"{name}: {data[name]}" for name in data.keys() & json.keys() - {"reason"}
                            if data[name]["new"] != json[name])  # fmt: skip
                if not data.keys() & json.keys():
                    yield "other settings"
            case "api_key.created":
                if (data["name"], sorted(data["permissions"])) != (json["name"], sorted(json["permissions"])):
                    yield f"the key {data['name']} with {data['permissions']}"
            case "password.reset_requested" if data["revoked"] != json.get("revoke_now", True):
                yield f"revoked: {data['revoked']}"
            case _:
                pass


def user_of(command: Command) -> str | None:
    """The person whom the path names."""
    parts = command.path.split("/")
    return next((part for part in parts if part.startswith("usr_")), None)


def _unlike(json: Any, fields: Any, status: str, role: str | None) -> Iterator[str]:
    """Where a person is not as a command asked."""
    for name in json.keys() & fields.keys() & set(FIELDS.values()):
        if _plain(fields[name]) != _plain(json[name]):
            yield f"{name}: {fields[name]}"
    if "role" in json and json["role"] != role:
        yield f"role: {role}"
    if "active" in json and json["active"] == (status == "inactive"):
        yield f"status: {status}"


def _erased(evidence: Evidence) -> set[str]:
    """People of whom the log tells nothing personal any more."""
    return {event.data["user"] for event in evidence.log if event.erased and event.data.get("user")}


def _known(fields: Any, user: str, erased: set[str]) -> Any:
    """What is still known of somebody."""
    return {} if user in erased else fields


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list | tuple) else value


# ------------------------------------------------------------------------------------ what was answered is true
def answers_show_what_the_log_says(history: History, evidence: Evidence) -> Findings:
    """Each person in an answer is as the log has them at that version, and as it was asked."""
    known = _every_version(evidence)
    for command in history.commands:
        for attempt in command.answered:
            if attempt.done and isinstance(attempt.body, dict):
                yield from _untrue(command, attempt.body, known, evidence.roles)


def _every_version(evidence: Evidence) -> dict[tuple[str, int], dict[str, Any]]:
    known: dict[tuple[str, int], dict[str, Any]] = {}
    erased = _erased(evidence)
    for unit, state in after_each_unit(evidence.log):
        for user in {event.subject for event in unit} & state.users.keys():
            person = state.users[user]
            shown = {name: _plain(value) for name, value in _known(person.fields, user, erased).items()}
            known[user, person.version] = shown | {"role": person.role, "status": person.status}
    return known


def _untrue(command: Command, body: Any, known: dict[Any, dict[str, Any]], roles: dict[str, str]) -> Findings:
    asked = command.json or {}
    if user := body.get("user"):
        kept = known.get((user["id"], user["version"]), {"role": None})
        shown = {name: _plain(user[name]) for name in (*FIELDS.values(), "status")}
        shown["role"] = user["role"]["id"]
        if {name: shown[name] for name in kept} != kept:
            yield f"{command.act} was answered {shown} at version {user['version']}, the log says {kept}"
        if user_of(command) not in (None, user["id"]):
            yield f"{command.act} on {command.path} was answered {user['id']}"
        if command.method == "PATCH" and (
            wrong := list(_unlike(asked, user, user["status"], roles.get(user["role"]["id"])))
        ):
            yield f"{command.act} of {asked} was answered {wrong}"
    for part in ("organization", "api_key"):
        shown = body.get(part) or {}
        if wrong := [n for n in asked.keys() & shown.keys() if _plain(asked[n]) != _plain(shown[n])]:
            yield f"{command.act} of {asked} was answered {[shown[name] for name in wrong]}"


# ------------------------------------------------------------------------------------------ upon themselves
def what_people_did_to_themselves_is_durable(history: History, evidence: Evidence) -> Findings:
    """Who was let in has a session, until something ended it; who was refused has none."""
    units = {unit[0].correlation_id: unit for unit in evidence.units().values()}
    ended = {event.subject: event.position or 0 for event in evidence.log if event.type == "session.ended"}
    for act in history.own:
        unit = units.get(act.attempt.request_id, [])
        found = [e for e in unit if e.type == act.type and e.data.get("user") == act.user]
        if act.attempt.unknown:
            continue
        if bool(found) != act.acknowledged:
            yield f"{act.type} of {act.user} was answered {act.attempt.status}, the log has {len(found)}"
        elif found and act.type == "session.started":
            yield from _session(act, found[0], ended, evidence)


def _session(act: OwnAct, event: Envelope, ended: dict[str, int], evidence: Evidence) -> Findings:
    told = act.attempt.body["session"]
    if told["id"] != event.subject:
        yield f"{act.user} was given {told['id']}, the log has {event.subject}"
    is_live = evidence.sessions.get(event.subject) == act.user
    if is_live == (ended.get(event.subject, 0) > (event.position or 0)):
        yield f"{event.subject} lives: {is_live}, the log has its end at {ended.get(event.subject)}"
