"""Static files, named with a hash of what is in them, so that a browser keeps them for good; and the icons.

`static/vendor/manifest.json` says of each foreign file where it is from, under which licence, and its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.console import pruning

HERE = Path(__file__).parent
STATIC = HERE / "static"
_CLASSES = re.compile(r'class="([^"]*)"')
_DRAWING = re.compile(r"<path(?! stroke=\"none\")[^>]*/>")
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke="#000" stroke-width="1.75"'
    ' stroke-linecap="round" stroke-linejoin="round">{}</svg>'
)


@cache
def address(name: str) -> str:
    """Where a browser finds a static file; another content has another address."""
    content = _MADE[name]().encode() if name in _MADE else (STATIC / name).read_bytes()
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
    """The style sheet of the icons.

    An icon is one element so. As an `<svg>` with its parts it would be four, and a browser styles every element
    of a page anew with each dialog that opens.
    """
    return "\n".join(
        f'.icon-{name} {{ mask-image: url("data:image/svg+xml,{quote(_SVG.format(paths))}"); }}'
        for name, paths in _drawings().items()
    )


@cache
def tabler() -> str:
    """What our pages use of Tabler's style sheet; the notice of its license stays."""
    ours = pruning.classes_of((STATIC / "muster.css").read_text("utf-8"))
    for file in (HERE / "templates").rglob("*.html"):
        for given in _CLASSES.findall(file.read_text("utf-8")):
            ours.update(re.findall(r"[\w-]+", given))
    return pruning.pruned((STATIC / "vendor" / "tabler.min.css").read_text("utf-8"), ours)


_MADE: dict[str, Callable[[], str]] = {"icons.css": icons, "tabler.css": tabler}


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
        made = _MADE.get(scope["path"].removeprefix("/static/"))
        app: ASGIApp = Response(made(), media_type="text/css") if made else self._files
        await app(scope, receive, send)
