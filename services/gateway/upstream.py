"""Our client towards the services: one pool of connections, no cookies, no redirects, bytes as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from pydantic import SecretStr
from yarl import URL

from services.gateway.routes import Service
from services.kit.errors import Unavailable
from services.kit.http import SERVICE_KEY
from services.kit.settings import Settings

# Shorter than the 75 s of the services (`kit.server`): it is always we who let an idle connection go, so a
# command never meets one that is just being closed.
KEEP_ALIVE_SECONDS = 15
TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_connect=2, sock_read=30)
DOCUMENT_SECONDS = 2
CONNECTIONS_PER_SERVICE = 256
UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)

Answer = aiohttp.ClientResponse


class Away(Unavailable):
    """The service behind this address does not answer now; try again."""


class _Lost(Exception):
    """The connection ended after a command may have been sent: whether it was followed is not known."""


@dataclass(frozen=True, slots=True)
class Target:
    """One service: its address and the key that we show it."""

    origin: URL
    key: str


class Services:
    """The services behind the gateway; usable within `opened`."""

    def __init__(self, settings: Settings) -> None:
        urls, keys = settings.urls, settings.service_keys
        self._targets: dict[Service, Target] = {
            "identity": _target(urls.identity, keys.gateway_identity),
            "audit": _target(urls.audit, keys.gateway_audit),
            "notifier": _target(urls.notifier, keys.gateway_notifier),
        }
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold the pool of connections."""
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_SERVICE, keepalive_timeout=KEEP_ALIVE_SECONDS
        )
        async with aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=TIMEOUT,
            middlewares=(_never_send_a_command_twice,),
        ) as self._session:
            yield

    async def ask(
        self, service: Service, method: str, target: str, headers: list[tuple[str, str]], body: bytes
    ) -> Answer:
        """Forward one request; the caller reads the answer's body and closes it.

        Args:
            service: who is asked.
            method: any method.
            target: path and query exactly as they go on the wire.
            headers: all that go on, except the service key.
            body: may be empty.

        Raises:
            Away: it cannot be reached, is late, or hung up.
        """
        to = self._targets[service]
        if self._session is None:
            raise Away(retry_after=1)
        try:
            return await self._session.request(
                method,
                URL(f"{to.origin}{target}", encoded=True),
                headers=[*headers, (SERVICE_KEY, to.key)],
                data=body or None,
                allow_redirects=False,
            )
        except (*UNREACHABLE, _Lost):
            raise Away(retry_after=1) from None

    async def document(self, service: Service, path: str) -> tuple[int, bytes]:
        """Status and body of a small document of a service, asked with our key.

        Raises:
            Away: it cannot be reached, is late, or hung up.
        """
        try:
            async with (
                asyncio.timeout(DOCUMENT_SECONDS),
                await self.ask(service, "GET", path, [], b"") as answer,
            ):
                return answer.status, await answer.read()
        except UNREACHABLE:
            raise Away(retry_after=1) from None


def _target(url: str, keys: SecretStr) -> Target:
    return Target(URL(url).origin(), keys.get_secret_value().partition(",")[0].strip())


async def _never_send_a_command_twice(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Hide from aiohttp that a connection died under a command: it would send PUT and DELETE again.

    A read that met a connection closed while idle is asked once more, by aiohttp itself.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
        if request.method in ("GET", "HEAD"):
            raise
        raise _Lost from None
