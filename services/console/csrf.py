"""No other site makes a browser act here: a form is taken from our own pages only, and with the token in it.

The token is an HMAC over the browser's cookie, so nothing of it is kept; any console process can check it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from starlette.requests import Request
from yarl import URL

FIELD = "csrf"
HEADER = "Muster-Csrf"


class Forged(Exception):
    """The request did not come from a page of ours, or from one of an earlier session."""


class Csrf:
    """Makes and checks the tokens.

    Args:
        origin: the console's own, from the settings.
        keys: newest first; a token made with any of them is good.
    """

    def __init__(self, origin: str, keys: Sequence[str]) -> None:
        self._origin = str(URL(origin).origin())
        self._keys = [hashlib.sha256(f"console csrf {key}".encode()).digest() for key in keys]

    def token(self, holder: str) -> str:
        """The token for the forms of one browser.

        Args:
            holder: the value of its session or visitor cookie.
        """
        return _make(self._keys[0], holder)

    def check(self, request: Request, shown: str, holder: str | None) -> None:
        """Raises Forged."""
        self._check_origin(request)
        if holder is None:
            raise Forged
        given = shown.encode("utf-8", "replace")  # of ASCII alone texts are compared
        if not any([hmac.compare_digest(_make(key, holder).encode(), given) for key in self._keys]):  # noqa: C419 (asks all)
            raise Forged

    def _check_origin(self, request: Request) -> None:
        """A browser says from where a request comes: in `Sec-Fetch-Site`, or at least in `Origin`."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None and site != "same-origin":
            raise Forged
        if origin is not None and not self._is_ours(origin, request.headers.get("host", "")):
            raise Forged
        if site is None and origin is None:
            raise Forged

    def _is_ours(self, origin: str, host: str) -> bool:
        """Whether a page of that origin is ours: by the settings, or by the very host that was asked."""
        scheme = self._origin.partition("://")[0]
        return origin in (self._origin, f"{scheme}://{host}")


def _make(key: bytes, holder: str) -> str:
    mac = hmac.digest(key, holder.encode(), "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
