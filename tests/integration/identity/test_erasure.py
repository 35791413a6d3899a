"""Erasure: the key of a deleted person goes when relay and audit have passed the deletion, and no earlier."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.identity import log
from services.identity.janitor import erase
from services.kit.persons import PersonKeys
from tests.support.identity import Org, Person, Place, running_identity
from tests.support.servers import PostgresServer


class Office:
    def __init__(self, place: Place, org: Org) -> None:
        self.place, self.org = place, org
        self.pool, self.keys = place.identity.pool, place.identity.keys

    async def delete_someone(self, name: str) -> tuple[Person, int]:
        """Somebody who was deleted, and the position of that event."""
        person = await self.place.person(self.org, name)
        answer = await self.place.call(
            "DELETE", f"/v1/users/{person.id}", self.org.owner, {"confirm": person.email, "reason": "left"}
        )
        assert answer.status_code == 200, answer.text
        return person, await self.sql(
            "SELECT position FROM events WHERE stream = $1 AND type = 'user.deleted'", person.id
        )

    async def sql(self, statement: str, *args: Any) -> Any:
        async with self.pool.acquire() as connection:
            return await connection.fetchval(statement, *args)

    async def passed(self, *, relay: int | None = None, audit: int | None = None) -> None:
        if relay is not None:
            await self.sql(
                "INSERT INTO relay_cursor VALUES ('identity', $1, 1) "
                "ON CONFLICT (name) DO UPDATE SET position = $1",
                relay,
            )
        if audit is not None:
            await self.sql(
                "INSERT INTO progress VALUES ('audit', $1, now()) "
                "ON CONFLICT (service) DO UPDATE SET position = $1",
                audit,
            )


@pytest.fixture
async def office(postgres_server: PostgresServer) -> AsyncIterator[Office]:
    async with running_identity(postgres_server) as place:
        yield Office(place, await place.organization())


async def test_a_key_is_destroyed_when_both_relay_and_audit_have_passed_the_deletion(office: Office):
    person, position = await office.delete_someone("dan")
    assert await erase(office.pool, office.keys) == []
    await office.passed(relay=position)
    assert await erase(office.pool, office.keys) == []
    await office.passed(audit=position - 1)
    assert await erase(office.pool, office.keys) == []
    await office.passed(relay=position - 1, audit=position)
    assert await erase(office.pool, office.keys) == []
    await office.passed(relay=position)
    assert await erase(office.pool, office.keys) == [person.id]
    assert await erase(office.pool, office.keys) == []
    assert await office.sql("SELECT wrapped FROM person_keys WHERE id = $1", person.id) is None
    assert await office.sql("SELECT destroyed_at IS NOT NULL FROM person_keys WHERE id = $1", person.id)


async def test_what_is_read_of_an_erased_person_is_null_and_says_erased(office: Office):
    person, position = await office.delete_someone("eve")
    await office.passed(relay=position, audit=position)
    await erase(office.pool, office.keys)
    async with office.pool.acquire() as connection:
        for keys in (office.keys, PersonKeys(office.keys._master)):
            found = await log.read(connection, keys, 0, 1000)
            about = [e for e in found if e.data.get("user") == person.id]
            assert about
            assert person.email not in json.dumps([e.data for e in found])
            deleted = about[-1 - [e.type for e in reversed(about)].index("user.deleted")]
            assert deleted.erased
            assert deleted.data["email"] is deleted.data["name"] is deleted.data["reason"] is None
            assert deleted.data["actor"]["id"] == office.org.owner.id
            assert deleted.data["actor"]["name"] == office.org.owner.name
            assert deleted.event()


async def test_the_keys_of_the_living_stay(office: Office):
    _, position = await office.delete_someone("fay")
    await office.passed(relay=position + 100, audit=position + 100)
    assert len(await erase(office.pool, office.keys)) == 1
    assert await office.sql("SELECT count(*) FROM person_keys WHERE wrapped IS NULL") == 1


async def test_two_janitors_destroy_each_key_once(office: Office):
    people = [await office.delete_someone(f"gus{n}") for n in range(5)]
    await office.passed(relay=people[-1][1], audit=people[-1][1])
    done = await asyncio.gather(*(erase(office.pool, office.keys) for _ in range(4)))
    assert sorted(id_ for ids in done for id_ in ids) == sorted(person.id for person, _ in people)


async def test_after_a_day_of_waiting_there_is_an_alarm_and_after_a_week_the_key_goes_in_any_case(
    office: Office,
):
    person, _ = await office.delete_someone("hal")

    async def wait(interval: str) -> tuple[list[str], list[str]]:
        await office.sql(
            f"UPDATE person_keys SET forgotten_at = now() - interval '{interval}' WHERE id = $1", person.id
        )
        with capture_logs() as logs:
            erased = await erase(office.pool, office.keys)
        assert person.email not in str(logs)
        return erased, [entry["event"] for entry in logs if entry.get("alarm")]

    assert await wait("23 hours") == ([], [])
    assert await wait("25 hours") == ([], ["erasure waits for relay or audit"])
    await office.passed(relay=1, audit=1)
    assert await wait("6 days 23 hours") == ([], ["erasure waits for relay or audit"])
    assert await wait("7 days 1 hour") == ([person.id], ["erased before relay and audit had passed"])
    assert await wait("8 days") == ([], [])
