"""What an administrator does to a person: each act, each rule, in the order of checks of api.md §2."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from muster_contracts.api_keys import ApiKeyRevoked
from muster_contracts.events import Change, Event, Ref
from muster_contracts.sessions import IpRuleRevoked, SessionEnded
from muster_contracts.users import (
    InvitationSent,
    InvitationVoided,
    UserCreated,
    UserDeactivated,
    UserDeleted,
    UserReactivated,
    UserRoleChanged,
)

from services.identity.rules import (
    By,
    ConfirmationMismatch,
    ConfirmationRequired,
    LastAdministrator,
    LastOwner,
    OwnerProtected,
    PermissionNotHeld,
    Remaining,
    SelfAction,
    TargetOutranks,
    VersionConflict,
)
from services.identity.users.decider import (
    Delete,
    EmailTaken,
    EndSessions,
    Invite,
    Reactivate,
    UserActive,
    UserInactive,
    UsernameTaken,
    invite,
)
from services.identity.users.situation import OpenLink, Role
from services.kit.errors import MusterError, NotFound
from tests.support.people import (
    ADMIN,
    ADMIN_ROLE,
    DESK,
    DESK_ROLE,
    EMPTY_ROLE,
    HR_ROLE,
    LINK,
    MEMBER_ROLE,
    OWNER,
    OWNER_ROLE,
    SYSTEM,
    inactive,
    invited,
    open_link,
    situation,
    unconfirmed,
    user,
)
from tests.support.scenario import Outcome, given
from tests.unit.identity.users.acts import ALONE, EMAIL, SELF, deactivate, delete, edit, resend, when

ADMINS_ONLY = Remaining(owners=0, administrators=1)


# ------------------------------------------------------------------------------------------------- invite
def inviting(by: By = OWNER, role: Role = MEMBER_ROLE, *taken: str) -> Outcome:
    command = Invite(
        by, "usr_new", "new@acme.example", "New", "newbie", "+4930123456", "Europe/Berlin", ("a",), role, LINK,
        frozenset(taken),
    )  # fmt: skip
    return given(_invite, None).when(command)


def _invite(_: None, command: Invite) -> list[Event]:
    return invite(command)


def test_an_invited_person_is_created_and_gets_a_link() -> None:
    inviting().then(
        UserCreated(
            user="usr_new", email="new@acme.example", name="New", username="newbie", phone="+4930123456",
            timezone="Europe/Berlin", labels=("a",), role=Ref(id="rol_m", name="Member"), status="invited",
        ),
        InvitationSent(
            user="usr_new", link=LINK.id, expires_at=LINK.expires_at, email="new@acme.example"
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("by", "role", "taken", "refused"),
    [
        (ADMIN, OWNER_ROLE, (), OwnerProtected),
        (DESK, HR_ROLE, (), PermissionNotHeld),
        (unconfirmed(OWNER), ADMIN_ROLE, ("email",), ConfirmationRequired),
        (unconfirmed(OWNER), EMPTY_ROLE, (), ConfirmationRequired),
        (unconfirmed(OWNER), MEMBER_ROLE, ("email", "username"), EmailTaken),
        (OWNER, MEMBER_ROLE, ("username",), UsernameTaken),
    ],
)
def test_an_invitation_is_refused_by_the_first_rule_that_forbids_it(
    by: By, role: Role, taken: tuple[str, ...], refused: type[MusterError]
) -> None:
    inviting(by, role, *taken).then_refused(refused)


def test_a_confirmed_owner_may_invite_an_owner() -> None:
    inviting(OWNER, OWNER_ROLE).then(UserCreated, InvitationSent)


# --------------------------------------------------------------------------------------- rank, for every act
ACTS: dict[str, Any] = {
    "edit": edit,
    "deactivate": deactivate,
    "reactivate": lambda by: Reactivate(by, LINK),
    "delete": delete,
    "resend": resend,
    "end sessions": lambda by: EndSessions(by, "kil_1"),
}


@pytest.mark.parametrize("act", ACTS)
def test_an_admin_does_nothing_to_an_owner(act: str) -> None:
    when(situation(role=OWNER_ROLE), ACTS[act](ADMIN)).then_refused(OwnerProtected, rule="owner_protected")


@pytest.mark.parametrize("act", ACTS)
def test_nobody_does_anything_to_someone_who_may_more(act: str) -> None:
    when(situation(role=HR_ROLE), ACTS[act](DESK)).then_refused(TargetOutranks, rule="target_outranks")


@pytest.mark.parametrize("act", ACTS)
def test_an_admin_acts_on_other_admins(act: str) -> None:
    outcome = when(situation(role=ADMIN_ROLE), ACTS[act](ADMIN))
    assert not isinstance(outcome.refused, OwnerProtected | TargetOutranks)


@pytest.mark.parametrize("act", ACTS)
def test_a_stale_version_is_refused_whoever_asks(act: str) -> None:
    stale = replace(ACTS[act](OWNER), expected_version=6)
    when(situation(), stale).then_refused(VersionConflict, current_version=7)


# --------------------------------------------------------------------------------------------- deactivate
def test_deactivating_ends_all_that_lets_a_person_in_in_one_order() -> None:
    state = situation(user(), sessions=2, keys=1, links=(open_link("reset"),))
    when(state, deactivate()).then(
        UserDeactivated(user="usr_ada", kill="kil_1", status=Change(old="active", new="inactive")),
        SessionEnded(user="usr_ada", session="ses_1", cause="deactivated", kill="kil_1"),
        SessionEnded(user="usr_ada", session="ses_2", cause="deactivated", kill="kil_1"),
        IpRuleRevoked(user="usr_ada", session="ses_2", id="ipr_2", network="203.0.113.7"),
        ApiKeyRevoked(key="key_1", name="key 1", user="usr_ada", cause="deactivated"),
    )


def test_deactivating_an_invited_person_voids_the_invitation() -> None:
    when(situation(invited(), links=(open_link(),)), deactivate()).then(
        UserDeactivated(user="usr_ada", kill="kil_1", status=Change(old="invited", new="inactive")),
        InvitationVoided(user="usr_ada", link="lnk_open", cause="deactivated"),
    )


def test_deactivating_an_inactive_user_changes_nothing() -> None:
    when(situation(inactive(), remaining=ALONE, role=OWNER_ROLE), deactivate()).then_nothing()


def test_nobody_deactivates_themself() -> None:
    when(situation(), deactivate(SELF)).then_refused(SelfAction)


def test_the_system_may_deactivate_anybody() -> None:
    when(situation(role=OWNER_ROLE), deactivate(SYSTEM)).then(UserDeactivated)


# ---------------------------------------------------------------------------------------- lock-out guard
LOCKS_OUT: dict[str, Any] = {
    "deactivate": deactivate,
    "delete": delete,
    "active false": lambda by: edit(by, active=False),
    "to member": lambda by: edit(by, role=MEMBER_ROLE),
    "to help desk": lambda by: edit(by, role=DESK_ROLE),
}


@pytest.mark.parametrize("act", LOCKS_OUT)
def test_the_last_administrator_stays_and_that_is_said_before_that_it_is_oneself(act: str) -> None:
    when(situation(role=OWNER_ROLE, remaining=ALONE), LOCKS_OUT[act](SELF)).then_refused(LastAdministrator)


@pytest.mark.parametrize("act", [*LOCKS_OUT, "to admin"])
def test_the_last_owner_stays_where_administrators_remain(act: str) -> None:
    command = {**LOCKS_OUT, "to admin": lambda by: edit(by, role=ADMIN_ROLE)}[act](OWNER)
    when(situation(role=OWNER_ROLE, remaining=ADMINS_ONLY), command).then_refused(LastOwner)


def test_the_last_owner_who_becomes_admin_is_the_last_owner() -> None:
    when(situation(role=OWNER_ROLE, remaining=ALONE), edit(role=ADMIN_ROLE)).then_refused(LastOwner)


@pytest.mark.parametrize("act", LOCKS_OUT)
@pytest.mark.parametrize(
    "who", [invited(), inactive(), user(has_password=False)], ids=["invited", "inactive", "no password"]
)
def test_who_cannot_sign_in_counts_for_no_guard(act: str, who: Any) -> None:
    outcome = when(situation(who, OWNER_ROLE, remaining=ALONE), LOCKS_OUT[act](OWNER))
    assert outcome.refused is None


@pytest.mark.parametrize("act", LOCKS_OUT)
@pytest.mark.parametrize("role", [MEMBER_ROLE, DESK_ROLE])
def test_who_does_not_administer_may_go_even_where_nobody_else_does(act: str, role: Role) -> None:
    outcome = when(situation(role=role, remaining=ALONE), LOCKS_OUT[act](OWNER))
    assert outcome.refused is None


@pytest.mark.parametrize("act", ["deactivate", "delete", "active false", "to member"])
def test_a_custom_role_with_administration_rights_counts_for_the_guard(act: str) -> None:
    when(situation(role=HR_ROLE, remaining=ALONE), LOCKS_OUT[act](OWNER)).then_refused(LastAdministrator)


@pytest.mark.parametrize("role", [ADMIN_ROLE, HR_ROLE])
def test_an_administrator_may_become_another_kind_of_administrator(role: Role) -> None:
    state = situation(role=HR_ROLE if role is ADMIN_ROLE else ADMIN_ROLE, remaining=ALONE)
    when(state, edit(role=role)).then(UserRoleChanged)


def test_the_guard_judges_the_combined_result_of_an_edit() -> None:
    """Reactivated and promoted at once: nobody could before, somebody can after."""
    command = edit(role=OWNER_ROLE, active=True)
    when(situation(inactive(), remaining=ALONE), command).then(UserRoleChanged, UserReactivated)
    command = edit(role=MEMBER_ROLE, active=False)
    when(situation(role=OWNER_ROLE, remaining=ALONE), command).then_refused(LastAdministrator)


def test_an_inactive_last_owner_may_be_reactivated_with_the_same_role() -> None:
    when(situation(inactive(), OWNER_ROLE, remaining=ALONE), edit(active=True)).then(UserReactivated)


# --------------------------------------------------------------------------------------------- reactivate
def test_reactivating_revives_the_status_and_nothing_else() -> None:
    when(situation(inactive()), Reactivate(OWNER, LINK)).then(
        UserReactivated(user="usr_ada", status=Change(old="inactive", new="active"))
    )


def test_who_never_accepted_is_invited_again_with_a_new_link() -> None:
    state = situation(inactive(accepted=False, has_password=False))
    when(state, Reactivate(OWNER, LINK)).then(
        UserReactivated(user="usr_ada", status=Change(old="inactive", new="invited")),
        InvitationSent(user="usr_ada", link="lnk_new", expires_at=LINK.expires_at, email=EMAIL),
    )


@pytest.mark.parametrize("who", [user(), invited()])
def test_reactivating_who_is_not_inactive_changes_nothing(who: Any) -> None:
    when(situation(who), Reactivate(OWNER, LINK)).then_nothing()
    when(situation(who), edit(active=True)).then_nothing()


def test_someone_may_reactivate_whom_they_deactivated_even_themself_in_name() -> None:
    when(situation(inactive()), Reactivate(SELF, LINK)).then(UserReactivated)


# ------------------------------------------------------------------------------------------------- delete
@pytest.mark.parametrize("typed", [EMAIL, "  ADA@acme.EXAMPLE "])
def test_deleting_needs_the_address_typed_and_takes_everything(typed: str) -> None:
    when(situation(sessions=1, keys=1, links=(open_link(),)), delete(confirm=typed)).then(
        UserDeleted(user="usr_ada", kill="kil_1", name="Ada", email=EMAIL),
        SessionEnded(user="usr_ada", session="ses_1", cause="deleted", kill="kil_1"),
        ApiKeyRevoked(key="key_1", name="key 1", user="usr_ada", cause="deleted"),
        InvitationVoided(user="usr_ada", link="lnk_open", cause="deleted"),
    )


@pytest.mark.parametrize("typed", [None, "", "ada", "bob@acme.example", "ada@acme.example.org", "ädä"])
def test_another_text_or_none_is_not_the_confirmation(typed: str | None) -> None:
    when(situation(), delete(confirm=typed)).then_refused(ConfirmationMismatch, rule="confirmation_mismatch")


def test_a_dry_run_asks_for_no_confirmation() -> None:
    when(situation(), delete(confirm=None, confirm_asked=False)).then(UserDeleted)


def test_nobody_deletes_themself() -> None:
    when(situation(), delete(SELF)).then_refused(SelfAction)


def test_deleting_needs_a_fresh_proof() -> None:
    when(situation(), delete(unconfirmed(OWNER))).then_refused(ConfirmationRequired)


def test_the_checks_of_a_deletion_come_in_their_order() -> None:
    """Each refusal hides those behind it: rank, lock-out, self, proof, version, typed address."""
    worst = situation(role=OWNER_ROLE, remaining=ALONE)
    asked = Delete(unconfirmed(replace(ADMIN, id="usr_ada")), "kil_1", "wrong", expected_version=1)
    when(worst, asked).then_refused(OwnerProtected)
    asked = replace(asked, by=unconfirmed(SELF))
    when(worst, asked).then_refused(LastAdministrator)
    better = situation(role=OWNER_ROLE)
    when(better, asked).then_refused(SelfAction)
    asked = replace(asked, by=unconfirmed(OWNER))
    when(better, asked).then_refused(ConfirmationRequired)
    asked = replace(asked, by=OWNER)
    when(better, asked).then_refused(VersionConflict)
    asked = replace(asked, expected_version=7)
    when(better, asked).then_refused(ConfirmationMismatch)
    when(better, replace(asked, confirm=EMAIL)).then(UserDeleted)


# ------------------------------------------------------------------------------------- resend, end sessions
def sent(link: str, expires_at: Any) -> Event:
    return InvitationSent(user="usr_ada", link=link, expires_at=expires_at, email=EMAIL)


def test_an_open_invitation_is_mailed_again_with_its_own_expiry() -> None:
    link = open_link(expires_in=timedelta(minutes=1))
    when(situation(invited(), links=(open_link("reset"), link)), resend()).then(
        sent(link.id, link.expires_at)
    )


@pytest.mark.parametrize("links", [(), (open_link("reset"),)])
def test_where_none_is_open_a_new_one_is_made(links: tuple[OpenLink, ...]) -> None:
    when(situation(invited(), links=links), resend()).then(sent("lnk_new", LINK.expires_at))


def test_an_invitation_that_has_expired_is_voided_before_the_new_one() -> None:
    old = open_link(expires_in=timedelta(0))
    voided = InvitationVoided(user="usr_ada", link=old.id, cause="expired")
    when(situation(invited(), links=(old,)), resend()).then(voided, sent("lnk_new", LINK.expires_at))


def test_only_invited_people_are_invited_again() -> None:
    when(situation(user()), resend()).then_refused(UserActive)
    when(situation(inactive()), resend()).then_refused(UserInactive)


def test_all_sessions_end_or_the_one_that_is_named() -> None:
    when(situation(sessions=2), EndSessions(OWNER, "kil_1")).then(SessionEnded, SessionEnded, IpRuleRevoked)
    when(situation(sessions=2), EndSessions(OWNER, "kil_1", "ses_1")).then(
        SessionEnded(user="usr_ada", session="ses_1", cause="ended_by_administrator", kill="kil_1")
    )
    when(situation(), EndSessions(OWNER, "kil_1")).then_nothing()


def test_a_session_that_is_not_theirs_does_not_exist_whoever_asks() -> None:
    when(situation(sessions=1), EndSessions(OWNER, "kil_1", "ses_9")).then_refused(NotFound)
    when(situation(role=OWNER_ROLE), EndSessions(ADMIN, "kil_1", "ses_9")).then_refused(NotFound)
