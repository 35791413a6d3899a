"""Puts a mail into words: one template each, rendered into an HTML and a text frame: both say the same.

A template fills the blocks of the frames: `subject`, `preview`, `heading`, `opening`, `button` (where there is
a link), `warning`; `details` is a list of label and value. Names and addresses come from people: they are made
harmless here, once, before any template sees them.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from css_inline import CSSInliner
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

LINE = 76
LONGEST_NAME = 100
_MAILBOX = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")
_LINKS = {
    "invitation": "invitation",
    "reset": "reset-password",
}
"""Kind of link → page of the console."""


@dataclass(frozen=True, slots=True)
class Link:
    """An open link with its token: fetched when the mail is sent, and kept nowhere."""

    kind: str
    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a mail may speak of."""

    name: str
    email: str
    """Where the mail goes."""
    timezone: str | None
    organization: str
    slug: str
    support: str | None
    occurred_at: datetime
    link: Link | None = None
    actor: str | None = None
    """Who did it, where that was somebody else."""
    ip: str | None = None
    """Where the person, or whoever claims to be, acted from; never an administrator's address."""
    new_email: str | None = None
    revoked: bool = False
    by_link: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    subject: str
    text: str
    html: str


class Renderer:
    """Renders the templates of this folder; links begin with the origin it was made with, and no other.

    Args:
        console: where links lead.
    """

    def __init__(self, console: str) -> None:
        self._console = console.rstrip("/")
        self._html = _environment(
            escaped=True, paragraphs=_html_paragraphs, strong=Markup("<strong>{}</strong>").format
        )
        self._text = _environment(escaped=False, paragraphs=_text_paragraphs, strong=str)
        self._inline = CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)

    def render(self, mail: str, facts: Facts) -> Words:
        """The words of one mail.

        Raises:
            jinja2.TemplateError: the template is wrong; a test renders every one.
        """
        values = self._values(facts)
        text = self._text.get_template(f"{mail}.jinja")
        subject = "".join(text.blocks["subject"](text.new_context(values)))
        html = self._html.get_template(f"{mail}.jinja").render(values, frame="frame.html")
        return Words(
            " ".join(subject.split()),
            re.sub(r"\n{3,}", "\n\n", text.render(values, frame="frame.txt")).strip() + "\n",
            self._inline.inline(html),
        )

    def _values(self, facts: Facts) -> dict[str, Any]:
        moment = partial(_moment, zone=_zone(facts.timezone))
        organization, support = clean(facts.organization), facts.support and clean(facts.support)
        return {
            "name": clean(facts.name),
            "email": clean(facts.email),
            "organization": organization,
            "slug": clean(facts.slug),
            "support": support,
            "contact": support or f"an administrator of {organization}",
            "actor": facts.actor and clean(facts.actor),
            "ip": facts.ip and clean(facts.ip),
            "new_email": facts.new_email and clean(facts.new_email),
            "occurred": moment(facts.occurred_at),
            "expires": facts.link and moment(facts.link.expires_at),
            "link": facts.link and self._address(facts.link),
            "revoked": facts.revoked,
            "by_link": facts.by_link,
            "details": (),
        }

    def _address(self, link: Link) -> str:
        return f"{self._console}/{_LINKS[link.kind]}#{link.token}"


def clean(text: str) -> str:
    """One line, not too long, without control and direction characters, and without what looks like an address."""
    plain = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    plain = "".join(c for c in plain if unicodedata.category(c) != "Cf")
    plain = " ".join(plain.split())
    if "://" in plain and not plain.startswith("https://"):
        plain = plain.replace("://", " ")
    return plain if len(plain) <= LONGEST_NAME else plain[: LONGEST_NAME - 1] + "…"


def _environment(
    *, escaped: bool, paragraphs: Callable[[str], str], strong: Callable[[str], str]
) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=escaped,  # noqa: S701 (off for plain text only)
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"paragraphs": paragraphs, "strong": strong, "linked": _linked, "masked": _masked}
    return environment


def _blocks(text: str) -> list[str]:
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]


def _html_paragraphs(text: str) -> Markup:
    return Markup("\n").join(Markup(f"<p>{block}</p>") for block in _blocks(text))  # noqa: S704 - escaped already


def _text_paragraphs(text: str) -> str:
    return "\n\n".join(
        textwrap.fill(block, LINE, break_long_words=False, break_on_hyphens=False) for block in _blocks(text)
    )


def _linked(text: str) -> Markup:
    """A support contact that can be clicked on: a mailbox or an https address; anything else is just text."""
    if _MAILBOX.fullmatch(text):
        return Markup('<a href="mailto:{0}">{0}</a>').format(text)
    if text.startswith("https://"):
        return Markup('<a href="{0}">{0}</a>').format(text)
    return escape(text)


def _masked(address: str) -> str:
    """An address as its owner recognizes it and a stranger cannot use it: `b…@acme.example`."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…{at}{domain}"


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _moment(time: datetime, zone: ZoneInfo) -> str:
    """As in `Tuesday, 24 November 2026, 16:05 (Europe/Vienna)`."""
    local = time.astimezone(UTC).astimezone(zone)
    return f"{local:%A}, {local.day} {local:%B %Y, %H:%M} ({zone.key})"
