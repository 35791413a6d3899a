"""What time ends: refused at once where it is used, and written down by the sweeper."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.identity.app import open_services
from services.identity.routes import Services
from services.identity.sessions import sweep as sweeping
from services.identity.sessions.sweep import PAGE, SQL, sweep
from tests.support.identity import Org, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import events_of, link_of, signed_in, unit_of_last


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


@pytest.fixture
async def services(place: Place) -> AsyncIterator[Services]:
    async with open_services(place.identity, place.settings) as services:
        yield services


async def swept(services: Services, query: str, *args: Any) -> None:
    """Sweep until this holds: the process has a sweeper of its own, which may just be at it."""
    async with asyncio.timeout(20):
        while not await services.pool.fetchval(query, *args):
            await sweep(services)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("UPDATE sessions SET expires_at = now() WHERE id = $1", "expired"),
        ("UPDATE sessions SET created_at = now() - interval '31 days' WHERE id = $1", "expired"),
        (
            """WITH begun AS (UPDATE sessions SET created_at = now() - interval '14 h' WHERE id = $1)
            UPDATE session_use SET last_seen_at = now() - interval '13 h' WHERE session = $1""",
            "idle",
        ),
    ],
)
async def test_a_session_that_is_over_is_refused_at_once_and_its_end_is_written(
    place: Place, org: Org, services: Services, change: str, cause: str
) -> None:
    body = await signed_in(place, org, org.member)
    session = body["session"]["id"]
    await place.identity.pool.execute(change, session)
    assert (await place.call("GET", "/v1/me", body["token"])).status_code == 401
    listed = (await place.call("GET", "/v1/me/sessions", org.member)).json()
    assert session not in [s["id"] for s in listed["data"]]
    await swept(services, "SELECT NOT EXISTS (SELECT FROM sessions WHERE id = $1)", session)
    rows = await place.identity.pool.fetch(
        "SELECT type, open, actor_type FROM events WHERE stream = $1 ORDER BY version OFFSET 2", session
    )
    assert [(row["type"], row["actor_type"]) for row in rows] == [
        ("session.ended", "system"), ("ip_rule.revoked", "system"),
    ]  # fmt: skip
    assert (rows[0]["open"]["cause"], rows[0]["open"]["kill"]) == (cause, None)
    assert (await place.call("GET", "/v1/me", org.member)).status_code == 200


async def test_an_invitation_that_expired_is_refused_and_voided_and_its_person_stays_invited(
    place: Place, org: Org, services: Services
) -> None:
    invited = await place.person(org, "invited", active=False)
    token = await link_of(place, invited)
    await place.identity.pool.execute('UPDATE links SET expires_at = now() WHERE "user" = $1', invited.id)
    body = {"token": token, "password": "quite a long new password"}
    refused = await place.call("POST", "/v1/invitations/accept", json=body)
    assert (refused.status_code, refused.json()["code"]) == (400, "link_invalid")
    await swept(services, 'SELECT NOT EXISTS (SELECT FROM links WHERE "user" = $1)', invited.id)
    assert (await events_of(place, invited.id))[-1] == "invitation.voided"
    assert (await unit_of_last(place, "invitation.voided"))[0][1]["cause"] == "expired"
    user = (await place.call("GET", f"/v1/users/{invited.id}", org.admin)).json()
    assert user["status"] == "invited"


async def test_a_link_that_expired_and_was_not_swept_is_none_that_a_deactivation_voids(
    place: Place, org: Org
) -> None:
    invited = await place.person(org, "invited", active=False)

    async def voided() -> int:
        path, dry = f"/v1/users/{invited.id}/deactivate", {"dry_run": "true"}
        return (await place.call("POST", path, org.admin, params=dry)).json()["effects"]["links_voided"]

    assert await voided() == 1
    await place.identity.pool.execute('UPDATE links SET expires_at = now() WHERE "user" = $1', invited.id)
    assert await voided() == 0


async def test_rows_that_nobody_needs_any_more_go(place: Place, org: Org, services: Services) -> None:
    pool = place.identity.pool
    await place.call("POST", "/v1/me/factors", org.member, {"type": "totp"})
    body = {"organization": org.slug, "email": org.member.email}
    await place.call("POST", "/v1/password-resets", json=body)
    key = {"headers": {"Idempotency-Key": "once"}}
    await place.call("POST", f"/v1/users/{org.member.id}/reactivate", org.admin, **key)
    await pool.execute(
        'INSERT INTO half_sessions (hash, id, org, "user", next, created_at, expires_at) '
        "VALUES ('x', 'ses_x', 'o', 'u', 'otp', now(), now())"
    )
    await pool.execute("INSERT INTO session_use (session, last_seen_at) VALUES ('ses_gone', now())")
    await pool.execute(
        "INSERT INTO ended_sessions (id, \"user\", ended_at) VALUES ('ses_old', 'u', now() - interval '31 d')"
    )
    await pool.execute("UPDATE factors SET created_at = now() - interval '11 min'")
    await pool.execute("UPDATE links SET expires_at = now() WHERE kind = 'reset'")
    await pool.execute("UPDATE answers SET created_at = now() - interval '25 h'")
    await pool.execute("UPDATE claims SET expires_at = now() WHERE expires_at IS NOT NULL")
    await swept(
        services,
        "SELECT NOT EXISTS (SELECT FROM half_sessions WHERE hash = 'x')"
        " AND NOT EXISTS (SELECT FROM session_use WHERE session = 'ses_gone')"
        " AND NOT EXISTS (SELECT FROM ended_sessions WHERE id = 'ses_old')"
        " AND NOT EXISTS (SELECT FROM factors) AND NOT EXISTS (SELECT FROM links WHERE kind = 'reset')"
        " AND NOT EXISTS (SELECT FROM answers) AND NOT EXISTS (SELECT FROM claims WHERE expires_at IS NOT NULL)",
    )
    logins = await pool.fetchval("SELECT count(*) FROM claims WHERE starts_with(id, 'login:')")
    assert logins >= 3


async def test_several_sweepers_at_once_write_each_end_once(
    place: Place, org: Org, services: Services
) -> None:
    sessions = [(await signed_in(place, org, org.member))["session"]["id"] for _ in range(4)]
    await place.identity.pool.execute(
        "UPDATE sessions SET expires_at = now() WHERE id = ANY($1::text[])", sessions
    )
    await asyncio.gather(*(sweep(services) for _ in range(6)))
    await swept(services, "SELECT NOT EXISTS (SELECT FROM sessions WHERE id = ANY($1::text[]))", sessions)
    for session in sessions:
        assert await events_of(place, session) == [
            "session.started", "ip_rule.granted", "session.ended", "ip_rule.revoked",
        ]  # fmt: skip


async def test_one_that_fails_holds_up_nobody() -> None:
    done: list[str] = []

    async def work(id_: str) -> None:
        if id_ == "two":
            raise ZeroDivisionError
        done.append(id_)

    await sweeping._each(["one", "two", "three"], work)
    assert done == ["one", "three"]


async def test_a_round_writes_more_than_a_page_of_ends(
    place: Place, org: Org, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 2)
    people = [await place.person(org, f"many{number}") for number in range(5)]
    for person in people:
        await signed_in(place, org, person)
    ids = [person.id for person in people]
    async with place.identity.pool.acquire() as connection:
        await connection.execute(
            "SELECT pg_advisory_lock($1)", sweeping.LOCK
        )  # the process has a sweeper as well
        try:
            await connection.execute(
                'UPDATE sessions SET expires_at = now() WHERE "user" = ANY($1::text[])', ids
            )
            await sweeping._all(connection, "people", lambda user: sweeping._end_sessions(services, user))
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", sweeping.LOCK)
        left = 'SELECT count(*) FROM sessions WHERE "user" = ANY($1::text[])'
        assert await connection.fetchval(left, ids) == 0


async def test_a_session_that_is_over_is_found_without_reading_those_that_are_not(
    place: Place, org: Org
) -> None:
    async with place.identity.pool.acquire() as connection, _undone(connection):
        await connection.execute(
            'INSERT INTO sessions (id, org, "user", amr, created_at, expires_at, version)'
            " SELECT 'ses_' || n, $1, 'usr_' || n, '{pwd}', now() - n * interval '1 s', now() + interval '9 d', 1"
            " FROM generate_series(1, 20000) n",
            org.id,
        )
        await connection.execute(
            "UPDATE organizations SET session_idle_seconds = 19990 WHERE id = $1", org.id
        )
        await connection.execute("ANALYZE sessions")
        found = await connection.fetch(SQL["people"], PAGE, ["usr_19995"])
        assert {row["id"] for row in found} == {f"usr_{n}" for n in range(19990, 20001)} - {"usr_19995"}
        plan = await connection.fetch("EXPLAIN " + SQL["people"], PAGE, [])
    text = "\n".join(row[0] for row in plan)
    assert "sessions_by_age" in text
    assert "sessions_by_end" in text
    assert "Seq Scan on sessions" not in text


async def test_the_rows_that_only_a_race_leaves_wait_for_a_thorough_round(
    place: Place, services: Services
) -> None:
    pool = place.identity.pool
    await pool.execute("INSERT INTO session_use (session, last_seen_at) VALUES ('ses_raced', now())")
    await sweep(services, thorough=False)
    assert await pool.fetchval("SELECT EXISTS (SELECT FROM session_use WHERE session = 'ses_raced')")
    await swept(services, "SELECT NOT EXISTS (SELECT FROM session_use WHERE session = 'ses_raced')")


@asynccontextmanager
async def _undone(connection: Any) -> AsyncIterator[None]:
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()
