"""Fixtures for all tests. Servers start when a test first asks for them, once for the whole run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.servers import EmbeddedKafka, EmbeddedPostgres, KafkaServer, PostgresServer, use_containers
from tests.support.workers import ByServers

pytest_plugins = ("tests.e2e.fixtures", "tests.faults.summary")
"""Fixtures of all that runs (one `make up` for tests/e2e and tests/console), and what the faults did."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServers:
    return ByServers(config, log)


@pytest.fixture(scope="session")
def containers() -> bool:
    return use_containers()


@pytest.fixture(scope="session")
def postgres_server(containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """The PostgreSQL of this run; `create_migrated_database(service)` gives a test tables of its own."""
    if containers:
        from tests.support.containers import postgres_container

        with postgres_container() as server:
            yield server
        return
    process = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))
    process.start()
    try:
        yield process.as_server()
    finally:
        process.stop()


@pytest.fixture(scope="session")
def kafka_server(containers: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """The Kafka of this run. Tests use topics of their own names; one that stops it starts it again."""
    if containers:
        from tests.support.containers import kafka_container

        with kafka_container() as server:
            yield server
        return
    process = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    process.start()
    try:
        yield process
    finally:
        process.stop()


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a fresh, empty database; it goes when the test ends."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url.rsplit("/", 1)[1])
