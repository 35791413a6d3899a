"""The rules that hold for every act on a person, one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from services.identity import rules
from services.identity.rules import (
    By,
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
from services.kit.errors import MusterError
from tests.support.people import (
    ADMIN,
    DESK,
    DESK_ROLE,
    EMPTY_ROLE,
    HR_ROLE,
    OWNER,
    OWNER_ROLE,
    SYSTEM,
    unconfirmed,
)

NOBODY = frozenset[str]()


def refusal(check: object, *args: object, **more: object) -> type[MusterError] | None:
    assert callable(check)
    try:
        check(*args, **more)
    except MusterError as error:
        return type(error)
    return None


@pytest.mark.parametrize(
    ("by", "target", "target_is_owner", "refused"),
    [
        (OWNER, OWNER_ROLE.permissions, True, None),
        (OWNER, NOBODY, False, None),
        (ADMIN, OWNER_ROLE.permissions, True, OwnerProtected),
        (ADMIN, OWNER_ROLE.permissions, False, None),
        (ADMIN, NOBODY, True, OwnerProtected),
        (DESK, NOBODY, False, None),
        (DESK, DESK_ROLE.permissions, False, None),
        (DESK, HR_ROLE.permissions, False, TargetOutranks),
        (DESK, OWNER_ROLE.permissions, True, OwnerProtected),
        (SYSTEM, OWNER_ROLE.permissions, True, None),
        (SYSTEM, HR_ROLE.permissions, False, None),
    ],
)
def test_nobody_acts_on_an_owner_but_owners_nor_on_someone_who_may_more(
    by: By, target: frozenset[str], target_is_owner: bool, refused: type[MusterError] | None
) -> None:
    assert refusal(rules.check_rank, by, target, target_is_owner=target_is_owner) == refused


@pytest.mark.parametrize(
    ("by", "granted", "grants", "takes", "refused"),
    [
        (OWNER, OWNER_ROLE.permissions, True, False, None),
        (OWNER, NOBODY, False, True, None),
        (ADMIN, OWNER_ROLE.permissions, True, False, OwnerProtected),
        (ADMIN, NOBODY, False, True, OwnerProtected),
        (ADMIN, OWNER_ROLE.permissions, False, False, None),
        (DESK, DESK_ROLE.permissions, False, False, None),
        (DESK, HR_ROLE.permissions, False, False, PermissionNotHeld),
        (DESK, EMPTY_ROLE.permissions, False, False, None),
        (SYSTEM, OWNER_ROLE.permissions, True, True, None),
    ],
)
def test_nobody_grants_what_they_lack_and_only_owners_grant_or_take_owner(
    by: By, granted: frozenset[str], grants: bool, takes: bool, refused: type[MusterError] | None
) -> None:
    assert refusal(rules.check_grant, by, granted, grants_owner=grants, takes_owner=takes) == refused


BOTH = (False, True)


@pytest.mark.parametrize(("owners", "administrators"), [(0, 0), (0, 1), (1, 1), (1, 2), (3, 3)])
@pytest.mark.parametrize(
    ("owner_before", "owner_after", "admin_before", "admin_after"), [*product(BOTH, repeat=4)]
)
def test_a_change_is_refused_when_someone_could_before_and_nobody_could_after(
    owners: int,
    administrators: int,
    owner_before: bool,
    owner_after: bool,
    admin_before: bool,
    admin_after: bool,
) -> None:
    """All 16 combinations of what the target could and could afterwards, against the sentence of the spec."""
    administered = admin_before or administrators > 0
    administers = admin_after or administrators > 0
    owned, owns = owner_before or owners > 0, owner_after or owners > 0
    expected: type[MusterError] | None = None
    if administered and not administers:
        expected = LastAdministrator
    elif owned and not owns:
        expected = LastOwner if administers else LastAdministrator
    assert expected == refusal(
        rules.check_lockout,
        Remaining(owners, administrators),
        owner_before=owner_before,
        owner_after=owner_after,
        admin_before=admin_before,
        admin_after=admin_after,
    )


def test_the_words_for_the_last_administrator_are_those_of_the_reference() -> None:
    assert LastAdministrator().detail == "You cannot delete the last administrator in an organization."
    assert LastAdministrator().members == {"rule": "last_administrator"}


def test_nobody_does_to_themself_what_locks_out_but_the_system_is_nobody() -> None:
    assert refusal(rules.check_not_self, ADMIN, ADMIN.id) is SelfAction
    assert refusal(rules.check_not_self, ADMIN, "usr_other") is None
    assert refusal(rules.check_not_self, replace(ADMIN, sovereign=True), ADMIN.id) is None


def test_a_fresh_proof_is_asked_of_people() -> None:
    assert refusal(rules.check_confirmed, unconfirmed(OWNER)) is ConfirmationRequired
    assert refusal(rules.check_confirmed, OWNER) is None
    assert refusal(rules.check_confirmed, SYSTEM) is None


def test_a_version_is_compared_where_one_is_expected() -> None:
    rules.check_version(7, None)
    rules.check_version(7, 7)
    with pytest.raises(VersionConflict) as conflict:
        rules.check_version(7, 6)
    assert conflict.value.members == {"current_version": 7}
    assert conflict.value.asked == 6
