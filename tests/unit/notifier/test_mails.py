"""Mails say the same in HTML and text, and nothing that a person chose can become more than words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.notifier.mails import render
from services.notifier.mails.render import Facts, Link, Renderer, clean
from services.notifier.reactions import MAILS, STATUSES

CONSOLE = "https://muster.example"
RENDERER = Renderer(CONSOLE)
AT = datetime(2026, 11, 24, 15, 5, tzinfo=UTC)
TOKEN = "mui_" + "a" * 49
INVITATION = Link("invitation", TOKEN, datetime(2026, 12, 1, 15, 5, tzinfo=UTC))
RESET = Link("reset", "mur_" + "b" * 49, datetime(2026, 11, 24, 16, 5, tzinfo=UTC))
LINKS = {"invitation": INVITATION, "reset_by_admin": RESET, "reset_by_self": RESET}


def facts(**more: Any) -> Facts:
    fields: dict[str, Any] = {
        "name": "Ben Miller", "email": "ben@acme.example", "timezone": "Europe/Vienna", "organization": "Acme",
        "slug": "acme", "support": "support@acme.example", "occurred_at": AT, "actor": "Ada Owner",
        "new_email": "ben.m@acme.example",
    }  # fmt: skip
    return Facts(**(fields | more))


def mail(kind: str, **more: Any) -> render.Words:
    return RENDERER.render(kind, facts(**{"link": LINKS.get(kind), **more}))


def test_each_reaction_has_its_mail_and_each_mail_its_reaction():
    folder = Path(render.__file__).parent
    assert {file.stem for file in folder.glob("*.jinja")} == set(STATUSES)
    assert {rule.kind for rules in MAILS.values() for rule in rules} == set(STATUSES)


@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_a_mail_names_person_organization_support_and_what_to_do_if_it_was_not_you(kind: str):
    words = mail(kind)
    for rendition in (words.text, words.html):
        assert "Hello Ben Miller," in rendition
        assert "Acme" in rendition
        assert "support@acme.example" in rendition
        assert "?" in rendition
    assert "Acme" in words.subject
    assert "\n" not in words.subject


@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_html_and_text_say_the_same(kind: str):
    words = mail(kind)
    plain = re.sub(r"<style.*?</style>|<[^>]+>", " ", words.html, flags=re.DOTALL)
    missing = [word for word in re.findall(r"[A-Za-z]{4,}", words.text) if word not in plain]
    assert missing == []


@pytest.mark.parametrize("kind", sorted(LINKS))
def test_the_link_stands_alone_on_a_line_and_begins_with_the_configured_origin(kind: str):
    words, link = mail(kind), LINKS[kind]
    page = {"invitation": "invitation", "reset": "reset-password"}[link.kind]
    assert f"{CONSOLE}/{page}#{link.token}" in words.text.splitlines()
    assert words.html.count(f'href="{CONSOLE}/{page}#{link.token}"') == 2


def test_times_are_told_in_the_persons_timezone():
    assert "Tuesday, 1 December 2026, 16:05 (Europe/Vienna)" in mail("invitation").text
    assert (
        "Tuesday, 1 December 2026, 07:05 (America/Los_Angeles)"
        in mail("invitation", timezone="America/Los_Angeles").text
    )


@pytest.mark.parametrize("timezone", [None, "", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "a\0b"])
def test_an_unknown_timezone_means_utc(timezone: str | None):
    assert "15:05 (UTC)" in mail("mfa_reset", timezone=timezone).text


def test_without_a_support_contact_an_administrator_is_named():
    words = mail("mfa_reset", support=None)
    assert "Contact an administrator of Acme now" in " ".join(words.text.split())
    assert "Ask an administrator of Acme" in " ".join(words.text.split())


@pytest.mark.parametrize(
    ("support", "html"),
    [
        ("help@acme.example", 'href="mailto:help@acme.example"'),
        ("https://acme.example/help", 'href="https://acme.example/help"'),
        ("javascript:alert(1)", None),
        ("+43 1 234", None),
        ('"><script>x</script>', None),
    ],
)
def test_only_a_mailbox_or_an_https_address_becomes_a_link(support: str, html: str | None):
    found = mail("mfa_reset", support=support).html
    if html:
        assert html in found
    assert found.count("href=") == (1 if html else 0)
    assert "<script" not in found


@pytest.mark.parametrize(
    "field", ["name", "email", "organization", "slug", "support", "actor", "new_email", "ip"]
)
@pytest.mark.parametrize("kind", sorted(STATUSES))
def test_t64_markup_in_what_people_choose_stays_words(kind: str, field: str):
    words = mail(kind, **{field: "<img src=x onerror=alert(1)>{{ 7*7 }}\r\n\r\nhttp://evil.example/\u202e"})
    assert "<img" not in words.html
    assert "49" not in words.html.replace("&#", "")
    assert "http://evil" not in words.text + words.html
    assert "\u202e" not in words.text + words.html
    assert "\r" not in words.subject + words.text


def test_cleaning_leaves_ordinary_names_alone():
    for name in ("Ben Miller", "Zoë O'Brien-Łukasz", "李小龍", "Müller & Söhne GmbH", "ben@acme.example"):
        assert clean(name) == name


def test_cleaning_makes_one_short_line():
    assert clean("a\r\nb\tc\0d\u2028e") == "a b c d e"
    assert len(clean("x" * 5000)) == 100


@pytest.mark.parametrize(
    ("kind", "more", "said", "not_said"),
    [
        ("reset_by_admin", {"revoked": True}, "Your old password no longer works", "works until"),
        ("reset_by_admin", {"revoked": False}, "works until you choose a new one", "no longer works"),
        ("reset_by_self", {"revoked": True}, "Your old password no longer works", "stays as it is"),
        ("reset_by_self", {"revoked": False}, "stays as it is", "no longer works"),
        ("password_changed", {"by_link": True}, "the link that we sent", "other sessions"),
        (
            "password_changed",
            {"by_link": False},
            "All your other sessions have ended",
            "the link that we sent",
        ),
    ],
)
def test_a_mail_says_what_happened(kind: str, more: dict, said: str, not_said: str):
    text = " ".join(mail(kind, **more).text.split())
    assert said in text
    assert not_said not in text


def test_an_erased_actor_is_an_administrator():
    assert "An administrator has reset the multi-factor" in " ".join(
        mail("mfa_reset", actor=None).text.split()
    )


def test_a_link_never_shows_in_a_representation():
    assert TOKEN not in repr(INVITATION)
    assert TOKEN not in repr(facts(link=INVITATION))
