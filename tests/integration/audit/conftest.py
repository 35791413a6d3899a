from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.integration.audit.world import Log, World, opened
from tests.support.servers import PostgresServer


@pytest.fixture
def audit_database(postgres_server: PostgresServer) -> Iterator[str]:
    """Name of a fresh database with audit's tables."""
    name = postgres_server.create_migrated_database("audit")
    yield name
    postgres_server.drop_database(name)


@pytest.fixture
async def world(postgres_server: PostgresServer, audit_database: str) -> AsyncIterator[World]:
    async with opened(postgres_server.url(audit_database, "audit"), Log()) as made:
        yield made
