"""The lock-out guard over whole histories: whatever people do, an organization is never without an Owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.identity.rules import By, LastAdministrator, LastOwner, Remaining
from services.identity.users.decider import Command, Deactivate, Delete, Edit, Reactivate, decide
from services.identity.users.drafts import fold
from services.identity.users.situation import Role
from services.identity.users.state import ACTIVE, INACTIVE, INVITED, User
from services.kit.errors import MusterError
from tests.support.people import (
    ADMIN_ROLE,
    DESK_ROLE,
    HR_ROLE,
    LINK,
    MEMBER_ROLE,
    NOW,
    OWNER_ROLE,
    situation,
    user,
)

ROLES = {role.id: role for role in (OWNER_ROLE, ADMIN_ROLE, MEMBER_ROLE, HR_ROLE, DESK_ROLE)}


@dataclass(frozen=True)
class Act:
    """Somebody does something to somebody, both picked among those who are still there."""

    actor: int
    target: int
    kind: str
    role: Role
    active: bool | None


people = st.builds(
    lambda role, status, password: (role, status, password and status != INVITED),
    st.sampled_from(sorted(ROLES)),
    st.sampled_from([ACTIVE, ACTIVE, ACTIVE, INACTIVE, INVITED]),
    st.booleans() | st.just(value=True),
)
acts = st.builds(
    Act,
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["deactivate", "delete", "edit", "edit", "reactivate"]),
    st.sampled_from([ROLES[id_] for id_ in sorted(ROLES)]),
    st.sampled_from([None, True, False]),
)


def hire(drawn: list[tuple[str, str, bool]]) -> dict[str, User]:
    made = [
        user(
            id=f"usr_{n}", email=f"p{n}@acme.example", role=role, status=status, has_password=password,
            accepted=status != INVITED,
        )
        for n, (role, status, password) in enumerate(drawn)
    ]  # fmt: skip
    return {person.id: person for person in made}


def remaining(org: dict[str, User], without: str = "") -> Remaining:
    others = [ROLES[u.role] for u in org.values() if u.id != without and u.can_sign_in]
    return Remaining(sum(r.is_owner for r in others), sum(r.administers for r in others))


def command_of(act: Act, by: By, target: User) -> Command:
    match act.kind:
        case "deactivate":
            return Deactivate(by, "kil_1")
        case "delete":
            return Delete(by, "kil_1", target.email)
        case "reactivate":
            return Reactivate(by, LINK)
        case _:
            return Edit(by, {}, "kil_1", LINK, role=act.role, active=act.active)


def apply(org: dict[str, User], act: Act, by: By | None = None) -> tuple[dict[str, User], MusterError | None]:
    """The organization after the act, and why it was refused if it was."""
    ids = sorted(org)
    actor, target = org[ids[act.actor % len(ids)]], org[ids[act.target % len(ids)]]
    role = ROLES[actor.role]
    by = by or By(actor.id, role.permissions, role.is_owner, confirmed=True)
    state = situation(target, ROLES[target.role], remaining=remaining(org, target.id))
    try:
        events = decide(state, command_of(act, by, target))
    except MusterError as error:
        return org, error
    after = fold(target, target.org, events, NOW)
    rest = {id_: person for id_, person in org.items() if id_ != target.id}
    return (rest | {after.id: after} if after else rest), None


@settings(max_examples=400, deadline=None)
@given(st.lists(people, min_size=1, max_size=8), st.lists(acts, max_size=25), st.booleans())
def test_whoever_could_sign_in_as_owner_or_administer_someone_still_can(
    drawn: list[tuple[str, str, bool]], history: list[Act], sovereign: bool
) -> None:
    org = hire(drawn)
    by = By(None, frozenset(), is_owner=False, sovereign=True) if sovereign else None
    for act in history:
        before = remaining(org)
        org, refused = apply(org, act, by)
        after = remaining(org)
        assert after.owners or not before.owners
        assert after.administrators or not before.administrators
        if refused is not None:
            assert after == before
        if not org:
            return


@settings(max_examples=400, deadline=None)
@given(st.lists(people, min_size=2, max_size=8), acts)
def test_the_guard_refuses_nothing_that_leaves_an_owner_and_an_administrator(
    drawn: list[tuple[str, str, bool]], act: Act
) -> None:
    org = hire(drawn)
    ids = sorted(org)
    others = remaining(org, ids[act.target % len(ids)])
    _, refused = apply(org, act)
    if others.owners:
        assert not isinstance(refused, LastOwner | LastAdministrator)


@settings(max_examples=200, deadline=None)
@given(st.lists(people, min_size=1, max_size=6), acts)
def test_a_repeat_of_an_act_changes_nothing(drawn: list[tuple[str, str, bool]], act: Act) -> None:
    org = hire(drawn)
    once, refused = apply(org, act)
    if refused is not None or act.kind == "delete":
        return
    actor = sorted(org)[act.actor % len(org)]
    role = ROLES[org[actor].role]
    by = By(actor, role.permissions, role.is_owner, confirmed=True)
    twice, _ = apply(once, act, by)
    assert twice == once


def test_two_owners_who_demote_each_other_from_the_same_state_cannot_both_rely_on_the_other() -> None:
    """Each alone is allowed; the second decides on what the first left, which the guard `owners:` sees to."""
    pair: list[Any] = [(OWNER_ROLE.id, ACTIVE, True)] * 2
    org = hire(pair)
    demote = Act(0, 1, "edit", MEMBER_ROLE, None)
    back = replace(demote, actor=1, target=0)
    org, refused = apply(org, demote)
    assert refused is None
    owner = By("usr_1", OWNER_ROLE.permissions, is_owner=True, confirmed=True)
    _, refused = apply(org, back, owner)
    assert isinstance(refused, LastAdministrator)
