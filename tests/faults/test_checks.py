"""Each check finds what it is for, in made-up evidence that holds it, and nothing where it does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from muster_contracts.envelope import Envelope, to_record

from tests.faults import checks_answers as answers
from tests.faults import checks_published as published
from tests.faults import checks_rights as rights
from tests.faults.history import Attempt, Command, History, OwnAct
from tests.faults.made_up import MadeUp, at
from tests.support.plain_kafka import Read

KEY = {"key": "key_1", "name": "k", "permissions": ["users.read"], "expires_at": None, "service": None}


def _renamed(user: str, old: str, new: str) -> dict[str, dict[str, Any]]:
    return {"user.renamed": {"user": user, "name": {"old": old, "new": new}}}


def _demoted(user: str) -> dict[str, dict[str, Any]]:
    role = {"old": {"id": "rol_admin", "name": "Admin"}, "new": {"id": "rol_member", "name": "Member"}}
    return {"user.role_changed": {"user": user, "role": role}}


def _found(check: Any, made: MadeUp) -> list[str]:
    return list(check(made.history, made.evidence()))


# ------------------------------------------------------------------------------------------------------ rights
def test_an_administrator_may_act_and_everybody_on_themself() -> None:
    made = MadeUp()
    made.did("usr_admin", _renamed("usr_member", "M", "N"))
    made.did("usr_admin", {"api_key.created": KEY | {"user": "usr_admin"}})
    made.did("usr_member", _renamed("usr_member", "N", "O"))
    assert _found(rights.nobody_acts_after_the_right_is_gone, made) == []
    assert _found(rights.keys_hold_no_more_than_their_makers, made) == []


def test_a_key_that_a_demoted_admin_makes_is_found() -> None:
    made = MadeUp()
    made.did("usr_owner", _demoted("usr_admin"))
    made.did("usr_admin", {"api_key.created": KEY | {"user": "usr_admin"}})
    [finding] = _found(rights.nobody_acts_after_the_right_is_gone, made)
    assert "api_key.created" in finding
    [finding] = _found(rights.keys_hold_no_more_than_their_makers, made)
    assert "may not make keys" in finding


def test_a_role_that_somebody_gives_themself_is_found() -> None:
    made = MadeUp()
    made.did("usr_owner", _demoted("usr_admin"))
    given = {"old": {"id": "rol_member"}, "new": {"id": "rol_admin"}}
    made.did("usr_admin", {"user.role_changed": {"user": "usr_admin", "role": given}})
    [finding] = _found(rights.nobody_acts_after_the_right_is_gone, made)
    assert "user.role_changed" in finding


def test_what_hides_behind_an_own_act_in_the_same_unit_is_found() -> None:
    made = MadeUp()
    both = _renamed("usr_member", "M", "N") | {"user.labels_changed": {"user": "usr_member", "labels": None}}
    made.did("usr_member", both)
    assert len(_found(rights.nobody_acts_after_the_right_is_gone, made)) == 1


def test_a_key_with_more_than_a_key_may_hold_is_found() -> None:
    made = MadeUp()
    held = ["api_keys.manage", "users.read"]
    made.did("usr_admin", {"api_key.created": KEY | {"user": "usr_admin", "permissions": held}})
    [finding] = _found(rights.keys_hold_no_more_than_their_makers, made)
    assert "api_keys.manage" in finding


def test_a_key_with_more_than_its_maker_holds_is_found() -> None:
    made = MadeUp()
    less = {"role": "rol_admin", "permissions": {"old": [], "new": ["api_keys.manage", "users.read"]}}
    made.did("usr_owner", {"role.changed": less})
    made.did("usr_admin", {"api_key.created": KEY | {"user": "usr_admin"}})
    made.did(
        "usr_admin",
        {"api_key.created": KEY | {"user": "usr_admin", "key": "key_2", "permissions": ["users.edit"]}},
    )
    [finding] = _found(rights.keys_hold_no_more_than_their_makers, made)
    assert "users.edit" in finding


def test_an_act_in_a_session_that_had_ended_is_found() -> None:
    made = MadeUp()
    ended = {"user": "usr_admin", "session": "ses_1", "cause": "signed_out", "kill": None}
    made.did("usr_admin", _renamed("usr_member", "M", "N"), session_id="ses_1")
    made.did("usr_admin", {"session.ended": ended}, session_id="ses_1")
    assert _found(rights.nobody_acts_after_the_right_is_gone, made) == []
    made.did("usr_admin", _renamed("usr_member", "N", "O"), session_id="ses_1")
    assert len(_found(rights.nobody_acts_after_the_right_is_gone, made)) == 1


# ----------------------------------------------------------------------------------------------------- answers
RENAME = ("PATCH", "/v1/users/usr_member")


def _shown(made: MadeUp, **changed: Any) -> dict[str, Any]:
    """The Member as an answer shows them after the last commit."""
    fields = dict.fromkeys(("username", "phone", "timezone"))
    shown = {"id": "usr_member", "email": "usr_member@x.example", "name": "N", "labels": [], **fields}
    version = made.versions["usr_member"]
    return {"user": shown | {"role": {"id": "rol_member"}, "status": "active", "version": version} | changed}


def test_a_change_to_what_was_asked_is_as_it_should_be() -> None:
    made = MadeUp()
    unit = made.did("usr_admin", _renamed("usr_member", "usr_member", "N"))
    made.asked(unit, *RENAME, {"name": "N"}, _shown(made))
    assert _found(answers.what_was_acknowledged_is_durable, made) == []
    assert _found(answers.what_was_asked_is_what_was_done, made) == []
    assert _found(answers.answers_show_what_the_log_says, made) == []


@pytest.mark.parametrize(
    ("json", "path"),
    [
        ({"name": "another"}, "/v1/users/usr_member"),
        ({"name": "N", "phone": "+49301234567"}, "/v1/users/usr_member"),
        ({"timezone": "UTC"}, "/v1/users/usr_member"),
        ({"name": "N", "role": "admin"}, "/v1/users/usr_member"),
        ({"name": "N", "active": False}, "/v1/users/usr_member"),
        ({"name": "N"}, "/v1/users/usr_admin"),
    ],
)
def test_a_change_to_something_else_is_found(json: dict[str, Any], path: str) -> None:
    made = MadeUp()
    made.asked(made.did("usr_admin", _renamed("usr_member", "usr_member", "N")), "PATCH", path, json)
    assert len(_found(answers.what_was_asked_is_what_was_done, made)) == 1


@pytest.mark.parametrize("given", ["admin", "owner"])
def test_another_role_than_the_one_asked_is_found(given: str) -> None:
    made = MadeUp()
    role = {"old": {"id": "rol_member"}, "new": {"id": f"rol_{given}"}}
    unit = made.did("usr_owner", {"user.role_changed": {"user": "usr_member", "role": role}})
    made.asked(unit, *RENAME, {"role": "admin"})
    assert len(_found(answers.what_was_asked_is_what_was_done, made)) == (given != "admin")


@pytest.mark.parametrize("kept", ["asked@x.example", "other@x.example"])
def test_another_invitation_than_the_one_asked_is_found(kept: str) -> None:
    made = MadeUp()
    fields = dict.fromkeys(("username", "phone", "timezone")) | {"name": "New", "email": kept, "labels": []}
    created = {"user": "usr_new", "role": {"id": "rol_member"}, "status": "invited"} | fields
    sent = {"user": "usr_new", "link": "lnk_1", "expires_at": "", "email": kept}
    unit = made.did("usr_admin", {"user.created": created, "invitation.sent": sent})
    made.asked(unit, "POST", "/v1/users", {"email": "asked@x.example", "name": "New"})
    assert len(_found(answers.what_was_asked_is_what_was_done, made)) == (kept != "asked@x.example")


def test_nothing_is_expected_of_what_was_erased() -> None:
    made = MadeUp()
    fields = dict.fromkeys(("username", "phone", "timezone", "name", "email")) | {"labels": []}
    created = {"user": "usr_new", "role": {"id": "rol_member"}, "status": "invited", "erased": True} | fields
    unit = made.did("usr_admin", {"user.created": created})
    shown = {**_shown(made)["user"], "id": "usr_new", "status": "invited", "version": 1}
    made.asked(unit, "POST", "/v1/users", {"email": "new@x.example", "name": "New"}, {"user": shown})
    assert _found(answers.what_was_asked_is_what_was_done, made) == []
    assert _found(answers.answers_show_what_the_log_says, made) == []


@pytest.mark.parametrize("kept", ["asked", "other"])
def test_other_settings_than_those_asked_are_found(kept: str) -> None:
    made = MadeUp()
    changed = {"organization": "org_1", "support_contact": {"old": None, "new": kept}}
    unit = made.did("usr_owner", {"organization.settings_changed": changed})
    made.asked(unit, "PATCH", "/v1/organization", {"support_contact": "asked"})
    assert len(_found(answers.what_was_asked_is_what_was_done, made)) == (kept != "asked")


@pytest.mark.parametrize("changed", [{"name": "M"}, {"role": {"id": "rol_admin"}}, {"version": 99}])
def test_an_answer_that_is_not_in_the_log_is_found(changed: dict[str, Any]) -> None:
    made = MadeUp()
    unit = made.did("usr_admin", _renamed("usr_member", "usr_member", "N"))
    made.asked(unit, *RENAME, {}, _shown(made, **changed))
    assert len(_found(answers.answers_show_what_the_log_says, made)) == 1


def test_an_answer_that_nothing_had_to_change_is_found_where_something_had_to() -> None:
    made = MadeUp()
    shown = _shown(made, name="usr_member")
    attempt = Attempt("req_1", "identity-1", 0, 0, 200, {"events": [], **shown})
    for name in ("usr_member", "N"):
        command = Command("org_1", "usr_admin", "edit", None, None, *RENAME, {"name": name}, [attempt])
        made.history.commands = [command]
        assert len(_found(answers.answers_show_what_the_log_says, made)) == (name == "N")


def _signed_in(made: MadeUp, *, kept: bool = True, status: int = 200) -> None:
    started = {"user": "usr_member", "session": "ses_1", "amr": ["pwd"], "expires_at": ""}
    if kept:
        made.did("usr_member", {"session.started": started})
        made.more["sessions"] = {"ses_1": "usr_member"}
    body = {"next": "done", "session": {"id": "ses_1"}}
    attempt = Attempt(made.log[-1].correlation_id or "", "identity-1", 0, 0, status, body)
    made.history.own.append(OwnAct("usr_member", "session.started", attempt))


def test_a_sign_in_that_lives_is_as_it_should_be() -> None:
    made = MadeUp()
    _signed_in(made)
    assert _found(answers.what_people_did_to_themselves_is_durable, made) == []


@pytest.mark.parametrize("wrong", [{"kept": False}, {"status": 401}])
def test_a_sign_in_that_the_log_does_not_tell_as_it_was_answered_is_found(wrong: dict[str, Any]) -> None:
    made = MadeUp()
    _signed_in(made, **wrong)
    assert len(_found(answers.what_people_did_to_themselves_is_durable, made)) == 1


def test_a_session_that_is_gone_without_an_end_is_found() -> None:
    made = MadeUp()
    _signed_in(made)
    made.more["sessions"] = {}
    assert len(_found(answers.what_people_did_to_themselves_is_durable, made)) == 1
    ended = {"user": "usr_member", "session": "ses_1", "cause": "deactivated", "kill": "kil_1"}
    made.did("usr_owner", {"session.ended": ended})
    assert _found(answers.what_people_did_to_themselves_is_durable, made) == []


# --------------------------------------------------------------------------------------------------- published
def _on_kafka(made: MadeUp, event: Envelope) -> None:
    record = to_record(event)
    headers = {name: value.decode() for name, value in record.headers}
    read = Read(record.topic, 0, 0, 0, record.key.decode(), record.value, headers)
    topics = (*published.FROM_IDENTITY, *published.FROM_NOTIFIER)
    made.more["kafka"] = {topic: [read] if topic == record.topic else [] for topic in topics}


@pytest.mark.parametrize(
    ("changed", "findings"),
    [
        ({}, 0),
        ({"data": {"user": "usr_member", "name": {"old": "M", "new": "X"}, "actor": {"type": "user"}}}, 1),
        ({"sequence": 17}, 1),
        ({"partition_key": "usr_admin"}, 1),
        ({"data": {"user": "usr_member", "name": None, "actor": {"type": "user"}, "erased": True}}, 0),
    ],
)
def test_a_record_that_says_something_else_than_the_log_is_found(
    changed: dict[str, Any], findings: int
) -> None:
    made = MadeUp()
    [event] = made.did("usr_admin", _renamed("usr_member", "M", "N"))
    _on_kafka(made, dataclasses.replace(event, **changed))
    assert len(_found(published.kafka_says_what_the_logs_say, made)) == findings


@pytest.mark.parametrize(
    ("changed", "findings"), [({}, 0), ({"actor": "usr_owner"}, 1), ({"target": None}, 1), ({"type": "x"}, 1)]
)
def test_a_record_that_is_found_as_something_else_is_found(changed: dict[str, Any], findings: int) -> None:
    made = MadeUp()
    [event] = made.did("usr_admin", _renamed("usr_member", "M", "N"))
    row = {"id": event.id.replace("evt", "aud"), "org": "org_1", "seq": 0, "type": "user.renamed"}
    row |= {"outcome": "done", "actor": "usr_admin", "target": "usr_member", "occurred_at": at(made.clock)}
    made.more["audit"] = [row | changed]
    assert len(_found(published.the_audit_finds_what_the_logs_say, made)) == findings


# ------------------------------------------------------------------------------------------------------ history
def test_refusals_and_replays_are_no_work_that_was_done() -> None:
    def command(*attempts: Attempt) -> Command:
        return Command("org_1", "usr_admin", "edit", None, "key", *RENAME, {}, list(attempts))

    def attempt(began: float, status: int | None, *, replayed: bool = False) -> Attempt:
        return Attempt("req", "identity-1", began, began + 1, status, {}, replayed)

    history = History(0)
    history.commands = [
        command(attempt(0, 200), attempt(20, 200, replayed=True)),
        command(attempt(11, 200)),
        command(attempt(12, None), attempt(13, 200, replayed=True)),
        command(attempt(14, 403)),
        command(attempt(9, None), attempt(15, 201)),
    ]
    assert history.acknowledged == 5
    assert history.rate() == 3 / 15
