"""Alembic over plain SQL files: it keeps the version table and the order, the files are the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import asyncpg
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.util import await_only

from services.kit.migrate import MigrationError, Step

LOCK = 0x6D75_7374
"""Advisory lock that the migrators of one database share ("must")."""


async def upgrade(service: str, steps: Sequence[Step], url: str) -> None:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=partial(asyncpg.connect, url, timeout=10), poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        await connection.run_sync(_run, SqlFiles(service, steps))
        await _let_read(connection, service)


async def _let_read(connection: AsyncConnection, role: str) -> None:
    try:
        await connection.execute(text(f'GRANT SELECT ON alembic_version TO "{role}"'))
    except DBAPIError as error:
        raise MigrationError(f"create the role {role} first, the service runs as it: {error.orig}") from None


def _run(connection: Connection, files: SqlFiles) -> None:
    def pending(revision: Any, _context: MigrationContext) -> Any:
        return files.pending(revision)

    context = MigrationContext.configure(connection, opts={"fn": pending, "script": files})
    try:
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        raise MigrationError(f"the database of {files.service} was migrated by newer code: {error}") from None


class SqlFiles(ScriptDirectory):
    """A history whose revisions are the files of one service instead of Python modules."""

    def __init__(self, service: str, steps: Sequence[Step]) -> None:
        super().__init__(str(Path(__file__).parent))  # some folder: the files are told apart
        self.service = service
        self._steps = steps

    def pending(self, revision: Any) -> Any:
        """Steps after `revision`, as Alembic's own `upgrade` command asks for them."""
        return self._upgrade_revs("heads", revision)

    def _load_revisions(self) -> Iterator[Script]:
        previous: str | None = None
        for step in self._steps:
            module = ModuleType(step.file.stem)
            vars(module).update(
                revision=step.revision, down_revision=previous, upgrade=_statements(step), downgrade=None
            )
            yield Script(module, step.revision, str(step.file))
            previous = step.revision


def _statements(step: Step) -> Callable[[], None]:
    def run() -> None:
        from alembic import op

        # The driver itself: SQLAlchemy would prepare the text, and only one statement can be prepared.
        driver: Any = op.get_bind().connection.driver_connection
        try:
            await_only(driver.execute(step.file.read_text("utf-8")))
        except (asyncpg.PostgresError, DBAPIError) as error:
            raise MigrationError(f"{step.file.name}: {error}") from error

    return run
