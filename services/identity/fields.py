"""The forms of what people type: each field's rule, once, for bodies, imports and the command line."""

from __future__ import annotations

import unicodedata
import zoneinfo
from functools import cache
from typing import Annotated

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

MAX_LABELS = 50
UNPRINTED = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Turn the direction of what follows: a name could make the sentence around it read as another one."""


def _plain(text: str) -> str:
    """One line of text: trimmed, without control characters (they would end up in mails and logs)."""
    text = unicodedata.normalize("NFC", text).strip()
    if not text:
        raise ValueError("must not be empty")
    if any(unicodedata.category(c) in UNPRINTED or c in TURNING for c in text):
        raise ValueError("must be one line without control characters")
    if all(unicodedata.category(c) == "Cf" for c in text):
        raise ValueError("must be visible")
    return text


def _email(text: str) -> str:
    try:
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise ValueError("must be an e-mail address") from None


def _username(text: str) -> str:
    text = _plain(text)
    compared = normalize_login(text)  # as others would find it: a full-width @ is one
    if "@" in compared or any(c.isspace() for c in compared):
        raise ValueError("must hold no @ and no space")
    return text


def _phone(text: str) -> str:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        raise ValueError("must be an international number such as +14155550123") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError("is not a possible number")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _timezone(text: str) -> str:
    if text not in _zones():
        raise ValueError("must be a time zone such as Europe/Berlin")
    return text


def _labels(labels: list[str]) -> list[str]:
    if len({label.casefold() for label in labels}) != len(labels):
        raise ValueError("must not repeat a label")
    return labels


def normalize_login(text: str) -> str:
    """E-mail or username as compared: NFKC, case folded, trimmed. Two that look alike are one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def login_claim(org: str, login: str) -> str:
    """The claim on an e-mail address or username: they share one namespace per organization."""
    return f"login:{org}:{normalize_login(login)}"


Line = Annotated[str, AfterValidator(_plain)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_plain)]
Email = Annotated[str, Field(max_length=254), AfterValidator(_email)]
Username = Annotated[str, Field(max_length=100), AfterValidator(_username)]
Phone = Annotated[str, Field(max_length=40), AfterValidator(_phone)]
Timezone = Annotated[str, Field(max_length=64), AfterValidator(_timezone)]
Label = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
Labels = Annotated[list[Label], Field(max_length=MAX_LABELS), AfterValidator(_labels)]
