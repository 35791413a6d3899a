"""Plain SQL files become the history of a database, once, in order, all or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from services.kit import migrate as module
from services.kit.migrate import MigrationError, current, head, migrate
from tests.support.servers import PostgresServer

FIRST = "CREATE TABLE one (n int); GRANT SELECT ON one TO audit; INSERT INTO one VALUES (1);"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The migrations folder of an audit service that holds one step."""
    folder = tmp_path / "audit" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_one.sql").write_text(FIRST)
    monkeypatch.setattr(module, "SERVICES", tmp_path)
    module.steps.cache_clear()
    yield folder
    module.steps.cache_clear()


@pytest.fixture
def owner(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create_database(owner="audit_owner").rsplit("/", 1)[1]
    yield postgres_server.url(name, "audit_owner")
    postgres_server.drop_database(name)


async def test_all_steps_run_once_and_in_order(files: Path, owner: str) -> None:
    (files / "0002_two.sql").write_text("ALTER TABLE one ADD m int; UPDATE one SET m = n + 1;")

    assert await migrate("audit", owner) == head("audit") == "0002"
    assert await migrate("audit", owner) == "0002"

    connection = await asyncpg.connect(owner)
    assert [tuple(row) for row in await connection.fetch("SELECT n, m FROM one")] == [(1, 2)]
    await connection.close()


async def test_a_failing_step_leaves_nothing_of_its_run(files: Path, owner: str) -> None:
    (files / "0002_two.sql").write_text("CREATE TABLE two (n int); SELECT nonsense;")

    with pytest.raises(MigrationError, match=r"0002_two.sql: .*nonsense"):
        await migrate("audit", owner)

    connection = await asyncpg.connect(owner)
    assert await connection.fetchval("SELECT to_regclass('one')") is None
    assert await current(connection) is None
    await connection.close()


async def test_two_migrators_wait_for_each_other(files: Path, owner: str) -> None:
    assert await asyncio.gather(*(migrate("audit", owner) for _ in range(4))) == ["0001"] * 4


async def test_the_role_of_the_service_reads_the_revision_and_owns_nothing(files: Path, owner: str) -> None:
    await migrate("audit", owner)

    connection = await asyncpg.connect(owner.replace("audit_owner", "audit"))
    assert await current(connection) == "0001"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("DROP TABLE one")
    await connection.close()


async def test_a_database_of_newer_code_is_refused(files: Path, owner: str) -> None:
    (files / "0002_two.sql").write_text("SELECT 1")
    await migrate("audit", owner)
    (files / "0002_two.sql").unlink()
    module.steps.cache_clear()

    with pytest.raises(MigrationError, match="newer code"):
        await migrate("audit", owner)


@pytest.mark.parametrize("name", ["0001_again.sql", "2_two.sql", "0002_Two.sql"])
def test_a_file_that_cannot_be_a_step_is_refused(files: Path, name: str) -> None:
    (files / name).write_text("SELECT 1")

    with pytest.raises(MigrationError, match=name):
        head("audit")
