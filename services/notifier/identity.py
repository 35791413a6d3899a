"""What the notifier asks identity: a person, an open link, what a kill ended, missing events, who is asking.

Nothing of an answer is kept: a link's token goes into one mail and is forgotten.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp

from services.kit.http import SERVICE_KEY
from services.kit.parked import Raw
from services.kit.postgres import dumps
from services.notifier.mails.render import Link

TIMEOUT = aiohttp.ClientTimeout(total=10, connect=3)
_PASSED_ON = ("authorization", "user-agent", "traceparent")


class IdentityAway(Exception):
    """Identity cannot be asked now."""


@dataclass(frozen=True, slots=True)
class Person:
    id: str
    email: str = field(repr=False)
    name: str = field(repr=False)
    status: str
    timezone: str | None
    organization: str
    slug: str
    support: str | None


@dataclass(frozen=True, slots=True)
class Killed:
    """What a kill ended, and those of it that still live: there must be none."""

    sessions: list[str]
    live: list[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of identity as it is: what a client who may not has to get."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, and may."""

    org: str


class Identity:
    """A client of identity's internal routes; every call raises IdentityAway while it cannot be asked."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url.rstrip("/")

    async def person(self, user: str) -> Person | None:
        """The person as of now; None once deleted."""
        found = await self._get(f"/internal/users/{quote(user, safe='')}")
        if found is None:
            return None
        org = found["organization"]
        return Person(
            found["id"], found["email"], found["name"], found["status"], found["timezone"],
            org["name"], org["slug"], org["support_contact"],
        )  # fmt: skip

    async def link(self, link: str) -> Link | None:
        """The link with its token, while it is open and its person may have it."""
        found = await self._get(f"/internal/links/{quote(link, safe='')}")
        if found is None:
            return None
        return Link(found["kind"], found["token"], datetime.fromisoformat(found["expires_at"]))

    async def killed(self, kill: str, user: str) -> Killed | None:
        """None when identity knows no such kill."""
        found = await self._get(f"/internal/kills/{quote(kill, safe='')}?user={quote(user, safe='')}")
        return None if found is None else Killed(list(found["sessions"]), list(found["live"]))

    async def events(self, subject: str, from_sequence: int) -> list[Raw]:
        """The records of a stream from a sequence on, at most a page of them."""
        found = await self._get(f"/internal/events?subject={quote(subject, safe='')}&from={from_sequence}")
        return [_raw(event) for event in found["events"]] if found else []

    async def position(self) -> int:
        """Where identity's log ends now."""
        found = await self._get("/internal/head")
        return found["position"] if found else 0

    async def authorize(
        self, permission: str, method: str, route: str, headers: Mapping[str, str]
    ) -> Caller | Answer:
        """Ask whether the client may; else the problem that the client must get, unchanged.

        Args:
            permission: what the call needs.
            method: of the call.
            route: its template, for the record of a refusal.
            headers: of the client's request, as the gateway handed them on.
        """
        passed_on = {
            name: value for name, value in headers.items()
            if name in _PASSED_ON or (name.startswith("muster-") and name != SERVICE_KEY)
        }  # fmt: skip
        asked = {"permission": permission, "method": method, "route": route}
        async with self._asking("POST", "/internal/authorize", json=asked, headers=passed_on) as response:
            if response.status == HTTPStatus.OK:
                return Caller((await response.json())["org"])
            body = await response.read()
            kept = ("content-type", "cache-control", "retry-after", "www-authenticate", "muster-position")
            return Answer(
                response.status, body, {n: response.headers[n] for n in kept if n in response.headers}
            )

    async def _get(self, path: str) -> Any:
        async with self._asking("GET", path) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            if response.status != HTTPStatus.OK:
                raise IdentityAway(f"identity answers {response.status}")
            return await response.json()

    @asynccontextmanager
    async def _asking(self, method: str, path: str, **more: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(method, self._url + path, **more) as response:
                if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise IdentityAway(f"identity answers {response.status}")
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise IdentityAway(type(error).__name__) from error


@asynccontextmanager
async def open_identity(url: str, key: str) -> AsyncIterator[Identity]:
    """A client with a pool of connections; `key` is the notifier's, the newest of several."""
    newest = key.split(",", 1)[0].strip()
    async with aiohttp.ClientSession(
        headers={SERVICE_KEY: newest}, timeout=TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        yield Identity(session, url)


def _raw(event: Mapping[str, Any]) -> Raw:
    value = event["value"]
    return Raw(
        event["topic"],
        event["key"].encode(),
        (value if isinstance(value, str) else dumps(value)).encode(),
        tuple((name, text.encode()) for name, text in event["headers"].items()),
    )
