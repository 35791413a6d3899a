"""`muster parked` against the databases of audit and notifier."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.parked import app
from services.kit.parked import Raw, park
from services.kit.postgres import connect
from tests.support.servers import PostgresServer

TABLES = Path("services/kit/consumer.sql").read_text("utf-8")


@pytest.fixture
async def environment(postgres_server: PostgresServer) -> AsyncIterator[dict[str, str]]:
    urls = {name: postgres_server.create_database() for name in ("audit", "notifier")}
    for url in urls.values():
        connection = await connect(url)
        await connection.execute(TABLES)
        await connection.close()
    yield {f"MUSTER_DATABASES__{name.upper()}": url for name, url in urls.items()}
    for url in urls.values():
        postgres_server.drop_database(url.rsplit("/", 1)[1])


async def put(environment: dict[str, str]) -> None:
    connection = await connect(environment["MUSTER_DATABASES__AUDIT"])
    poison = Raw("muster.users", b"usr_1", b"\xffno json", (("ce_id", b"\xff"), ("x", None)), 3, 17, 0)
    await park(connection, [(poison, ValueError("holds a secret"))])
    await connection.close()


async def call(environment: dict[str, str], *args: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, args, env=environment)


async def test_nothing_parked_is_an_empty_list(environment: dict[str, str]) -> None:
    result = await call(environment, "list", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"data": []})


async def test_what_is_parked_is_listed_and_shown_as_it_came(environment: dict[str, str]) -> None:
    await put(environment)
    rows: list[dict[str, Any]] = json.loads((await call(environment, "list", "--json")).stdout)["data"]
    assert [(r["id"], r["topic"], r["partition"], r["offset"]) for r in rows] == [
        ("audit:1", "muster.users", 3, 17)
    ]
    assert rows[0]["error"] == "ValueError"  # its text could repeat what the record holds
    shown = json.loads((await call(environment, "show", "audit:1", "--json")).stdout)
    assert shown["key"] == "usr_1"
    assert shown["value"].startswith("base64:")
    assert shown["headers"] == [["ce_id", "/w=="], ["x", None]]
    assert "audit:1" in (await call(environment, "list")).stdout
    assert "muster.users" in (await call(environment, "show", "audit:1")).stdout


@pytest.mark.parametrize("which", ["audit:99", "audit", "identity:1", "audit:x", f"audit:{10**30}"])
async def test_an_id_that_is_none_is_a_usage_error(environment: dict[str, str], which: str) -> None:
    for command in ("show", "retry"):
        assert (await call(environment, command, which)).exit_code == 2


async def test_a_retry_that_succeeds_exits_0_and_one_that_fails_1(environment: dict[str, str]) -> None:
    for outcome, expected in (("retry_at = NULL, resolved_at = now()", 0), ("retry_at = NULL", 1)):
        await put(environment)
        connection = await connect(environment["MUSTER_DATABASES__AUDIT"])
        id_ = await connection.fetchval("SELECT max(id) FROM parked")
        running = asyncio.create_task(call(environment, "retry", f"audit:{id_}", "--json"))
        done = "UPDATE 0"
        while done == "UPDATE 0":
            done = await connection.execute(f"UPDATE parked SET {outcome} WHERE retry_at IS NOT NULL")
            await asyncio.sleep(0.02)
        await connection.close()
        result = await running
        assert result.exit_code == expected
        assert json.loads(result.stdout)["resolved"] is (expected == 0)


async def test_a_database_that_is_away_means_try_again(environment: dict[str, str]) -> None:
    result = await call({**environment, "MUSTER_DATABASES__AUDIT": "postgresql://u:p@127.0.0.1:9/x"}, "list")
    assert result.exit_code == 3
    assert "p@" not in result.output
