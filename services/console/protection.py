"""Headers of every answer: nothing is loaded from elsewhere, framed, sniffed or kept."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    # Not no-referrer: browsers then send `Origin: null` with our own forms.
    b"referrer-policy": b"same-origin",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=()",
}
_KEEP = b"cache-control"


class Protection:
    """Adds the headers; a page is never kept, unless its answer says otherwise (static files do)."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app = app
        self._headers = dict(HEADERS)
        if is_secure:
            self._headers[b"strict-transport-security"] = b"max-age=63072000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def protect(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message["headers"])
                if not any(name == _KEEP for name, _ in given):
                    given.append((_KEEP, b"no-store"))
                message["headers"] = [*given, *self._headers.items()]
            await send(message)

        await self._app(scope, receive, protect if scope["type"] == "http" else send)
