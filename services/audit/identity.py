"""Identity as audit sees it: who may read, how far the log goes, and what is missing here.

Routes and headers: `docs/decisions/0001-calls-between-services.md`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from fastapi import Request, Response

from services.kit.errors import Unavailable
from services.kit.http import SERVICE_KEY
from services.kit.parked import Raw

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=2)
PASSED_ON = ("authorization", "user-agent", "traceparent")
AWAY = (aiohttp.ClientError, TimeoutError, OSError)
OK, NO_CONTENT, SERVER_ERROR = 200, 204, 500


class IdentityAway(Unavailable):
    """Nobody can be let in at the moment; try again."""


class Refused(Exception):
    """Identity answered with a problem that the client must get as it is."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as identity knows them."""

    actor: dict[str, Any]
    org: str
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Head:
    position: int
    epoch: int


class Identity:
    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def authorize(self, request: Request, permission: str, route: str) -> Caller:
        """Ask whether the sender of this request may.

        Raises:
            Refused: they may not; identity has recorded that.
            IdentityAway: it cannot be asked.
        """
        body = {"permission": permission, "method": request.method, "route": route}
        try:
            async with self._http.post(
                "/internal/authorize", json=body, headers=_passed_on(request)
            ) as answer:
                if answer.status == OK:
                    said = await answer.json()
                    return Caller(said["actor"], said["org"], said.get("session_id"))
                raise await _refusal(answer)
        except AWAY:
            raise IdentityAway(retry_after=1) from None

    async def head(self) -> Head:
        """The end of the log. Raises one of `AWAY`."""
        said = await self._get("/internal/head")
        return Head(said["position"], said["epoch"])

    async def events(self, after: int, limit: int) -> list[Raw]:
        """Events in log order, as they stand in Kafka. Raises one of `AWAY`."""
        said = await self._get("/internal/events", after=after, limit=limit)
        return [_raw(event) for event in said["events"]]

    async def report(self, position: int) -> None:
        """Say how far audit has come: the erasure of a person waits for it. Raises one of `AWAY`."""
        async with self._http.put(
            "/internal/progress", json={"service": "audit", "position": position}
        ) as answer:
            answer.raise_for_status()

    async def _get(self, path: str, **query: int) -> Any:
        async with self._http.get(path, params=query) as answer:
            answer.raise_for_status()
            return await answer.json()


@asynccontextmanager
async def connect(url: str, service_key: str) -> AsyncIterator[Identity]:
    """A client that shows audit's key; of two keys it shows the newest, which stands first."""
    key = service_key.partition(",")[0].strip()
    async with aiohttp.ClientSession(
        url, headers={SERVICE_KEY: key}, timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Identity(session)


def _passed_on(request: Request) -> dict[str, str]:
    return {
        name: value
        for name, value in request.headers.items()
        if name in PASSED_ON or (name.startswith("muster-") and name != SERVICE_KEY)
    }


async def _refusal(answer: aiohttp.ClientResponse) -> Refused | IdentityAway:
    if answer.status >= SERVER_ERROR:
        return IdentityAway(retry_after=1)
    names = ("content-type", "retry-after", "cache-control", "muster-position", "www-authenticate")
    headers = {name: answer.headers[name] for name in names if name in answer.headers}
    return Refused(Response(await answer.read(), answer.status, headers))


def _raw(event: dict[str, Any]) -> Raw:
    value: str | None = event["value"]
    return Raw(
        event["topic"],
        event["key"].encode(),
        None if value is None else value.encode(),
        tuple((name, text.encode()) for name, text in event["headers"].items()),
    )
