"""Servers and a running Muster for the faults, shared by the tests of a module; the report at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.faults.ground import Ground, Servers, open_ground, open_servers
from tests.faults.report import Report

REPORT = Report()


@pytest.fixture(scope="session")
def report() -> Report:
    return REPORT


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with open_servers() as servers:
        yield servers


@pytest.fixture(scope="module")
async def ground(servers: Servers) -> AsyncIterator[Ground]:
    async with open_ground(servers) as ground:
        yield ground


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not REPORT.lines:
        return
    terminalreporter.section("faults")
    for line in REPORT.lines:
        terminalreporter.write_line(line)
    for point, hits in sorted(REPORT.points.items()):
        terminalreporter.write_line(f"  {hits:5}  {point}")
