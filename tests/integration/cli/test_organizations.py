"""`muster organizations create` as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.kit.postgres import connect
from tests.support.identity_log import new_master
from tests.support.servers import PostgresServer, run_sync


class Operator:
    def __init__(self, postgres: PostgresServer, database: str) -> None:
        self.url = postgres.url(database, "identity")
        outside = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
        self.environment = outside | {
            "MUSTER_DATABASES__IDENTITY": self.url,
            "MUSTER_KEYS__MASTER": new_master(),
        }

    def create(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "services.cli.main", "organizations", "create", *arguments]
        environment = self.environment | settings
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        async def fetch() -> list[tuple[object, ...]]:
            connection = await connect(self.url)
            try:
                return [tuple(row) for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return run_sync(fetch)


@pytest.fixture
def operator(postgres_server: PostgresServer) -> Iterator[Operator]:
    database = postgres_server.create_migrated_database("identity")
    yield Operator(postgres_server, database)
    postgres_server.drop_database(database)


def test_an_organization_is_made_once_and_its_owner_invited(operator: Operator) -> None:
    done = operator.create("acme", "--owner", "olga@acme.example", "--name", "Acme Inc.", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert operator.ask("SELECT id, slug, name FROM organizations") == [
        (made["organization"], "acme", "Acme Inc.")
    ]
    assert operator.ask("SELECT id, email, name, status FROM users") == [
        (made["owner"], "olga@acme.example", "olga", "invited")
    ]
    assert operator.ask('SELECT "user", kind FROM links') == [(made["owner"], "invitation")]
    assert "mui_" not in done.stdout + done.stderr
    again = operator.create("acme", "--owner", "otto@acme.example")
    assert (again.returncode, again.stdout) == (4, "")
    assert "already" in again.stderr
    assert operator.ask("SELECT count(*) FROM users") == [(1,)]
    other = operator.create("other", "--owner", "olga@acme.example")
    assert (other.returncode, other.stdout.split()[::2]) == (0, ["organization", "owner"])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("Acme", "--owner", "a@b.example"), "SLUG"), (("acme", "--owner", "nobody"), "--owner"), (("acme",), "owner")],
)  # fmt: skip
def test_what_cannot_be_made_is_named(operator: Operator, arguments: tuple[str, ...], named: str) -> None:
    done = operator.create(*arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_or_an_absent_server_is_said_in_a_sentence(operator: Operator) -> None:
    assert operator.create("acme", "--owner", "a@b.example").returncode == 0
    wrong = operator.create("two", "--owner", "a@b.example", MUSTER_KEYS__MASTER=new_master())
    assert (wrong.returncode, "MUSTER_KEYS__MASTER" in wrong.stderr) == (2, True)
    away = operator.url.rsplit("@", 1)[0] + "@127.0.0.1:9/identity"
    absent = operator.create("two", "--owner", "a@b.example", MUSTER_DATABASES__IDENTITY=away)
    assert (absent.returncode, len(absent.stderr.splitlines())) == (3, 1)
