"""One PostgreSQL and one Kafka for a whole test run: containers where an engine answers, else the embedded
ones.

`MUSTER_TEST_SERVICES` decides: `auto` (the default), `containers` or `embedded`.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import asyncpg

from deploy.local.kafka import Kafka
from deploy.local.ports import free_ports
from deploy.local.postgres import SERVICES, SUPERUSER, Postgres
from services.kit.migrate import migrate

START_SECONDS = 60.0
STOP_SECONDS = 20.0
Result = TypeVar("Result")


def use_containers() -> bool:
    """Whether this run takes containers; `docker info` gets 3 s to answer."""
    wanted = os.environ.get("MUSTER_TEST_SERVICES", "auto")
    if wanted not in ("auto", "containers", "embedded"):
        raise ValueError(f"MUSTER_TEST_SERVICES is {wanted}: use auto, containers or embedded")
    if wanted != "auto":
        return wanted == "containers"
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def run_sync(make: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine to its end from code that may or may not be under an event loop already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(make())).result()


def until_ready(is_ready: Callable[[], Coroutine[Any, Any, bool]], why_not: Callable[[], str | None]) -> None:
    """Wait until a server answers.

    Raises:
        RuntimeError: `why_not` gave a reason, or `START_SECONDS` are over.
    """
    deadline = time.monotonic() + START_SECONDS
    while not run_sync(is_ready):
        reason = why_not() or ("no answer in time" if time.monotonic() > deadline else None)
        if reason:
            raise RuntimeError(f"the server does not start: {reason}")
        time.sleep(0.05)


class PostgresServer:
    """A running PostgreSQL; the roles of the services exist, their password is the superuser's."""

    def __init__(self, host: str, port: int, superuser: str, password: str) -> None:
        self.host, self.port, self.superuser, self.password = host, port, superuser, password
        self._templates: set[str] = set()
        run_sync(self._create_roles)

    def url(self, database: str, user: str | None = None) -> str:
        secret = quote(self.password, safe="")
        return f"postgresql://{user or self.superuser}:{secret}@{self.host}:{self.port}/{database}"

    def create_database(
        self, name: str | None = None, *, owner: str | None = None, template: str = "template1"
    ) -> str:
        """Make a database and return its URL with the superuser; a name that is taken is made anew."""
        chosen = name or f"test_{secrets.token_hex(6)}"
        run_sync(lambda: self._create(chosen, owner or self.superuser, template))
        return self.url(chosen)

    def drop_database(self, name: str) -> None:
        run_sync(lambda: self._execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

    def create_migrated_database(self, service: str) -> str:
        """Make a fresh database with all steps of a service and return its name.

        `url(name, service)` is what the service runs with, `url(name, f"{service}_owner")` owns the tables.
        The steps run once per test run; each call copies the result, about 30 ms.
        """
        template = f"template_{service}"
        if template not in self._templates:
            self.create_database(template, owner=f"{service}_owner")
            run_sync(lambda: migrate(service, self.url(template, f"{service}_owner")))
            self._templates.add(template)
        name = f"{service}_{secrets.token_hex(6)}"
        self.create_database(name, owner=f"{service}_owner", template=template)
        return name

    async def _create(self, name: str, owner: str, template: str) -> None:
        await self._execute(
            f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)',
            f'CREATE DATABASE "{name}" OWNER "{owner}" TEMPLATE "{template}" STRATEGY FILE_COPY',
        )

    async def _create_roles(self) -> None:
        roles = [role for service in SERVICES for role in (service, f"{service}_owner")]
        await self._execute(*(f"""CREATE ROLE "{role}" LOGIN PASSWORD '{self.password}'""" for role in roles))

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.url("postgres"), timeout=10)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


class Process:
    """An embedded server that tests may stop, kill and start again; it keeps port and data."""

    def __init__(self, server: Postgres | Kafka, log: Path) -> None:
        self.server, self.log = server, log
        self._process: subprocess.Popen[bytes] | None = None
        server.format()

    def start(self) -> None:
        """Start and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.server.command, stdout=log, stderr=log, start_new_session=True
            )
        until_ready(self.server.is_ready, self._why_not)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(self.server.stop_signal)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _why_not(self) -> str | None:
        """Why it will never answer; None while it still may."""
        if self._process is None or self._process.poll() is None:
            return None
        return self.log.read_text("utf-8", "replace")[-2000:]


class KafkaServer(Protocol):
    """A running broker that keeps its address and its data over `stop` or `kill` and `start`."""

    @property
    def bootstrap(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


class EmbeddedKafka(Process):
    def __init__(self, folder: Path) -> None:
        self.kafka = Kafka(folder / "kafka", *free_ports(2))
        super().__init__(self.kafka, folder / "kafka.log")

    @property
    def bootstrap(self) -> str:
        return self.kafka.bootstrap


class EmbeddedPostgres(Process):
    def __init__(self, folder: Path) -> None:
        self.postgres = Postgres(
            folder / "postgres", free_ports(1)[0], secrets.token_urlsafe(12), durable=False
        )
        super().__init__(self.postgres, folder / "postgres.log")

    def as_server(self) -> PostgresServer:
        return PostgresServer("127.0.0.1", self.postgres.port, SUPERUSER, self.postgres.password)
