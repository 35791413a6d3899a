"""The page of the mail catcher: a list, and one mail beside it. No script; a mail's HTML is in a sandbox."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Protocol

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'"
)
CONTENT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)
EMPTY = "<p>Mail that this Muster sends is shown here and goes nowhere.</p>"
LINK = re.compile(r"https?://[^\s<>\"']+")
STYLE = """
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: #1f2937; background: #f3f4f6 }
body { display: flex; height: 100vh }
nav { width: 24rem; overflow-y: auto; background: #fff; border-right: 1px solid #d1d5db }
h1 { font-size: 1.1rem; margin: 0; padding: 1rem }
nav a { display: block; padding: .6rem 1rem; border-top: 1px solid #e5e7eb }
nav a { color: inherit; text-decoration: none }
nav a:hover, nav a[aria-current] { background: #eef2ff }
small { display: block; color: #4b5563 }
main { flex: 1; padding: 1.5rem; overflow-y: auto; display: flex; flex-direction: column; gap: 1rem }
iframe { flex: 1; min-height: 32rem; border: 1px solid #d1d5db; background: #fff }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #fff; border: 1px solid #d1d5db }
pre { padding: 1rem; margin: 0 }
h2 { margin: 0; font-size: 1.2rem }
"""


class Mail(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def to(self) -> str: ...
    @property
    def sender(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def html(self) -> str | None: ...
    @property
    def received_at(self) -> str: ...


def render(mails: Sequence[Mail], shown: Mail | None) -> str:
    """The whole page; without a mail to show it looks for new ones every 5 s."""
    refresh = "" if shown else '<meta http-equiv="refresh" content="5">'
    listed = "".join(_entry(mail, shown) for mail in mails) or "<p style='padding: 0 1rem'>No mail yet.</p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{refresh}'
        f'<meta name="viewport" content="width=device-width"><title>Muster: caught mail</title>'
        f"<style>{STYLE}</style></head><body>"
        f"<nav><h1>Caught mail ({len(mails)})</h1>{listed}</nav>"
        f"<main>{_mail(shown) if shown else EMPTY}"
        "</main></body></html>"
    )


def _entry(mail: Mail, shown: Mail | None) -> str:
    current = ' aria-current="true"' if shown is mail else ""
    return (
        f'<a href="/messages/{mail.id}"{current}>{escape(mail.subject) or "(no subject)"}'
        f"<small>{escape(mail.to)}</small><small>{escape(mail.received_at)}</small></a>"
    )


def _mail(mail: Mail) -> str:
    html = f'<iframe title="HTML part" src="/messages/{mail.id}/content"></iframe>' if mail.html else ""
    text = LINK.sub(lambda found: f'<a href="{found[0]}">{found[0]}</a>', escape(mail.text))
    return (
        f"<header><h2>{escape(mail.subject)}</h2><small>From {escape(mail.sender)}</small>"
        f"<small>To {escape(mail.to)}</small><small>{escape(mail.received_at)}</small>"
        f'<a href="/">All mail</a>'
        f"</header>{html}<pre>{text}</pre>"
    )
