"""What goes over the wire: headers that nobody can break out of, and the same id for each try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest

from services.kit.settings import Smtp
from services.notifier.channels import Email, Letter
from services.notifier.mails.render import Words
from services.notifier.outbox import pause

AT = datetime(2026, 11, 24, 15, 5, tzinfo=UTC)


def wire(**more):
    letter: dict[str, Any] = {
        "key": "evt_1.invitation", "name": "Ben Miller", "address": "ben@acme.example",
        "words": Words("You are invited to Acme", "text ü\n" + "x" * 2000, "<p>html ü</p>"), "date": AT,
    } | more  # fmt: skip
    raw = Email(Smtp(sender="Muster <no-reply@muster.example>")).compose(Letter(**letter)).as_bytes()
    return raw, message_from_bytes(raw, policy=default)


def test_a_letter_has_both_renditions_and_the_headers_of_an_automatic_message():
    _, message = wire()
    assert message["From"] == "Muster <no-reply@muster.example>"
    assert message["To"] == "Ben Miller <ben@acme.example>"
    assert message["Message-ID"] == "<evt_1.invitation@muster.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Date"].datetime == AT
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert next(message.iter_parts()).get_content().startswith("text ü")


def test_lines_are_short_enough_for_every_server_and_pure_ascii():
    raw, _ = wire(name="Zoë Łukasz", words=Words("Grüße", "x" * 5000, "<p>" + "y" * 5000))
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize("field", ["name", "subject"])
@pytest.mark.parametrize(
    "evil",
    [
        "Ben\r\nBcc: all@acme.example", "Ben\nBcc: all@acme.example", "Ben\rBcc: all@acme.example", "Ben\0",
        'Ben" <all@acme.example>, "', "Ben <all@acme.example>", "=?utf-8?q?Ben=0D=0ABcc:_all@acme.example?=",
        "Ben, all@acme.example", "(Ben", "Ben\\", "Ben\u2028Bcc: all@acme.example",
    ],
)  # fmt: skip
def test_t64_names_and_subjects_cannot_add_headers_or_recipients(field: str, evil: str):
    words = Words(evil if field == "subject" else "Hello", "text", "html")
    raw, message = wire(words=words, **({"name": evil} if field == "name" else {}))
    assert message["Bcc"] is None
    assert [address.addr_spec for address in message["To"].addresses] == ["ben@acme.example"]
    assert b"\r\nBcc" not in raw
    assert sorted(set(message.keys())) == [
        "Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID", "Subject", "To",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ben",
        "ben@a\r\nBcc: x@y.example",
        "a@b.example, c@d.example",
        "<ben@acme.example>",
        "ben@acme.example\n",
    ],
)
def test_t64_what_is_not_one_address_is_refused(address: str):
    with pytest.raises(ValueError, match="not an address"):
        wire(address=address)


def test_the_pauses_between_tries_grow_to_an_hour():
    seconds = [pause(attempts).total_seconds() for attempts in range(1, 11)]
    assert seconds == [5, 15, 45, 135, 405, 1215, 3600, 3600, 3600, 3600]
    assert pause(10_000) == timedelta(hours=1)
