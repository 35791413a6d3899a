"""Migrations: drop `NNNN_name.sql` into `services/<service>/migrations/`, nothing else.

Each file is one step, run once, in the order of its number, as the service's owner role. It may hold many
statements and must not begin or commit a transaction: all pending steps, and the note of them in
`alembic_version`, are one transaction, so a database is never half-migrated. Two migrators wait for each
other.

The process itself runs as the role named like the service (`identity`), which owns nothing. A step grants
that role what it needs on the tables it makes (`GRANT SELECT, INSERT ON events TO identity`).
`alembic_version` is made readable for it, so that `/ready` can compare `await current(connection)` with
`head("identity")`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from services.kit.postgres import Connection

SERVICES = Path(__file__).resolve().parents[1]
WITH_DATABASE = ("identity", "audit", "notifier")
NAME = re.compile(r"(?P<revision>\d{4})_[a-z0-9_]+\.sql")


class MigrationError(Exception):
    """The files cannot be a history, or the database does not take them; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Step:
    revision: str
    """Number of the file, four digits; what `alembic_version` holds."""
    file: Path


@cache
def steps(service: str) -> tuple[Step, ...]:
    """The steps of a service, oldest first.

    Raises:
        MigrationError: a number twice, or a name of another form.
    """
    found: dict[str, Step] = {}
    for file in sorted((SERVICES / service / "migrations").glob("*.sql")):
        match = NAME.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"{file.name} of {service} is not named NNNN_name.sql")
        step = Step(match["revision"], file)
        if step.revision in found:
            raise MigrationError(f"{service} has {file.name} beside {found[step.revision].file.name}")
        found[step.revision] = step
    return tuple(found.values())


def head(service: str) -> str | None:
    """The revision that this code needs; None where the service has no steps."""
    return steps(service)[-1].revision if steps(service) else None


async def current(connection: Connection) -> str | None:
    """The revision that a database is at; None where nothing was ever migrated.

    Source: table `alembic_version`, written only by `migrate`.
    """
    try:
        return await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None


async def migrate(service: str, url: str) -> str | None:
    """Run every pending step and return the revision reached; a repeat changes nothing.

    Args:
        service: whose steps.
        url: of its database, with the owner role.

    Raises:
        MigrationError: a step failed (nothing of this run is kept), or the database is newer than this code.
        OSError, asyncpg.PostgresError: the database cannot be reached.
    """
    # Late: SQLAlchemy and Alembic are half a second of start that no service needs.
    from services.kit.history import upgrade

    await upgrade(service, steps(service), url)
    return head(service)
