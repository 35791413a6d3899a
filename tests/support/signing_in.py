"""What tests of sessions and credentials do again and again over HTTP."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from pyotp.totp import TOTP

from services.identity.links import open_token
from tests.support.identity import PASSWORD, Org, Person, Place

STEP = 30


async def sign_in(
    place: Place, org: str, login: str, password: str = PASSWORD, ip: str | None = None
) -> httpx.Response:
    body = {"organization": org, "login": login, "password": password}
    headers = {"Muster-Client-Address": ip} if ip else {}
    return await place.call("POST", "/v1/sign-in", json=body, headers=headers)


async def signed_in(place: Place, org: Org, person: Person, password: str = PASSWORD) -> dict[str, Any]:
    answer = await sign_in(place, org.slug, person.email, password)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def events_of(place: Place, stream: str) -> list[str]:
    rows = await place.identity.pool.fetch(
        "SELECT type FROM events WHERE stream = $1 ORDER BY version", stream
    )
    return [row["type"] for row in rows]


async def unit_of_last(place: Place, type_: str) -> list[tuple[str, dict[str, Any]]]:
    """Type and open data of all events of the last command that wrote this type."""
    rows = await place.identity.pool.fetch(
        "SELECT type, open FROM events WHERE action = "
        "(SELECT action FROM events WHERE type = $1 ORDER BY position DESC LIMIT 1) ORDER BY position",
        type_,
    )
    return [(row["type"], row["open"]) for row in rows]


async def link_of(place: Place, person: Person) -> str:
    """The token in the mail that this person was sent last."""
    async with place.identity.pool.acquire() as connection:
        row = await connection.fetchrow(
            'SELECT id, token FROM links WHERE "user" = $1 ORDER BY created_at DESC LIMIT 1', person.id
        )
        assert row is not None
        sealer = (await place.identity.keys.fetch(connection, [person.id]))[person.id]
        assert sealer is not None
        return open_token(sealer, row["id"], row["token"])


@dataclass
class App:
    """An authenticator app: `code` is one that was not shown before, of a step that is accepted now."""

    factor: str
    seed: str
    used: set[int] = field(default_factory=set)

    def code(self) -> str:
        now = int(time.time()) // STEP
        step = next(step for step in (now - 1, now, now + 1) if step > max(self.used, default=0))
        self.used.add(step)
        return TOTP(self.seed).generate_otp(step)

    def wrong(self) -> str:
        right = {TOTP(self.seed).generate_otp(int(time.time()) // STEP + n) for n in range(-3, 4)}
        return next(f"{n:06}" for n in range(10) if f"{n:06}" not in right)


async def begin_enrolling(place: Place, token: str) -> App:
    answer = await place.call("POST", "/v1/me/factors", token, {"type": "totp"})
    assert answer.status_code == 200, answer.text
    return App(answer.json()["id"], answer.json()["secret"])


async def enroll(place: Place, token: str) -> tuple[App, list[str]]:
    """Set up an authenticator app; its recovery codes."""
    app = await begin_enrolling(place, token)
    path = f"/v1/me/factors/{app.factor}/activate"
    answer = await place.call("POST", path, token, {"code": app.code()})
    assert answer.status_code == 200, answer.text
    return app, answer.json()["recovery_codes"]
