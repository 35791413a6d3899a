"""Each record has one sentence that a person can read."""

from __future__ import annotations

import string
from typing import Any

import pytest
from muster_contracts.registry import EVENTS

from services.audit import phrases
from services.audit.entries import DONE, REFUSED
from services.audit.leaves import Readable
from services.audit.sentences import changes, sentence

ADA = {"type": "user", "id": "usr_ada", "name": "Ada Owner"}


def record(type_: str, *, target: str | None = "Ben Miller", **fields: Any) -> Readable:
    given: dict[str, Any] = {
        "org": "org_1", "seq": 0, "id": "aud_1", "type": type_, "outcome": DONE, "code": None,
        "occurred_at": "", "recorded_at": "", "request_id": None, "session_id": None, "event_id": None,
        "actor_type": "user", "actor_id": "usr_ada", "actor_erased": False, "target_type": "user",
        "target_id": "usr_ben", "target_name": target, "target_erased": False, "person": "usr_ben",
        "data": {"actor": ADA},
    }  # fmt: skip
    data = fields.pop("data", {})
    return Readable(**given | fields | {"data": {"actor": ADA} | data})


def refused(act: str, code: str, **fields: Any) -> str:
    return sentence(record(act, outcome=REFUSED, code=code, **fields))


def test_a_deactivation_reads_as_one_would_say_it() -> None:
    assert sentence(record("user.deactivated")) == "Ada Owner deactivated Ben Miller."


def test_a_refusal_says_what_was_tried_and_why_not() -> None:
    assert refused("user.delete", "last_administrator") == (
        "Ada Owner was not allowed to delete Ben Miller: the last administrator of an organization stays."
    )


def test_refusals_that_were_summed_up_say_how_many() -> None:
    assert refused("session.start", "sign_in_refused", data={"count": 12}) == (
        "Ada Owner was not allowed to sign in as Ben Miller: the sign-in was not accepted (12 times)."
    )


def test_a_sign_in_that_names_nobody_has_no_target() -> None:
    anonymous = {"actor": {"type": "anonymous", "id": None, "name": None}}
    text = refused(
        "session.start", "sign_in_refused", target=None, target_id=None, actor_id=None, actor_type="anonymous",
        data=anonymous,
    )  # fmt: skip
    assert text == "Someone not signed in was not allowed to sign in: the sign-in was not accepted."


def test_an_unknown_act_and_code_are_told_by_their_names() -> None:
    assert (
        refused("jobs.cancel", "job_done") == "Ada Owner was not allowed to do this (jobs.cancel): job done."
    )


def test_what_changed_is_said_with_old_and_new() -> None:
    role = {"old": {"id": "rol_1", "name": "Member"}, "new": {"id": "rol_2", "name": "Admin"}}
    assert sentence(record("user.role_changed", data={"role": role})) == (
        "Ada Owner changed the role of Ben Miller from Member to Admin."
    )


def test_an_act_upon_oneself_is_said_so() -> None:
    name = {"old": "Ada Owner", "new": "Ada Lovelace"}
    own = record(
        "user.renamed", target="Ada Owner", target_id="usr_ada", person="usr_ada", data={"name": name}
    )
    assert sentence(own) == "Ada Owner changed their name from Ada Owner to Ada Lovelace."


def test_an_erased_person_is_called_so() -> None:
    gone = record("user.deactivated", target=None, target_erased=True)
    assert sentence(gone) == "Ada Owner deactivated an erased person."
    nameless = {"actor": {"type": "user", "id": "usr_ada", "name": None, "erased": True}}
    assert sentence(record("user.deactivated", actor_erased=True, data=nameless)) == (
        "An erased person deactivated Ben Miller."
    )


def test_a_name_with_braces_is_a_name() -> None:
    assert sentence(record("user.deactivated", target="{actor.__class__} {0}")) == (
        "Ada Owner deactivated {actor.__class__} {0}."
    )


@pytest.mark.parametrize("type_", sorted({kind.type for kind in EVENTS} - {"attempt.refused"}))
def test_every_event_type_has_words_of_its_own_and_needs_no_field(type_: str) -> None:
    assert type_ in phrases.DONE
    assert sentence(record(type_)).endswith(".")
    assert "{" not in sentence(record(type_))


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.type)
def test_templates_name_only_fields_of_their_event(kind: Any) -> None:
    template = phrases.DONE.get(kind.type, "")
    texts = (template,) if isinstance(template, str) else template
    names = {name for text in texts for _, name, _, _ in string.Formatter().parse(text) if name}
    assert names <= set(kind.model_fields) | {"actor", "target", "changed"}


def test_changes_are_the_fields_with_old_and_new_and_nothing_else() -> None:
    data = {"name": {"old": "a", "new": "b"}, "role": {"id": "rol_1", "name": "x"}, "old": 1}
    assert changes(data) == {"name": {"old": "a", "new": "b"}}
