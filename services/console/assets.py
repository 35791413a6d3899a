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
    """An icon of the vendored set, drawn in the color of the text around it; it says nothing to who listens."""
    drawing = "".join(_DRAWING.findall((STATIC / "vendor" / "icons" / f"{name}.svg").read_text("utf-8")))
    return Markup(  # noqa: S704 (our own files)
        f'<svg class="icon" data-icon="{name}" width="{size}" height="{size}" viewBox="0 0 24 24" fill="none" '
        'stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" '
        f'aria-hidden="true" focusable="false">{drawing}</svg>'
    )


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
