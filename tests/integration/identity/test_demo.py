"""The demo organization as `make up` makes it: a process of its own on a fresh database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.identity import log
from services.identity.permissions import ALL, NOT_FOR_KEYS
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection, connect
from services.kit.sealing import MasterKeys
from tests.support.identity import served, settings_for
from tests.support.servers import PostgresServer

PRINTED = ("owner", "admin", "member")


class Demo:
    def __init__(self, url: str) -> None:
        self.settings = settings_for(url)
        self.url = url
        self.took = 0.0
        self.made: dict[str, Any] = {}

    def run(self, **more: str) -> subprocess.CompletedProcess[str]:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        keys = self.settings.keys
        environment = outside | {
            "MUSTER_DATABASES__IDENTITY": self.url,
            "MUSTER_KEYS__MASTER": keys.master.get_secret_value(),
            "MUSTER_KEYS__POSITIONS": keys.positions.get_secret_value(),
            "MUSTER_KEYS__LOOKUP": keys.lookup.get_secret_value(),
            "MUSTER_EMBEDDED": "true",
        }
        command = [sys.executable, "-P", "-m", "services.identity.demo"]
        began = time.monotonic()
        done = subprocess.run(
            command, env=environment | more, capture_output=True, text=True, timeout=60, check=False
        )
        self.took = time.monotonic() - began
        return done

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        connection = await connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def ask(self, statement: str, *args: object) -> list[Any]:
        async with self.connection() as connection:
            return await connection.fetch(statement, *args)


@pytest.fixture(scope="module")
def demo(postgres_server: PostgresServer) -> Iterator[Demo]:
    name = postgres_server.create_migrated_database("identity")
    demo = Demo(postgres_server.url(name, "identity"))
    done = demo.run()
    assert (done.returncode, done.stderr) == (0, "")
    demo.made = json.loads(done.stdout)
    yield demo
    postgres_server.drop_database(name)


async def test_sixty_people_of_every_kind(demo: Demo) -> None:
    rows = await demo.ask("SELECT u.*, r.builtin FROM users u JOIN roles r ON r.id = u.role")
    assert len(rows) == 60
    status = [row["status"] for row in rows]
    assert min(status.count(kind) for kind in ("active", "inactive", "invited")) >= 4
    assert sum(row["builtin"] == "owner" for row in rows) == 2
    assert sum("contractor" in row["labels"] for row in rows) >= 5
    assert any(row["status"] == "active" and row["last_sign_in_at"] is None for row in rows)
    enrolled = sum(row["factors"] != [] for row in rows)
    assert 10 <= enrolled <= 50
    printed = {row["email"]: row for row in rows}
    for role in PRINTED:
        row = printed[demo.made[role]["email"]]
        assert (row["builtin"], row["status"], row["factors"]) == (role, "active", [])


async def test_ninety_days_of_events_in_order_of_time(demo: Demo) -> None:
    rows = await demo.ask("SELECT type, occurred_at, recorded_at FROM events ORDER BY position")
    times = [row["occurred_at"] for row in rows]
    assert times == sorted(times)
    assert all(row["recorded_at"] == row["occurred_at"] for row in rows)
    (span,) = await demo.ask(
        "SELECT now() - min(occurred_at) AS since, max(occurred_at) < now() AS past FROM events"
    )
    assert (span["since"].days, span["past"]) == (90, True)
    assert {
        "user.renamed", "user.role_changed", "user.deactivated", "user.reactivated", "mfa.enrolled", "mfa.reset",
        "password.reset_requested", "invitation.voided", "session.ended", "api_key.created", "user.labels_changed",
        "organization.settings_changed", "attempt.refused",
    } <= {row["type"] for row in rows}  # fmt: skip


async def test_one_deletion_was_refused(demo: Demo) -> None:
    rows = await demo.ask("SELECT open FROM events WHERE type = 'attempt.refused'")
    deletions = [row["open"]["code"] for row in rows if row["open"]["act"] == "user.delete"]
    assert deletions == ["last_administrator"]
    assert await demo.ask("SELECT 1 FROM events WHERE type = 'user.deleted'") == []


async def test_every_event_can_be_read(demo: Demo) -> None:
    keys = PersonKeys(MasterKeys.parse(demo.settings.keys.master.get_secret_value()))
    async with demo.connection() as connection:
        end = await log.head(connection)
        read = await log.read(connection, keys, 0, 5000)
    assert len(read) == end.position
    assert not any(envelope.erased for envelope in read)
    assert all(len(demo.made[role]["password"]) == 20 for role in PRINTED)
    assert not any(demo.made[role]["password"] in str(read) for role in PRINTED)


async def test_nobody_but_the_printed_has_a_known_password_and_all_hashes_cost_the_same(demo: Demo) -> None:
    rows = await demo.ask('SELECT hash FROM passwords JOIN users ON id = "user" WHERE email <> ALL($1)', [
        demo.made[role]["email"] for role in PRINTED
    ])  # fmt: skip
    costs = await demo.ask("SELECT DISTINCT split_part(hash, '$', 4) AS cost FROM passwords")
    assert len({row["hash"] for row in rows}) == 1
    assert len(costs) == 1


async def test_the_key_is_of_a_service_account_with_all_that_a_key_may_hold(demo: Demo) -> None:
    rows = await demo.ask("SELECT permissions, service FROM api_keys WHERE service IS NOT NULL")
    assert [set(row["permissions"]) for row in rows] == [ALL - NOT_FOR_KEYS]
    assert demo.made["api_key"].startswith("muk_")


async def test_the_printed_people_sign_in_with_what_was_printed(demo: Demo) -> None:
    async with served(demo.settings) as place:
        for role in PRINTED:
            printed = demo.made[role]
            answer = (await place.sign_in("acme", printed["email"], printed["password"])).json()
            assert answer["next"] == "done"
            me = (await place.call("GET", "/v1/me", answer["token"])).json()
            assert (me["email"], me["role"]["name"]) == (printed["email"], role.title())
        users = (await place.call("GET", "/v1/users?limit=200", demo.made["api_key"])).json()
        assert users["count"] == {"value": 60, "exact": True}
        assert (await place.sign_in("acme", "daniel.brooks@acme.example", "a" * 20)).status_code == 401


def test_a_second_run_finds_what_the_first_one_made(demo: Demo) -> None:
    again = demo.run()
    assert (again.returncode, json.loads(again.stdout)) == (0, {"exists": True})


def test_it_is_made_with_the_embedded_servers_only(demo: Demo) -> None:
    done = demo.run(MUSTER_EMBEDDED="false")
    assert (done.returncode, done.stdout) == (4, "")


def test_it_is_made_in_an_empty_database_only(postgres_server: PostgresServer) -> None:
    name = postgres_server.create_migrated_database("identity")
    demo = Demo(postgres_server.url(name, "identity"))
    other = [
        sys.executable,
        "-P",
        "-m",
        "services.cli.main",
        "organizations",
        "create",
        "other",
        "--owner",
        "a@b.example",
    ]
    environment = os.environ | {
        "MUSTER_DATABASES__IDENTITY": demo.url,
        "MUSTER_KEYS__MASTER": demo.settings.keys.master.get_secret_value(),
    }
    subprocess.run(other, env=environment, check=True, capture_output=True, timeout=60)
    refused = demo.run()
    assert (refused.returncode, refused.stdout) == (4, "")
    postgres_server.drop_database(name)
