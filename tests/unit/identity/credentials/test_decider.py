"""What happens to a person's proofs: given (a person), when (a command), then (events or a refusal)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from muster_contracts.credentials import (
    Factor as RemovedFactor,
)
from muster_contracts.credentials import (
    MfaEnrolled,
    MfaFactorRemoved,
    MfaReset,
    PasswordChanged,
    PasswordResetCompleted,
    PasswordResetRequested,
    RecoveryCodesGenerated,
)
from muster_contracts.events import Change, Event
from muster_contracts.sessions import IpRuleRevoked, SessionEnded
from muster_contracts.users import InvitationAccepted, UserRenamed

from services.identity import permissions as rights
from services.identity.credentials import decider
from services.identity.credentials.decider import (
    Accept,
    Activate,
    ChangePassword,
    Command,
    CompleteReset,
    MfaNotEnabled,
    RemoveFactor,
    RenewCodes,
    RequestReset,
    ResetMfa,
    ResetPassword,
    UserInvited,
    decide,
)
from services.identity.rules import (
    By,
    ConfirmationRequired,
    LastAdministrator,
    LastOwner,
    LinkInvalid,
    OwnerProtected,
    Remaining,
    SelfAction,
    TargetOutranks,
    VersionConflict,
)
from services.identity.users.decider import NewLink, UserInactive
from services.identity.users.situation import LiveSession, OpenLink, Role, Rule, Situation
from services.identity.users.state import ACTIVE, INACTIVE, INVITED, Factor, User
from services.kit.errors import MusterError, NotFound

NOW = datetime(2026, 11, 24, tzinfo=UTC)
SOON = NOW + timedelta(hours=1)
LINK = NewLink("lnk_new", SOON)
TOTP = Factor("fac_1", "totp", NOW)
ADMIN = By("usr_admin", rights.ALL, is_owner=False, confirmed=True)
OWNER = replace(ADMIN, id="usr_owner", is_owner=True)
ITSELF = By("usr_ada", frozenset(), is_owner=False, confirmed=True)
MEMBER_ROLE = Role("rol_m", "Member", "member", frozenset(), 1)
OWNER_ROLE = Role("rol_o", "Owner", "owner", rights.ALL, 1)
ADA = User(
    id="usr_ada", org="org_1", email="ada@acme.example", name="Ada", username=None, phone=None, timezone=None,
    labels=(), role="rol_m", status=ACTIVE, accepted=True, has_password=True, factors=(), recovery_codes=0,
    created_at=NOW, last_sign_in_at=None, password_changed_at=NOW, version=7,
)  # fmt: skip
SESSIONS = (LiveSession("ses_1", 2, Rule("ipr_1", "203.0.113.7/32")), LiveSession("ses_2", 1, None))


def given(
    *,
    role: Role = MEMBER_ROLE,
    sessions: tuple[LiveSession, ...] = SESSIONS,
    links: tuple[OpenLink, ...] = (),
    remaining: Remaining | None = None,
    **user: Any,
) -> Situation:
    person = ADA._replace(**user)
    return Situation(person, role, sessions, (), links, remaining or Remaining(1, 1), {})


def ended(cause: str, kill: str, *, first: bool = True) -> list[Event]:
    events: list[Event] = [
        SessionEnded(user="usr_ada", session="ses_1", cause=cause, kill=kill),
        IpRuleRevoked(user="usr_ada", session="ses_1", id="ipr_1", network="203.0.113.7/32"),
        SessionEnded(user="usr_ada", session="ses_2", cause=cause, kill=kill),
    ]
    return events if first else events[2:]


def requested(link: NewLink = LINK, **more: Any) -> PasswordResetRequested:
    fields: dict[str, Any] = {"by_admin": False, "revoked": False, "kill": None} | more
    return PasswordResetRequested(
        user="usr_ada", link=link.id, expires_at=link.expires_at, email="ada@acme.example", **fields
    )


def test_resetting_mfa_removes_everything_in_one_event_and_ends_all_sessions() -> None:
    events = decide(given(factors=(TOTP,), recovery_codes=9), ResetMfa(ADMIN, "kil_1"))
    reset = MfaReset(
        user="usr_ada", factors=(RemovedFactor(id="fac_1", type="totp"),), recovery_codes_deleted=9,
        kill="kil_1",
    )  # fmt: skip
    assert events == [reset, *ended("mfa_reset", "kil_1")]


def test_unused_recovery_codes_alone_are_mfa_that_can_be_reset() -> None:
    assert decide(given(recovery_codes=1), ResetMfa(ADMIN, "kil_1"))


@pytest.mark.parametrize(
    ("situation", "command", "refusal"),
    [
        (given(), ResetMfa(ADMIN, "k"), MfaNotEnabled),
        (given(factors=(TOTP,), role=OWNER_ROLE), ResetMfa(ADMIN, "k"), OwnerProtected),
        (
            given(
                factors=(TOTP,),
                role=replace(MEMBER_ROLE, builtin=None, permissions=frozenset({"users.read"})),
            ),
            ResetMfa(replace(ADMIN, permissions=frozenset({"users.reset_mfa"})), "k"),
            TargetOutranks,
        ),
        (given(factors=(TOTP,)), ResetMfa(replace(ADMIN, id="usr_ada"), "k"), SelfAction),
        (given(factors=(TOTP,)), ResetMfa(replace(ADMIN, confirmed=False), "k"), ConfirmationRequired),
        (given(factors=(TOTP,)), ResetMfa(ADMIN, "k", expected_version=6), VersionConflict),
        (given(), ResetMfa(ADMIN, "k", expected_version=6), VersionConflict),
        (given(status=INACTIVE), ResetPassword(ADMIN, LINK, "k"), UserInactive),
        (given(status=INVITED), ResetPassword(ADMIN, LINK, "k"), UserInvited),
        (given(role=OWNER_ROLE), ResetPassword(ADMIN, LINK, "k"), OwnerProtected),
        (given(role=OWNER_ROLE, remaining=Remaining(0, 1)), ResetPassword(OWNER, LINK, "k"), LastOwner),
        (
            given(role=OWNER_ROLE, remaining=Remaining(0, 0)),
            ResetPassword(OWNER, LINK, "k"),
            LastAdministrator,
        ),
        (given(), ResetPassword(replace(ADMIN, confirmed=False), LINK, "k"), ConfirmationRequired),
        (given(), ResetPassword(ADMIN, LINK, "k", expected_version=1), VersionConflict),
        (given(status=INACTIVE), CompleteReset("lnk_1", "k"), LinkInvalid),
        (given(status=INVITED), CompleteReset("lnk_1", "k"), LinkInvalid),
        (given(), Accept("lnk_1"), LinkInvalid),
        (given(status=INACTIVE), Accept("lnk_1"), LinkInvalid),
        (given(factors=(TOTP,)), RemoveFactor(ITSELF, "fac_other"), NotFound),
        (
            given(factors=(TOTP,)),
            RemoveFactor(replace(ITSELF, confirmed=False), "fac_1"),
            ConfirmationRequired,
        ),
        (given(factors=(TOTP,)), RenewCodes(replace(ITSELF, confirmed=False)), ConfirmationRequired),
        (given(), RenewCodes(ITSELF), MfaNotEnabled),
    ],
)
def test_refusals(situation: Situation, command: Command, refusal: type[MusterError]) -> None:
    with pytest.raises(refusal):
        decide(situation, command)


def test_an_administrators_reset_takes_password_and_sessions_away_at_once() -> None:
    events = decide(given(), ResetPassword(ADMIN, LINK, "kil_1"))
    assert events == [
        requested(by_admin=True, revoked=True, kill="kil_1"),
        *ended("password_reset", "kil_1"),
    ]


def test_without_revoke_now_nothing_ends_and_the_last_owner_may_be_helped() -> None:
    alone = given(role=OWNER_ROLE, remaining=Remaining(0, 0))
    events = decide(alone, ResetPassword(OWNER, LINK, "kil_1", revoke_now=False))
    assert events == [requested(by_admin=True)]


def test_ones_own_password_may_be_reset_on_the_administrators_path() -> None:
    assert decide(given(), ResetPassword(replace(ADMIN, id="usr_ada"), LINK, "kil_1"))


def test_an_owner_who_could_not_sign_in_anyway_is_not_the_last_one() -> None:
    alone = given(role=OWNER_ROLE, has_password=False, remaining=Remaining(0, 0))
    assert decide(alone, ResetPassword(OWNER, LINK, "kil_1"))


def test_asking_again_mails_the_open_link_and_a_new_one_only_where_none_is_open() -> None:
    still_open = OpenLink("lnk_open", "reset", by_admin=True, expires_at=SOON)
    for links, mailed in (
        ((), LINK),
        ((still_open,), NewLink("lnk_open", SOON)),
        ((replace(still_open, expires_at=NOW),), LINK),
        ((replace(still_open, kind="invitation"),), LINK),
    ):
        assert decide(given(links=links), RequestReset(LINK, NOW)) == [requested(mailed)]


@pytest.mark.parametrize("status", [INACTIVE, INVITED])
def test_who_is_not_active_gets_no_reset_mail(status: str) -> None:
    assert decide(given(status=status), RequestReset(LINK, NOW)) == []


def test_a_completed_reset_ends_all_sessions() -> None:
    completed = PasswordResetCompleted(user="usr_ada", link="lnk_1", kill="kil_1")
    assert decide(given(), CompleteReset("lnk_1", "kil_1")) == [completed, *ended("password_reset", "kil_1")]


@pytest.mark.parametrize(("name", "renames"), [(None, False), ("Ada", False), ("Ada L.", True)])
def test_accepting_an_invitation_makes_active_and_renames_who_writes_another_name(
    name: str | None, *, renames: bool
) -> None:
    events = decide(given(status=INVITED, accepted=False), Accept("lnk_1", name))
    assert events[:2] == [
        InvitationAccepted(user="usr_ada", link="lnk_1", status=Change(old=INVITED, new=ACTIVE)),
        PasswordChanged(user="usr_ada", kill=None),
    ]
    renamed = [UserRenamed(user="usr_ada", name=Change(old="Ada", new=name))]
    assert events[2:] == (renamed if renames else [])


def test_changing_the_password_ends_all_sessions_but_the_own_one() -> None:
    events = decide(given(), ChangePassword("ses_1", "kil_1"))
    changed = PasswordChanged(user="usr_ada", kill="kil_1")
    assert events == [changed, *ended("password_changed", "kil_1", first=False)]


def test_recovery_codes_come_with_the_first_factor_only() -> None:
    enrolled = MfaEnrolled(user="usr_ada", factor="fac_2", factor_type="totp")
    generated = RecoveryCodesGenerated(user="usr_ada", count=10)
    command = Activate("fac_2", "totp")
    assert decide(given(), command) == [enrolled, generated]
    assert decide(given(factors=(TOTP,), recovery_codes=3), command) == [enrolled]


def test_a_factor_is_removed_and_codes_are_renewed_by_who_has_confirmed() -> None:
    situation = given(factors=(TOTP,), recovery_codes=10)
    removed = MfaFactorRemoved(user="usr_ada", factor="fac_1", factor_type="totp")
    assert decide(situation, RemoveFactor(ITSELF, "fac_1")) == [removed]
    assert decide(situation, RenewCodes(ITSELF)) == [RecoveryCodesGenerated(user="usr_ada", count=10)]


def test_the_open_reset_link_is_one_that_still_works() -> None:
    old = OpenLink("lnk_old", "reset", by_admin=False, expires_at=NOW)
    assert decider.open_reset(given(links=(old,)), NOW) is None
    assert decider.open_reset(given(links=(old,)), NOW - timedelta(seconds=1)) == old
