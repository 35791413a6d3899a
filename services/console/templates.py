"""Jinja2: every value is escaped, a name that nobody gave is an error, and times come in the reader's zone."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from services.console import assets, texts, times


def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        cache_size=-1,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known: dict[str, Any] = {
        "static": assets.address,
        "icon": assets.icon,
        "texts": texts,
    }
    filters: dict[str, Any] = {
        "ago": times.ago, "day": _day, "exact": _exact, "age": _age, "initials": initials,
        "counted": times.counted, "image": image, "breakable": breakable,
    }  # fmt: skip
    made.globals.update(known)
    made.filters.update(filters)
    for name in made.list_templates(extensions=["html"]):  # a wrong one stops the start, and no visitor waits
        made.get_template(name)
    return made


@pass_context
def _day(context: Context, text: str) -> str:
    return times.day(text, _zone(context))


@pass_context
def _exact(context: Context, text: str) -> str:
    return times.exact(text, _zone(context))


def _zone(context: Context) -> ZoneInfo:
    me: dict[str, Any] = context.get("me") or {}
    return times.zone_of(me.get("timezone"))


def _age(text: str) -> str:
    """How old something is: `3 days`."""
    return times.span((datetime.now(UTC) - times.read(text)).total_seconds())


def initials(name: str) -> str:
    """First letters of the first and the last word."""
    words = name.split() or ["?"]
    return (words[0][0] + (words[-1][0] if len(words) > 1 else "")).upper()


def breakable(address: str) -> Markup:
    """An e-mail address that a narrow column may break before its @."""
    return Markup("<wbr>@").join(address.split("@"))


def image(svg: str) -> Markup:
    """A drawing as the address of an image: within one no script runs, whatever is in it."""
    if "xmlns" not in svg:  # within HTML it needs none, as a file of its own it does
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    encoded = base64.b64encode(svg.encode()).decode()
    return Markup(f"data:image/svg+xml;base64,{encoded}")  # noqa: S704 (base64 holds nothing to escape)
