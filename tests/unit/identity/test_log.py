"""Rows of the log and the envelopes made of them: what is sealed, under which key, and what erasure leaves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from muster_contracts.events import Actor, Change, Event, Stamp
from muster_contracts.organizations import OrganizationSettingsChanged
from muster_contracts.personal import split
from muster_contracts.sessions import SessionStarted
from muster_contracts.users import UserRenamed

from services.identity.log import AUTH_TYPES, UnreadableEvent, envelope, seal
from services.kit.sealing import Sealer, new_key

ORG, ADA, GRACE, SESSION = "org_1", "usr_ada", "usr_grace", "ses_1"
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
RENAMED = UserRenamed(user=ADA, name=Change(old="Ada Lovelace", new="Ada King"))
STAMP = Stamp(
    actor=Actor(type="user", id=GRACE, name="Grace Hopper"),
    ip="203.0.113.7",
    user_agent="curl",
    reason="wedding",
)


def row(event: Event, sealers: dict[str, Sealer], *, person: str | None = ADA, actor: str = GRACE) -> Any:
    """A row of `events`, as the store writes it."""
    self_act = person == actor
    parts = split(event, STAMP, self_act=self_act)
    sealed = seal("evt_1", parts, sealers.get(person or ""), None if self_act else sealers[actor])
    return {
        "position": 17, "epoch": 2, "id": "evt_1", "org": ORG, "stream": event.stream(), "version": 5,
        "type": event.type, "schema_version": event.version, "action": "act_1", "occurred_at": NOW,
        "recorded_at": NOW, "request_id": "req_1", "traceparent": None, "causation_id": None,
        "actor_type": "user", "actor_id": actor, "open": sealed.open, "target": sealed.target,
        "actor": sealed.actor, "target_key": person, "actor_key": None if self_act else actor,
        "key_id": None,
    }  # fmt: skip


@pytest.fixture
def sealers() -> dict[str, Sealer]:
    return {ADA: Sealer(new_key()), GRACE: Sealer(new_key())}


def test_an_event_comes_back_as_it_was_written(sealers: dict[str, Sealer]):
    found = envelope(row(RENAMED, sealers), dict(sealers))
    assert found.event() == RENAMED
    assert found.stamp() == STAMP
    assert (found.subject, found.sequence, found.partition_key, found.org) == (ADA, 5, ADA, ORG)
    assert (found.source, found.position, found.epoch) == ("/muster/identity", 17, 2)
    assert (found.auth_type, found.auth_id, found.data_classification) == ("app_user", GRACE, "personal")


def test_nothing_personal_stands_open_in_a_row(sealers: dict[str, Sealer]):
    text = repr(row(RENAMED, sealers))
    assert not [word for word in ("Ada", "Grace Hopper", "203.0.113.7", "curl", "wedding") if word in text]


def test_the_key_of_an_event_about_a_session_is_its_user(sealers: dict[str, Sealer]):
    started = SessionStarted(user=ADA, session=SESSION, amr=("pwd",), expires_at=NOW)
    found = envelope(row(started, sealers), dict(sealers))
    assert (found.subject, found.partition_key) == (SESSION, ADA)


def test_the_key_of_an_event_about_an_organization_is_the_organization(sealers: dict[str, Sealer]):
    changed = OrganizationSettingsChanged(organization=ORG, mfa_enforced=Change(old=False, new=True))
    found = envelope(row(changed, sealers, person=None), dict(sealers))
    assert found.partition_key == ORG
    assert found.stamp().reason == "wedding"


def test_who_was_erased_reads_as_null_and_erased_while_the_actor_stays(sealers: dict[str, Sealer]):
    data = envelope(row(RENAMED, sealers), {**sealers, ADA: None}).data
    assert (data["name"], data["reason"], data["erased"]) == ({"old": None, "new": None}, None, True)
    assert (data["actor"]["name"], data["ip"]) == ("Grace Hopper", "203.0.113.7")


def test_an_erased_actor_leaves_what_the_event_says_of_its_target(sealers: dict[str, Sealer]):
    data = envelope(row(RENAMED, sealers), {**sealers, GRACE: None}).data
    assert data["actor"] == {"type": "user", "id": GRACE, "name": None, "erased": True}
    assert (data["ip"], data["user_agent"]) == (None, None)
    assert (data["name"]["new"], data["reason"]) == ("Ada King", "wedding")


def test_an_act_upon_oneself_is_wholly_under_ones_own_key(sealers: dict[str, Sealer]):
    own = row(RENAMED, sealers, actor=ADA)
    assert own["actor"] is None
    assert envelope(own, dict(sealers)).stamp().ip == "203.0.113.7"
    assert envelope(own, {ADA: None}).data["ip"] is None


def test_what_would_be_sealed_under_a_destroyed_key_is_not_kept(sealers: dict[str, Sealer]):
    written = row(RENAMED, {GRACE: sealers[GRACE]})
    assert written["target"] is None
    assert envelope(written, {**sealers, ADA: None}).data["erased"] is True


def test_a_part_does_not_open_in_another_place(sealers: dict[str, Sealer]):
    moved = row(RENAMED, sealers) | {"id": "evt_2"}
    with pytest.raises(UnreadableEvent, match="position 17"):
        envelope(moved, dict(sealers))


def test_an_unknown_type_is_unreadable_and_never_skipped(sealers: dict[str, Sealer]):
    with pytest.raises(UnreadableEvent, match=r"user\.levitated"):
        envelope(row(RENAMED, sealers) | {"type": "user.levitated"}, dict(sealers))


def test_a_row_without_its_user_is_unreadable(sealers: dict[str, Sealer]):
    with pytest.raises(UnreadableEvent, match="KeyError"):
        envelope(row(RENAMED, sealers) | {"open": {}}, dict(sealers))


@pytest.mark.parametrize(("actor_type", "auth_type"), AUTH_TYPES.items())
def test_each_kind_of_actor_has_its_auth_type(sealers: dict[str, Sealer], actor_type: str, auth_type: str):
    assert envelope(row(RENAMED, sealers) | {"actor_type": actor_type}, dict(sealers)).auth_type == auth_type


def test_what_a_person_does_by_an_api_key_does_not_look_like_their_session(sealers: dict[str, Sealer]):
    found = envelope(row(RENAMED, sealers) | {"key_id": "key_1"}, dict(sealers))
    assert (found.auth_type, found.auth_id) == ("api_key", GRACE)
