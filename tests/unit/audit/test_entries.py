"""Whose key keeps what, and ids that follow from events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from muster_contracts.attempts import AttemptRefused
from muster_contracts.envelope import Envelope
from muster_contracts.events import Actor, Change, Event, Stamp
from muster_contracts.topics import ATTEMPTS, SESSION_RECEIPTS, USERS
from muster_contracts.users import UserDeactivated
from muster_contracts.wire import wire

from services.audit.entries import TOPICS, entry_of, record_id
from services.audit.lookup import address, fold
from services.kit.ids import is_id, new_id

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ADA = Actor(type="user", id="usr_ada", name="Ada")
BEN = Actor(type="user", id="usr_ben", name="Ben")


def envelope(event: Event, actor: Actor, **more: Any) -> Envelope:
    data = wire(event, Stamp(actor=actor, ip="203.0.113.7", user_agent="B", reason="because"))
    return Envelope(
        id=new_id("evt"), source="/muster/identity", type=event.type, version=1, subject=event.stream() or "att_1",
        partition_key=event.partition_key("org_1"), sequence=1, time=NOW, org="org_1", position=7, epoch=1,
        data=data, **more,
    )  # fmt: skip


def deactivated() -> UserDeactivated:
    return UserDeactivated(user="usr_ben", kill="kil_1", status=Change(old="active", new="inactive"))


def attempt(target: str | None) -> AttemptRefused:
    return AttemptRefused(
        act="user.delete", code="last_owner", rule=None, target=target, login_hash=None, count=1
    )


def test_of_an_act_upon_another_the_actor_is_under_the_actors_key_and_the_reason_under_the_targets() -> None:
    entry = entry_of(envelope(deactivated(), ADA), USERS.name)
    parts = entry.parts()
    assert (entry.target_key, entry.actor_key) == ("usr_ben:target", "usr_ada:actor")
    assert parts.target == {"reason": "because"}
    assert parts.actor == {"ip": "203.0.113.7", "user_agent": "B", "actor": {"name": "Ada"}}


@pytest.mark.parametrize("actor", [BEN, Actor(type="anonymous")])
def test_of_an_act_upon_oneself_and_of_a_sign_in_all_is_under_the_targets_key(actor: Actor) -> None:
    parts = entry_of(envelope(deactivated(), actor), USERS.name).parts()
    assert parts.actor == {}
    assert parts.target["ip"] == "203.0.113.7"


@pytest.mark.parametrize("type_", ["system", "operator", "service"])
def test_who_is_no_person_is_under_the_key_of_the_org(type_: str) -> None:
    entry = entry_of(envelope(deactivated(), Actor(type=type_, id="svc_1", name="CRM")), USERS.name)
    assert entry.actor_key == "org_1:actor"


def test_an_attempt_upon_no_person_is_the_actors() -> None:
    entry = entry_of(envelope(attempt("rol_1"), ADA), ATTEMPTS.name)
    assert entry.person is None
    assert entry.target_type == "role"
    assert entry.parts().actor["reason"] == "because"
    assert (entry.type, entry.outcome, entry.code) == ("user.delete", "refused", "last_owner")


def test_an_attempt_upon_nothing_has_no_target() -> None:
    entry = entry_of(envelope(attempt(None), ADA), ATTEMPTS.name)
    assert (entry.target_type, entry.target_id) == (None, None)


def test_a_records_id_follows_from_the_event() -> None:
    event = envelope(deactivated(), ADA)
    assert record_id(event, USERS.name) == "aud_" + event.id.removeprefix("evt_")
    foreign = replace(event, id="anything at all")
    assert is_id(record_id(foreign, SESSION_RECEIPTS.name), "aud")
    assert record_id(foreign, SESSION_RECEIPTS.name) == record_id(foreign, SESSION_RECEIPTS.name)


def test_another_service_cannot_choose_the_id_of_a_record() -> None:
    event = envelope(deactivated(), ADA)
    assert record_id(event, SESSION_RECEIPTS.name) != record_id(event, USERS.name)


def test_only_identitys_topics_have_positions() -> None:
    event = envelope(deactivated(), ADA)
    assert entry_of(event, USERS.name).position == 7
    assert entry_of(event, SESSION_RECEIPTS.name).position is None


def test_every_topic_but_the_directory_is_read() -> None:
    assert set(TOPICS) == {
        "muster.users", "muster.organizations", "muster.session-kills", "muster.session-receipts",
        "muster.attempts", "muster.notifications",
    }  # fmt: skip


def test_text_is_compared_without_case_and_accents() -> None:
    assert fold("Müller ÉCOLE ﬁn Straße İ") == fold("muller ecole fin STRASSE i̇")


@pytest.mark.parametrize(
    ("text", "found"),
    [("10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("x", None), (None, None), (7, None)],
)
def test_what_is_no_address_is_none(text: Any, found: str | None) -> None:
    assert (str(address(text)) if address(text) else None) == found
