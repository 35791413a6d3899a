"""The one thing the console talks to: the gateway, called as any API client could call it.

Beside the credential of the person it hands on their address and browser, and shows the service key by which
the gateway believes it on the address.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
from yarl import URL

from services.kit.http import SERVICE_KEY

Json = dict[str, Any]
Params = Sequence[tuple[str, str]]

KEEP_ALIVE_SECONDS = 15
"""Shorter than the gateway's 75 s: it is always we who let an idle connection go."""
TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_connect=2, sock_read=35)
CONNECTIONS = 256
FAILED = 400
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True)
class Caller:
    """For whom a call is made."""

    token: str | None = field(repr=False)
    address: str | None
    user_agent: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the JSON object ({} where there was none) and the position that it covers."""

    body: Json
    position: str | None


class Problem(Exception):
    """The API refused; `document` is its RFC 9457 document."""

    def __init__(self, status: int, document: Json) -> None:
        self.status = status
        self.document = document
        self.code: str = document.get("code", "internal")
        self.detail: str = document.get("detail", "")
        super().__init__(self.code)


class Away(Exception):
    """The gateway does not answer."""


class Gateway:
    """Our client towards the gateway; usable within `opened`.

    Args:
        origin: where it answers.
        key: our service key.
    """

    def __init__(self, origin: str, key: str) -> None:
        self._origin = URL(origin).origin()
        self._key = key
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold the pool of connections."""
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=TIMEOUT
        ) as self._session:
            yield

    async def call(
        self,
        caller: Caller,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        params: Params = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make one call.

        Args:
            caller: for whom.
            method: of HTTP.
            path: begins with `/`; whoever builds it has quoted what came from outside.
            body: sent as JSON.
            params: the query.
            headers: `Idempotency-Key`, `If-Match`.

        Raises:
            Problem: the API says no.
            Away: nobody says anything.
        """
        status, raw, position = await self._send(caller, method, path, body, params, headers or {})
        document = _read(raw)
        if status >= FAILED:
            raise Problem(status, document)
        return Answer(document, position)

    async def is_ready(self) -> bool:
        """Whether the gateway answers at all; what stands behind it is its own to tell."""
        try:
            async with asyncio.timeout(2):
                await self.call(Caller(None, None, ""), "GET", "/live")
        except (Problem, Away, TimeoutError):
            return False
        return True

    async def _send(
        self,
        caller: Caller,
        method: str,
        path: str,
        body: Json | None,
        params: Params,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes, str | None]:
        if self._session is None:
            raise Away
        url = URL(f"{self._origin}{path}", encoded=True)
        try:
            async with self._session.request(
                method,
                url.update_query(list(params)) if params else url,
                headers=self._headers(caller) | dict(headers),
                json=body,
                allow_redirects=False,
            ) as answer:
                return answer.status, await answer.read(), answer.headers.get("Muster-Position")
        except UNREACHABLE:
            raise Away from None

    def _headers(self, caller: Caller) -> dict[str, str]:
        headers = {SERVICE_KEY: self._key, "User-Agent": caller.user_agent}
        if caller.address is not None:
            headers["Muster-Client-Address"] = caller.address
        if caller.token is not None:
            headers["Authorization"] = f"Bearer {caller.token}"
        return headers


def _read(raw: bytes) -> Json:
    try:
        document = json.loads(raw or b"{}")
    except ValueError:
        return {}
    return cast("Json", document) if isinstance(document, dict) else {}
