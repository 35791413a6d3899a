"""Servers and a running Muster for the faults, shared by the tests of a module; what they report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.faults.ground import Ground, Servers, open_ground, open_servers
from tests.faults.report import Report


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    return Report(record_property)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with open_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers) as ground:
        yield ground
