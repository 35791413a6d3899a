"""Which event leads to which mail, and which to a session kill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from muster_contracts.credentials import (
    Factor,
    MfaReset,
    PasswordChanged,
    PasswordResetCompleted,
    PasswordResetRequested,
)
from muster_contracts.envelope import Envelope
from muster_contracts.events import Actor, Change, Event, Stamp
from muster_contracts.sessions import SessionEnded
from muster_contracts.users import InvitationSent, UserDeactivated, UserDeleted, UserEmailChanged, UserRenamed
from muster_contracts.wire import wire

from services.notifier.reactions import Reaction, react

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEN, ADA, KILL, LINK = "usr_ben", "usr_ada", "kil_1", "lnk_1"
LATER = NOW + timedelta(hours=24)
BY_ADA = Actor(type="user", id=ADA, name="Ada Owner")
BY_BEN = Actor(type="user", id=BEN, name="Ben Miller")
BY_NOBODY = Actor(type="anonymous")


def reaction(event: Event, actor: Actor = BY_ADA, *, age: timedelta = timedelta(), **data) -> Reaction | None:
    envelope = Envelope(
        id="evt_1", source="/muster/identity", type=event.type, version=event.version, subject=BEN,
        partition_key=BEN, sequence=1, time=NOW - age, org="org_1", action="act_1", correlation_id="req_1",
        data=wire(event, Stamp(actor=actor, ip="203.0.113.7", reason="because")) | data,
    )  # fmt: skip
    return react(envelope, NOW)


def kinds(found: Reaction | None) -> list[str]:
    return [draft.kind for draft in found.drafts] if found else []


def requested(**more: Any) -> PasswordResetRequested:
    fields: dict[str, Any] = {
        "user": BEN, "link": LINK, "expires_at": LATER, "by_admin": True, "revoked": True, "kill": KILL,
        "email": "ben@acme.example",
    }  # fmt: skip
    return PasswordResetRequested(**(fields | more))


def mfa_reset() -> MfaReset:
    return MfaReset(
        user=BEN, factors=(Factor(id="fac_1", type="totp"),), recovery_codes_deleted=10, kill=KILL
    )


def email_changed() -> UserEmailChanged:
    return UserEmailChanged(user=BEN, email=Change(old="ben@acme.example", new="b@acme.example"))


def test_an_invitation_is_mailed_while_its_link_is_open():
    found = reaction(InvitationSent(user=BEN, link=LINK, expires_at=LATER, email="ben@acme.example"))
    assert found is not None
    [draft] = found.drafts
    assert (draft.kind, draft.link, draft.expires_at) == ("invitation", LINK, LATER)
    assert draft.personal == {"known": "ben@acme.example", "actor": "Ada Owner"}
    assert found.kill is None


@pytest.mark.parametrize(
    ("event", "actor", "kind"),
    [
        (requested(), BY_ADA, "reset_by_admin"),
        (requested(), BY_BEN, "reset_by_self"),
        (requested(by_admin=False, revoked=False, kill=None), BY_NOBODY, "reset_by_self"),
    ],
)
def test_a_reset_has_other_words_when_an_administrator_asked(event: Event, actor: Actor, kind: str):
    assert kinds(reaction(event, actor)) == [kind]


def test_the_first_password_is_no_news_and_each_later_one_is():
    assert reaction(PasswordChanged(user=BEN, kill=None), BY_BEN) is None
    found = reaction(PasswordChanged(user=BEN, kill=KILL), BY_BEN)
    assert kinds(found) == ["password_changed"]
    assert found
    assert found.kill == KILL


def test_a_completed_reset_is_told_as_a_changed_password():
    found = reaction(PasswordResetCompleted(user=BEN, link=LINK, kill=KILL), BY_NOBODY)
    assert found
    [draft] = found.drafts
    assert (draft.kind, draft.facts, draft.link) == ("password_changed", {"by_link": True}, None)
    assert draft.personal == {"ip": "203.0.113.7"}


def test_a_reset_of_mfa_is_told_with_the_name_but_never_the_address_of_who_did_it():
    found = reaction(mfa_reset())
    assert kinds(found) == ["mfa_reset"]
    assert found
    assert found.drafts[0].personal == {"actor": "Ada Owner"}


def test_a_changed_address_is_told_to_both_addresses():
    found = reaction(email_changed())
    assert found
    assert {draft.kind: draft.personal["to"] for draft in found.drafts} == {
        "email_changed": "b@acme.example",
        "email_changed_away": "ben@acme.example",
    }


def test_nobody_is_told_about_an_erased_person():
    assert reaction(email_changed(), erased=True, email={"old": None, "new": None}) is None


@pytest.mark.parametrize(
    ("actor", "name"),
    [
        (Actor(type="service", id="svc_1", name="Provisioning"), "Provisioning"),
        (Actor(type="service", id="svc_1"), "An API key"),
        (Actor(type="operator"), "An operator"),
        (Actor(type="user", id=ADA, erased=True), None),
    ],
)
def test_whoever_did_it_is_named_as_well_as_can_be(actor: Actor, name: str | None):
    found = reaction(mfa_reset(), actor)
    assert found
    assert found.drafts[0].personal.get("actor") == name


@pytest.mark.parametrize(
    "event",
    [
        UserDeactivated(user=BEN, kill=KILL, status=Change(old="active", new="inactive")),
        UserDeleted(user=BEN, kill=KILL, name="Ben", email="ben@acme.example"),
        SessionEnded(user=BEN, session="ses_1", cause="signed_out", kill=KILL),
        mfa_reset(),
        requested(),
        PasswordResetCompleted(user=BEN, link=LINK, kill=KILL),
    ],
)
def test_whatever_names_a_kill_leads_to_one(event: Event):
    found = reaction(event)
    assert found
    assert found.kill == KILL


def test_what_names_no_kill_leads_to_none():
    assert reaction(SessionEnded(user=BEN, session="ses_1", cause="expired", kill=None)) is None
    assert reaction(UserRenamed(user=BEN, name=Change(old="Ben", new="Benjamin"))) is None


def test_history_is_not_told_anew_but_its_kills_are_ordered():
    found = reaction(mfa_reset(), age=timedelta(days=8))
    assert found
    assert (found.drafts, found.kill) == ((), KILL)


def test_a_notice_is_not_sent_after_a_week():
    found = reaction(mfa_reset(), age=timedelta(days=2))
    assert found
    assert found.drafts[0].expires_at == NOW + timedelta(days=5)


def test_only_a_deletion_erases():
    deleted = reaction(UserDeleted(user=BEN, kill=KILL, name="Ben", email="ben@acme.example"))
    reset = reaction(mfa_reset())
    assert deleted
    assert reset
    assert (deleted.erases, reset.erases) == (True, False)


def test_a_cause_carries_what_later_events_name():
    found = reaction(mfa_reset())
    assert found
    cause = found.cause
    assert (cause.event_id, cause.org, cause.user, cause.action, cause.correlation_id) == (
        "evt_1", "org_1", BEN, "act_1", "req_1",
    )  # fmt: skip


def test_addresses_do_not_show_in_a_representation():
    assert "acme.example" not in repr(reaction(email_changed()))
