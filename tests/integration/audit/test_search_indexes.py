"""Every filter of the audit has an index: what a planner takes that must not read whole tables."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from services.audit.search import Filters, _where
from services.kit.ids import new_id
from services.kit.migrate import head, migrate, steps
from tests.support.servers import PostgresServer


@pytest.mark.parametrize("may_extend", [True, False])
async def test_without_the_right_to_make_an_extension_only_the_index_of_trigrams_is_missing(
    postgres_server: PostgresServer, may_extend: bool
):
    url = postgres_server.create_database(owner="audit_owner" if may_extend else None)
    name = url.rsplit("/", 1)[1]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("GRANT CREATE ON SCHEMA public TO audit_owner")
        assert await migrate("audit", postgres_server.url(name, "audit_owner")) == head("audit")
        rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'lookup'")
    finally:
        await connection.close()
        postgres_server.drop_database(name)
    names = {row["indexname"] for row in rows}
    assert ("lookup_by_text" in names) == may_extend
    assert {"lookup_by_type", "lookup_not_done", "lookup_by_ip"} < names


@pytest.fixture(scope="module")
async def crowded(postgres_server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """A connection to many records, few of which any filter below finds."""
    url = postgres_server.create_database(owner="audit_owner")
    name = url.rsplit("/", 1)[1]
    await migrate("audit", postgres_server.url(name, "audit_owner"))
    connection = await asyncpg.connect(url)
    await connection.execute(
        "INSERT INTO lookup (org, seq, type, outcome, occurred_at, ip, text, ids)"
        " SELECT 'org_1', n, CASE WHEN n % 5000 = 7 THEN 'role.created' ELSE 'session.started' END,"
        "  CASE WHEN n % 5000 = 9 THEN 'refused' ELSE 'done' END, now(),"
        "  '10.0.0.0'::inet + n, CASE WHEN n % 5000 = 3 THEN 'zoe' ELSE 'ada' END || ' signed in',"
        "  ARRAY['evt_0' || lpad(n::text, 25, '0')]"
        " FROM generate_series(1, 20000) n"
    )
    await connection.execute("VACUUM ANALYZE lookup")
    yield connection
    await connection.close()
    postgres_server.drop_database(name)


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ({"type": ("role.created",)}, "lookup_by_type"),
        ({"type": ("role.created", "role.removed")}, "lookup_by_type"),
        ({"outcome": ("refused",)}, "lookup_not_done"),
        ({"outcome": ("refused", "failed")}, "lookup_not_done"),
        ({"ip": ("10.0.7.7", "10.0.9.0/30")}, "lookup_by_ip"),
        ({"q": "Zoë"}, "lookup_by_text"),
        ({"q": "evt_0" + "0" * 21 + "1234"}, "lookup_by_id"),
    ],
)
async def test_a_filter_that_finds_few_reads_its_index(
    crowded: asyncpg.Connection, asked: dict[str, Any], index: str
):
    where, args = _where("org_1", Filters(**asked))
    rows = await crowded.fetch(
        f"EXPLAIN SELECT seq FROM lookup WHERE {where} ORDER BY seq DESC LIMIT 51", *args
    )
    assert index in "\n".join(row[0] for row in rows)


async def test_ids_that_were_part_of_the_text_are_found_after_the_migration(postgres_server: PostgresServer):
    url = postgres_server.create_database(owner="audit_owner")
    name = url.rsplit("/", 1)[1]
    connection = await asyncpg.connect(postgres_server.url(name, "audit_owner"))
    *before, ids = (step.file.read_text("utf-8") for step in steps("audit") if step.revision <= "0005")
    first, second = new_id("usr"), new_id("req")
    try:
        for step in before:
            await connection.execute(step)
        await connection.execute(
            "INSERT INTO lookup (org, seq, type, outcome, occurred_at, text) VALUES"
            " ('org_1', 1, 'user.renamed', 'done', now(), $1), ('org_1', 2, 'x', 'done', now(), 'no id')",
            f"ada renamed {first} {second} {first} user.renamed",
        )
        await connection.execute(ids)
        rows = await connection.fetch("SELECT text, ids FROM lookup ORDER BY seq")
    finally:
        await connection.close()
        postgres_server.drop_database(name)
    assert (rows[0]["text"], set(rows[0]["ids"])) == ("ada renamed user.renamed", {first, second})
    assert (rows[1]["text"], rows[1]["ids"]) == ("no id", [])
