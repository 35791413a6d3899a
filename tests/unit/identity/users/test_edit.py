"""An edit: the events of its fields, and who may give a role."""

from __future__ import annotations

import pytest
from muster_contracts.events import Change, Ref
from muster_contracts.sessions import SessionEnded
from muster_contracts.users import (
    UserDeactivated,
    UserLabelsChanged,
    UserPhoneChanged,
    UserRenamed,
    UserRoleChanged,
    UserTimezoneChanged,
    UserUsernameChanged,
)

from services.identity.rules import By, ConfirmationRequired, OwnerProtected, PermissionNotHeld, SelfAction
from services.identity.users.decider import UsernameTaken
from services.identity.users.situation import Role
from services.kit.errors import MusterError
from tests.support.people import (
    ADMIN,
    ADMIN_ROLE,
    DESK,
    DESK_ROLE,
    EMPTY_ROLE,
    HR_ROLE,
    MEMBER_ROLE,
    OWNER,
    OWNER_ROLE,
    inactive,
    situation,
    unconfirmed,
    user,
)
from tests.unit.identity.users.acts import ALONE, SELF, edit, when


def test_an_edit_makes_one_event_for_each_field_that_changes_in_the_order_of_the_list() -> None:
    fields = {
        "labels": ("x",), "timezone": "Europe/Rome", "phone": "+4930123456", "username": None, "name": "Ada K",
    }  # fmt: skip
    state = situation(user(labels=("y",)), sessions=1)
    when(state, edit(fields=fields, role=ADMIN_ROLE, active=False)).then(
        UserRenamed(user="usr_ada", name=Change(old="Ada", new="Ada K")),
        UserUsernameChanged(user="usr_ada", username=Change(old="ada", new=None)),
        UserPhoneChanged(user="usr_ada", phone=Change(old=None, new="+4930123456")),
        UserTimezoneChanged(user="usr_ada", timezone=Change(old=None, new="Europe/Rome")),
        UserLabelsChanged(user="usr_ada", labels=Change[tuple[str, ...]](old=("y",), new=("x",))),
        UserRoleChanged(
            user="usr_ada",
            role=Change(old=Ref(id="rol_m", name="Member"), new=Ref(id="rol_a", name="Admin")),
        ),
        UserDeactivated,
        SessionEnded,
    )


def test_unchanged_fields_make_no_event() -> None:
    same = {"name": "Ada", "username": "ada", "phone": None, "timezone": None, "labels": ()}
    when(situation(), edit(fields=same, role=MEMBER_ROLE, active=True)).then_nothing()
    when(situation(inactive()), edit(fields=same, active=False)).then_nothing()


def test_a_username_that_somebody_else_holds_is_refused_only_where_it_would_change() -> None:
    when(situation(), edit(fields={"username": "bob"}, username_taken=True)).then_refused(UsernameTaken)
    when(situation(), edit(fields={"username": "ada"}, username_taken=True)).then_nothing()


@pytest.mark.parametrize(
    ("by", "role", "given_role", "refused"),
    [
        (ADMIN, MEMBER_ROLE, OWNER_ROLE, OwnerProtected),
        (ADMIN, OWNER_ROLE, ADMIN_ROLE, OwnerProtected),
        (DESK, EMPTY_ROLE, HR_ROLE, PermissionNotHeld),
        (unconfirmed(OWNER), MEMBER_ROLE, ADMIN_ROLE, ConfirmationRequired),
        (unconfirmed(OWNER), MEMBER_ROLE, MEMBER_ROLE, ConfirmationRequired),
    ],
)
def test_a_role_is_given_by_who_may_give_it_and_has_just_proved_it(
    by: By, role: Role, given_role: Role, refused: type[MusterError]
) -> None:
    when(situation(role=role), edit(by, role=given_role)).then_refused(refused)


def test_fields_that_give_no_power_need_no_fresh_proof() -> None:
    when(situation(), edit(unconfirmed(OWNER), fields={"name": "A"}, active=False)).then(
        UserRenamed, UserDeactivated
    )


@pytest.mark.parametrize(
    ("role", "given_role", "demotes"),
    [
        (OWNER_ROLE, ADMIN_ROLE, True),
        (ADMIN_ROLE, MEMBER_ROLE, True),
        (HR_ROLE, DESK_ROLE, True),
        (DESK_ROLE, HR_ROLE, True),
        (MEMBER_ROLE, ADMIN_ROLE, False),
        (ADMIN_ROLE, OWNER_ROLE, False),
        (ADMIN_ROLE, ADMIN_ROLE, False),
        (EMPTY_ROLE, DESK_ROLE, False),
    ],
)
def test_nobody_demotes_themself(role: Role, given_role: Role, demotes: bool) -> None:
    outcome = when(situation(role=role), edit(SELF, role=given_role))
    assert isinstance(outcome.refused, SelfAction) == demotes


def test_nobody_deactivates_themself_by_an_edit_either() -> None:
    when(situation(), edit(SELF, active=False)).then_refused(SelfAction)


def test_somebody_may_edit_their_own_name() -> None:
    when(situation(role=OWNER_ROLE, remaining=ALONE), edit(SELF, fields={"name": "A"})).then(UserRenamed)
