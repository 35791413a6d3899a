"""The bare reference of a command: pgbench, which inserts one row and commits."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

import asyncpg

from deploy.local.postgres import SUPERUSER, Postgres, _binaries

DATABASE = "bare"
TABLE = "CREATE TABLE log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, data text NOT NULL)"
SCRIPT = "INSERT INTO log (data) VALUES (repeat('x', 700));\n"
_RATE = re.compile(rb"tps = ([0-9.]+)")


async def prepare(server: Postgres) -> None:
    connection = await asyncpg.connect(server.url("postgres"))
    await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    await connection.close()
    connection = await asyncpg.connect(server.url(DATABASE))
    await connection.execute(TABLE)
    await connection.close()


async def commits(server: Postgres, callers: int, seconds: float) -> float:
    """Transactions a second, each one row of the size of an event, with so many connections."""
    threads = str(min(callers, os.cpu_count() or 1))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "insert.sql"
        script.write_text(SCRIPT)
        process = await asyncio.create_subprocess_exec(
            str(_binaries() / "pgbench"), "-n", "-M", "prepared", "-c", str(callers), "-j", threads,
            "-T", str(max(1, round(seconds))), "-f", str(script), "-h", "127.0.0.1", "-p", str(server.port),
            "-U", SUPERUSER, DATABASE,
            env={**os.environ, "PGPASSWORD": server.password},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    found = _RATE.search(output)
    if found is None:
        raise RuntimeError(output.decode()[-500:])
    return float(found[1])
