"""Static files, named with a hash of what is in them, so that a browser keeps them for good; and the icons.

`static/vendor/manifest.json` says of each foreign file where it is from, under which licence, and its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
ICONS = "icons.css"
"""Made from the drawings: one element for an icon, where an `<svg>` with its parts would be four that a browser
styles anew with each dialog that opens."""
_DRAWING = re.compile(r"<path(?! stroke=\"none\")[^>]*/>")
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#000" stroke-width="1.75"'
    ' stroke-linecap="round" stroke-linejoin="round">{}</svg>'
)


@cache
def address(name: str) -> str:
    """Where a browser finds a static file; another content has another address."""
    content = icons().encode() if name == ICONS else (STATIC / name).read_bytes()
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:12]}"


@cache
def icon(name: str, size: int = 18) -> Markup:
    """An icon of the vendored set, in the color of the text around it; it says nothing to who listens."""
    if name not in _drawings():
        raise LookupError(name)
    return Markup('<span class="icon-{0} drawn drawn-{1}" data-icon="{0}" aria-hidden="true"></span>').format(
        name, size
    )


@cache
def icons() -> str:
    """The style sheet of the icons."""
    return "\n".join(
        f'.icon-{name} {{ mask-image: url("data:image/svg+xml,{quote(_SVG.format(paths))}"); }}'
        for name, paths in _drawings().items()
    )


@cache
def _drawings() -> dict[str, str]:
    files = sorted((STATIC / "vendor" / "icons").glob("*.svg"))
    return {file.stem: "".join(_DRAWING.findall(file.read_text("utf-8"))) for file in files}


class Kept:
    """Serves the static files compressed, and tells the browser to keep them."""

    def __init__(self) -> None:
        self._files = StaticFiles(directory=STATIC)
        self._app = GZipMiddleware(self._find, minimum_size=1024)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (200, 304):
                kept = (b"cache-control", b"public, max-age=31536000, immutable")
                message["headers"] = [*message["headers"], kept]
            await send(message)

        await self._app(scope, receive, keep)

    async def _find(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_icons = scope["path"].endswith(f"/{ICONS}")
        app: ASGIApp = Response(icons(), media_type="text/css") if is_icons else self._files
        await app(scope, receive, send)
