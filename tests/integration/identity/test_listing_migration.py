"""The indexes of the table of people, where the database's owner may make extensions and where nobody may."""

from __future__ import annotations

import asyncpg
import pytest

from services.kit.migrate import head, migrate
from tests.support.servers import PostgresServer


@pytest.mark.parametrize("may_extend", [True, False])
async def test_without_the_right_to_make_an_extension_only_the_index_of_trigrams_is_missing(
    postgres_server: PostgresServer, may_extend: bool
):
    url = postgres_server.create_database(owner="identity_owner" if may_extend else None)
    name = url.rsplit("/", 1)[1]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("GRANT CREATE ON SCHEMA public TO identity_owner")
        assert await migrate("identity", postgres_server.url(name, "identity_owner")) == head("identity")
        rows = await connection.fetch("SELECT indexname FROM pg_indexes WHERE tablename = 'users'")
    finally:
        await connection.close()
        postgres_server.drop_database(name)
    names = {row["indexname"] for row in rows}
    assert ("users_by_text" in names) == may_extend
    assert {"users_by_name", "users_by_role", "users_by_sign_in_last_first"} < names
