"""`muster rebuild users`: the same rows from the log, and what differs is said without showing it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from muster_contracts.credentials import MfaReset, PasswordResetRequested, RecoveryCodesGenerated
from muster_contracts.events import Change, Event
from muster_contracts.users import UserLabelsChanged, UserRoleChanged

from services.identity import rebuild
from services.identity.rebuild import Report
from services.kit.ids import new_id
from services.kit.postgres import connect
from tests.support.identity import Org, Place, running_identity
from tests.support.servers import PostgresServer

ROOT = Path(__file__).resolve().parents[3]
INDEXES = "SELECT indexdef FROM pg_indexes WHERE tablename = 'users' ORDER BY indexname"
SHAPE = (
    "SELECT relacl::text, reloptions::text, relpersistence::text FROM pg_class WHERE oid = 'users'::regclass"
)


class House:
    def __init__(self, place: Place, org: Org, owner_url: str) -> None:
        self.place, self.org, self.owner_url = place, org, owner_url

    async def sql(self, statement: str, *args: Any, owner: bool = False) -> list[Any]:
        url = self.owner_url if owner else self.place.settings.databases.identity.get_secret_value()
        connection = await connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *args)]
        finally:
            await connection.close()

    async def verify(self) -> Report:
        connection = await connect(self.place.settings.databases.identity.get_secret_value())
        try:
            return await rebuild.verify(connection, self.place.identity.keys)
        finally:
            await connection.close()

    async def rebuild(self) -> Report:
        connection = await connect(self.owner_url)
        try:
            return await rebuild.rebuild(connection, self.place.identity.keys)
        finally:
            await connection.close()

    async def command(self, *arguments: str) -> tuple[int, str, str]:
        settings = {
            "MUSTER_DATABASES__IDENTITY": self.place.settings.databases.identity.get_secret_value(),
            "MUSTER_DATABASES__IDENTITY_OWNER": self.owner_url,
            "MUSTER_KEYS__MASTER": self.place.settings.keys.master.get_secret_value(),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "contracts")]),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.cli.main", "rebuild", *arguments,
            env=os.environ | settings, cwd=ROOT, stdout=PIPE, stderr=PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def house(postgres_server: PostgresServer) -> AsyncIterator[House]:
    async with running_identity(postgres_server) as place:
        org = await place.organization()
        name = place.settings.databases.identity.get_secret_value().rsplit("/", 1)[1]
        house = House(place, org, postgres_server.url(name, "identity_owner"))
        await live_a_little(place, org)
        yield house


async def live_a_little(place: Place, org: Org) -> None:
    """People to whom everything happens that a row can hold."""
    people = [await place.person(org, f"p{n}", active=n % 4 != 0) for n in range(12)]
    for n, person in enumerate(people):
        body = {"name": f"Persön {n}", "username": f"nick{n}", "phone": "+4930123456", "reason": "tidy"}
        answer = await place.call("PATCH", f"/v1/users/{person.id}", org.owner, body)
        assert answer.status_code == 200, answer.text
    await place.enroll(org, people[1])
    await place.enroll(org, people[2])
    labels = Change[tuple[str, ...]](old=(), new=("a", "b"))
    role = Change(old=None, new=None)
    for person, event in (
        (people[1], MfaReset(user=people[1].id, factors=(), recovery_codes_deleted=0, kill=new_id("kil"))),
        (people[2], RecoveryCodesGenerated(user=people[2].id, count=10)),
        (people[3], UserLabelsChanged(user=people[3].id, labels=labels)),
        (people[3], UserRoleChanged(user=people[3].id, role=role)),
        (people[5], _reset_requested(people[5].id, await _now(place))),
    ):
        await place.write(org, person, [event], [], ())
    for person in people[6:8]:
        assert (await place.call("POST", f"/v1/users/{person.id}/deactivate", org.owner, {})).is_success
    for person in people[8:10]:
        body = {"confirm": person.email}
        assert (await place.call("DELETE", f"/v1/users/{person.id}", org.owner, body)).is_success
    async with place.identity.pool.acquire() as connection:
        await connection.execute(
            "UPDATE person_keys SET wrapped = NULL, destroyed_at = now() WHERE id = $1", people[9].id
        )
    place.identity.keys.forget(people[9].id)


async def _now(place: Place) -> Any:
    async with place.identity.pool.acquire() as connection:
        return await connection.fetchval("SELECT now()")


def _reset_requested(user: str, now: Any) -> Event:
    return PasswordResetRequested(
        user=user, link=new_id("lnk"), expires_at=now, by_admin=True, revoked=True, kill=None, email=None
    )


async def test_the_log_makes_the_same_rows_and_verifying_leaves_nothing_behind(house: House):
    before = await house.sql("SELECT * FROM users ORDER BY id")
    report = await house.verify()
    assert (report.differences, report.examples, report.switched) == (0, (), False)
    assert report.rows == len(before) == 13
    assert await house.sql("SELECT relname FROM pg_class WHERE relname ~ 'rebuilt'") == []


async def test_what_differs_is_named_by_row_and_column_without_its_contents(house: House):
    changed, extra, missing = (row[0] for row in await house.sql("SELECT id FROM users ORDER BY id LIMIT 3"))
    await house.sql("UPDATE users SET name = 'Mallory', version = 99 WHERE id = $1", changed)
    await house.sql("DELETE FROM users WHERE id = $1", missing)
    await house.sql("UPDATE users SET id = 'usr_extra' WHERE id = $1", extra)
    report = await house.verify()
    assert report.differences == 4
    found = {d.id: (d.where, d.columns) for d in report.examples}
    assert found == {
        changed: ("both", ("name", "version")),
        extra: ("only in the rebuilt", ()),
        missing: ("only in the rebuilt", ()),
        "usr_extra": ("only in the live", ()),
    }


async def test_a_rebuild_puts_a_right_table_in_the_place_of_a_wrong_one(house: House):
    right, indexes, shape = [await house.sql(q) for q in ("SELECT * FROM users ORDER BY id", INDEXES, SHAPE)]
    await house.sql("UPDATE users SET name = 'Mallory', role = 'x' WHERE status = 'active'")
    await house.sql("DELETE FROM users WHERE status = 'inactive'")
    report = await house.rebuild()
    assert report.switched
    assert report.differences > 5
    assert await house.sql("SELECT * FROM users ORDER BY id") == right
    assert await house.sql(INDEXES) == indexes
    assert await house.sql(SHAPE) == shape
    assert (await house.verify()).differences == 0
    assert await house.sql("SELECT relname FROM pg_class WHERE relname ~ 'rebuilt'") == []
    assert (await house.rebuild()).differences == 0
    assert await house.sql(INDEXES) == indexes


async def test_people_go_on_working_while_the_table_is_rebuilt_and_nothing_of_theirs_is_lost(house: House):
    member, done, acknowledged = house.org.member, asyncio.Event(), list[str]()

    async def rename_on_and_on(path: str, prefix: str) -> None:
        n = 0
        while not done.is_set():
            n += 1
            answer = await house.place.call("PATCH", path, house.org.owner, {"name": f"{prefix} {n}"})
            assert answer.status_code == 200, answer.text
            acknowledged.append(f"{prefix} {n}")

    async def read_on_and_on() -> None:
        while not done.is_set():
            answer = await house.place.call("GET", "/v1/users", house.org.owner, params={"sort": "role"})
            assert answer.status_code == 200, answer.text

    async with asyncio.TaskGroup() as group:
        group.create_task(rename_on_and_on(f"/v1/users/{member.id}", "Member"))
        group.create_task(rename_on_and_on(f"/v1/users/{house.org.admin.id}", "Admin"))
        group.create_task(read_on_and_on())
        reports = [await house.rebuild() for _ in range(6)]
        done.set()
    assert all(report.switched and report.differences == 0 for report in reports)
    assert reports[0].position < reports[-1].position
    assert (await house.verify()).differences == 0
    for person, prefix in ((member, "Member"), (house.org.admin, "Admin")):
        answer = await house.place.call("GET", f"/v1/users/{person.id}", house.org.owner)
        assert answer.json()["name"] == [name for name in acknowledged if name.startswith(prefix)][-1]


async def test_only_one_rebuild_runs_at_a_time(house: House):
    outcomes = await asyncio.gather(*(house.rebuild() for _ in range(3)), return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds.count(Report) >= 1
    assert set(kinds) <= {Report, rebuild.AlreadyRunning}


async def test_the_command_compares_and_says_by_its_exit_code_whether_something_differs(house: House):
    code, out, _ = await house.command("users", "--verify", "--json")
    report = json.loads(out)
    assert (code, report["table"], report["differences"], report["switched"]) == (0, "users", 0, False)
    await house.sql("UPDATE users SET name = 'Mallory' WHERE id = $1", house.org.member.id)
    code, out, _ = await house.command("users", "--verify", "--json")
    assert (code, json.loads(out)["differences"]) == (1, 1)
    code, out, err = await house.command("users", "--verify")
    assert code == 1
    assert f"{house.org.member.id} both: name" in out
    assert "Mallory" not in out + err
    code, out, _ = await house.command("users", "--json")
    assert (code, json.loads(out)["switched"]) == (0, True)
    assert (await house.command("users", "--verify"))[0] == 0
