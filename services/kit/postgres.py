"""Connections to PostgreSQL: one way to open a pool, with JSON decoded and time-outs set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from pydantic_core import from_json

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool = asyncpg.Pool[asyncpg.Record]
    Record = asyncpg.Record
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool
    Record = asyncpg.Record
Database = Connection | Pool
"""What a statement is asked of: a connection, or the pool, which lends one for each statement."""

CONNECT_SECONDS = 5.0
COMMAND_SECONDS = 15.0
IDLE_SECONDS = 8
"""After so long amid a transaction a process is frozen, or gone unseen: what it has locked is free for others."""


def dumps(value: Any) -> str:
    """JSON as it is stored and published: compact, UTF-8 left readable."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def _prepare(connection: Any) -> None:
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=dumps, decoder=from_json)


async def connect(
    url: str, *, command_seconds: float = COMMAND_SECONDS, **server_settings: str
) -> Connection:
    """Open one connection of its own (leader locks, LISTEN, the writer).

    Args:
        url: of the database, with the role to run as.
        command_seconds: after this long a statement is given up.
        server_settings: PostgreSQL settings of this connection, for example `transaction_timeout="10s"`.
    """
    connection = await asyncpg.connect(
        url, timeout=CONNECT_SECONDS, command_timeout=command_seconds, server_settings=server_settings
    )
    await _prepare(connection)
    return connection


async def _leave_as_it_is(_: Any) -> None:
    """The driver's own reset is a round trip after every use of a pooled connection, for session state that
    nothing of ours leaves behind: settings are `SET LOCAL`, advisory locks are given back by who took them. An
    open transaction is rolled back in any case.
    """


@asynccontextmanager
async def open_pool(url: str, *, size: int = 8, **server_settings: str) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections, closed at the end of the block; opens lazily, so that a database
    that is down does not keep the process from starting and saying so.
    """
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        init=_prepare,
        reset=_leave_as_it_is,
        server_settings={"idle_in_transaction_session_timeout": f"{IDLE_SECONDS}s", **server_settings},
    )
    async with pool:
        yield pool


DATABASE_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what the driver says when the server cut an idle connection off
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What a caller sees while the database is down, restarting or out of connections."""
