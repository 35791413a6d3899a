"""The same servers as containers, for machines with a Docker engine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from deploy.local.kafka import answers
from deploy.local.ports import free_ports
from deploy.local.postgres import SUPERUSER
from tests.support.servers import STOP_SECONDS, PostgresServer, until_ready

POSTGRES_IMAGE = "postgres:18"
KAFKA_IMAGE = "apache/kafka:4.3.1"
KAFKA_SETTINGS = {
    "KAFKA_NODE_ID": "1",
    "KAFKA_PROCESS_ROLES": "broker,controller",
    "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
    "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
    "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
    "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "KAFKA_INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
    "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
    "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
    "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "3",
    "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
    "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
    "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_BROKER_SESSION_TIMEOUT_MS": "1000",
    "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "200",
    "KAFKA_HEAP_OPTS": "-Xmx512m -Xms64m",
}


@contextmanager
def postgres_container() -> Iterator[PostgresServer]:
    password = secrets.token_urlsafe(12)
    container = PostgresContainer(
        POSTGRES_IMAGE, username=SUPERUSER, password=password, dbname="postgres", driver=None
    ).with_command("postgres -c fsync=off -c max_connections=150")
    with container:
        port = int(container.get_exposed_port(5432))
        yield PostgresServer(container.get_container_host_ip(), port, SUPERUSER, password)


class ContainerKafka:
    """Apache's own image on a port that we choose: it is advertised, and must be the same after a restart."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.container = (
            DockerContainer(KAFKA_IMAGE)
            .with_bind_ports(9092, self.port)
            .with_envs(**KAFKA_SETTINGS, KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{self.bootstrap}")
        )
        self._running: Any = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        if self._running is None:
            self._running = self.container.start().get_wrapped_container()
        else:
            self._running.start()
        until_ready(lambda: answers("127.0.0.1", self.port), self._why_not)

    def _why_not(self) -> str | None:
        self._running.reload()
        return None if self._running.status == "running" else f"the container is {self._running.status}"

    def stop(self) -> None:
        self._running.stop(timeout=int(STOP_SECONDS))

    def kill(self) -> None:
        self._running.kill()


@contextmanager
def kafka_container() -> Iterator[ContainerKafka]:
    server = ContainerKafka()
    server.start()
    try:
        yield server
    finally:
        server.container.stop()
