"""The forms of what people type."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from services.identity import fields


def _accept(kind, value):
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "a\x00b", "a\u202eb", "\u2066", "\u200b\u200d", "x" * 201]
)
def test_a_name_is_one_visible_line(name):
    with pytest.raises(ValidationError):
        _accept(fields.Name, name)


PERSIAN = (
    "\u0645\u0631\u06cc\u0645\u200c\u062e\u0627\u0646\u0645"  # with a zero-width joiner, as it is spelled
)


@pytest.mark.parametrize(
    "name",
    [
        "Ada",
        "Zoë Ångström",
        PERSIAN,
        "李小龍",
        "O'Neill-Ünal",
    ],
)
def test_names_of_all_scripts_are_kept(name):
    assert _accept(fields.Name, name) == name


def test_two_logins_that_look_alike_are_one():
    assert fields.normalize_login("  Bob ") == fields.normalize_login("\uff22\uff2f\uff22") == "bob"


@pytest.mark.parametrize("username", ["a@b", "a b", "", "a\uff20b", "a\ufe6bb", "a\u00a8b"])
def test_a_username_holds_no_at_sign_and_no_space(username):
    with pytest.raises(ValidationError):
        _accept(fields.Username, username)


@pytest.mark.parametrize(
    "email", ["ada", "ada@", "ada@acme.example\r\nBcc: eve@evil.example", "a,b@acme.example"]
)
def test_an_address_is_one_address(email):
    with pytest.raises(ValidationError):
        _accept(fields.Email, email)


def test_a_phone_number_is_kept_in_international_form():
    assert _accept(fields.Phone, "+1 (415) 555-0123") == "+14155550123"


def test_labels_do_not_repeat():
    with pytest.raises(ValidationError):
        _accept(fields.Labels, ["contractor", "Contractor"])
