"""Each check finds what it is for, in made-up evidence that holds it, and nothing where it does not."""

from __future__ import annotations

from typing import Any

from tests.faults import checks_rights as rights
from tests.faults.made_up import MadeUp

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
