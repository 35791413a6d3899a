"""What `muster events tail` selects and how it shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from muster_contracts.envelope import Envelope

from services.cli.events import Filter, line, structured


def envelope(**changes: Any) -> Envelope:
    given: dict[str, Any] = {
        "id": "evt_1", "source": "/muster/identity", "type": "session.ended", "version": 1, "subject": "ses_1",
        "partition_key": "usr_1", "sequence": 2, "time": datetime(2026, 11, 24, 12, 0, 0, 1500, tzinfo=UTC),
        "org": "org_1", "position": 17, "epoch": 1, "auth_id": "usr_9",
        "data": {"user": "usr_1", "actor": {"type": "user", "id": "usr_9", "name": "Grace\x1b[2J Hopper"}},
    }  # fmt: skip
    return Envelope(**given | changes)


@pytest.mark.parametrize(
    ("types", "wanted"),
    [((), True), (("session.ended",), True), (("session",), True), (("session.",), True), (("user", "session"), True),
     (("sess",), False), (("user",), False), (("session.ended.twice",), False)],
)  # fmt: skip
def test_a_type_selects_itself_and_a_kind_all_of_it(types: tuple[str, ...], wanted: bool):
    assert Filter(types).wants(envelope()) is wanted


@pytest.mark.parametrize(("user", "wanted"), [("usr_1", True), ("usr_9", True), ("usr_2", False)])
def test_a_user_selects_what_is_about_or_by_them(user: str, wanted: bool):
    assert Filter((), user).wants(envelope()) is wanted


def test_an_attempt_is_about_its_target():
    attempt = envelope(
        type="attempt.refused", subject="att_1", partition_key="org_1", data={"target": "usr_1"}
    )
    assert Filter((), "usr_1").wants(attempt)


def test_a_line_obeys_no_name():
    assert line(envelope()) == (
        "2026-11-24T12:00:00.001Z  session.ended                ses_1 #2  by Grace\N{REPLACEMENT CHARACTER}[2J Hopper"
    )


def test_a_line_names_the_kind_of_an_actor_without_name_and_id():
    assert line(envelope(data={"actor": {"type": "system"}})).endswith("by system")


def test_json_is_a_structured_cloudevent_without_what_is_absent():
    assert json.loads(structured(envelope(data={"user": "usr_1"}))) == {
        "specversion": "1.0", "id": "evt_1", "source": "/muster/identity", "type": "muster.session.ended",
        "dataschema": "urn:muster:schema:session.ended:1", "datacontenttype": "application/json",
        "subject": "ses_1", "partitionkey": "usr_1", "sequence": 2, "time": "2026-11-24T12:00:00.001500Z",
        "org": "org_1", "position": 17, "epoch": 1, "authid": "usr_9", "data": {"user": "usr_1"},
    }  # fmt: skip
