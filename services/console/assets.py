"""Static files, named with a hash of what is in them, so that a browser keeps them for good; and the icons.

`static/vendor/manifest.json` says of each foreign file where it is from, under which licence, and its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

from markupsafe import Markup
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
_DRAWING = re.compile(r"<path(?! stroke=\"none\")[^>]*/>")


@cache
def address(name: str) -> str:
    """Where a browser finds a static file; another content has another address."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?{digest[:12]}"


@cache
def icon(name: str, size: int = 18) -> Markup:
    """An icon of the vendored set, in the color of the text around it; it says nothing to who listens."""
    if name not in _drawings():
        raise LookupError(name)
    return Markup(
        '<svg class="icon" data-icon="{0}" width="{1}" height="{1}" aria-hidden="true"><use href="#icon-{0}"/></svg>'
    ).format(name, size)


@cache
def drawings() -> Markup:
    """What the icons of a page point to, once in each page."""
    drawn = (
        f'<symbol id="icon-{name}" viewBox="0 0 24 24">{paths}</symbol>'
        for name, paths in _drawings().items()
    )
    return Markup(f"<svg hidden>{''.join(drawn)}</svg>")  # noqa: S704 (our own files)


@cache
def _drawings() -> dict[str, str]:
    files = sorted((STATIC / "vendor" / "icons").glob("*.svg"))
    return {file.stem: "".join(_DRAWING.findall(file.read_text("utf-8"))) for file in files}


class Kept:
    """Serves the static files compressed, and tells the browser to keep them."""

    def __init__(self) -> None:
        self._files: ASGIApp = GZipMiddleware(StaticFiles(directory=STATIC), minimum_size=1024)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (200, 304):
                kept = (b"cache-control", b"public, max-age=31536000, immutable")
                message["headers"] = [*message["headers"], kept]
            await send(message)

        await self._files(scope, receive, keep)
