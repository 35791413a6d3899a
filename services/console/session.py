"""The cookies of the console: the session token itself, and a mark of the browser that is not signed in yet.

On https they carry the prefix `__Host-`, by which a browser takes them from this very origin alone. On plain
http they are named with the port, since cookies know no ports and two consoles may run on one machine.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from yarl import URL

from services.kit.tokens import is_token

VISITOR_BYTES = 24


@dataclass(frozen=True, slots=True)
class Cookies:
    """Names and flags of the cookies.

    Args:
        origin: the console's own, from the settings.
    """

    origin: str

    @property
    def is_secure(self) -> bool:
        return URL(self.origin).scheme == "https"

    @property
    def session(self) -> str:
        return "__Host-muster" if self.is_secure else f"muster-{URL(self.origin).port}"

    @property
    def visitor(self) -> str:
        return f"{self.session}-visitor"

    def token(self, request: Request) -> str | None:
        """The session token that the browser holds; anything malformed counts as none."""
        value = request.cookies.get(self.session, "")
        return value if is_token(value, "mus") else None

    def sign_in(self, response: Response, token: str, expires_at: str | None) -> None:
        """Have the browser hold a token until its session ends in any case."""
        expires = datetime.fromisoformat(expires_at) if expires_at else None
        self._set(response, self.session, token, expires)

    def sign_out(self, response: Response) -> None:
        response.delete_cookie(self.session, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def remember_visitor(self, response: Response, visitor: str) -> None:
        self._set(response, self.visitor, visitor, None)

    def _set(self, response: Response, name: str, value: str, expires: datetime | None) -> None:
        response.set_cookie(
            name, value, expires=expires and expires.astimezone(UTC), path="/", secure=self.is_secure,
            httponly=True, samesite="lax",
        )  # fmt: skip


def new_visitor() -> str:
    return secrets.token_urlsafe(VISITOR_BYTES)
