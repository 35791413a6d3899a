from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.notifier.world import World, open_world
from tests.support.servers import PostgresServer


@pytest.fixture
async def world(postgres_server: PostgresServer) -> AsyncIterator[World]:
    async with open_world(postgres_server) as world:
        yield world
