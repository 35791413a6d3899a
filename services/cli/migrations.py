"""`muster migrate`: databases and topics as this release needs them."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, NoReturn

import asyncpg
import typer
from aiokafka.errors import KafkaError
from muster_contracts import topics as contracts

from services.kit import topics
from services.kit.migrate import WITH_DATABASE, MigrationError
from services.kit.migrate import migrate as run_steps
from services.kit.settings import Settings, load

FAILED, USAGE, TRY_AGAIN = 1, 2, 3


def migrate(*, as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """Run what is pending in the three databases, create missing topics; a repeat changes nothing."""
    settings = load()
    owners = {service: owner_url(settings, service) for service in WITH_DATABASE}
    try:
        revisions, created = asyncio.run(_migrate(settings, owners))
    except (MigrationError, topics.TopicsError) as error:
        _exit(FAILED, str(error))
    except (OSError, asyncpg.PostgresError, KafkaError) as error:
        _exit(TRY_AGAIN, f"a server cannot be reached: {error or type(error).__name__}")
    if as_json:
        typer.echo(json.dumps({"revisions": revisions, "topics_created": created}))
        return
    for service, revision in revisions.items():
        typer.echo(f"{service} is at {revision or 'its beginning'}")
    typer.echo(f"topics created: {', '.join(created) or 'none, all are there'}")


def owner_url(settings: Settings, service: str) -> str:
    url: str = getattr(settings.databases, f"{service}_owner").get_secret_value()
    if not url:
        name = f"MUSTER_DATABASES__{service.upper()}_OWNER"
        _exit(USAGE, f"{name} is not set: the URL of {service}'s database with the role that owns its tables")
    return url


async def _migrate(settings: Settings, owners: dict[str, str]) -> tuple[dict[str, str | None], list[str]]:
    if not settings.kafka.bootstrap:
        _exit(USAGE, "MUSTER_KAFKA__BOOTSTRAP is not set: host:port of the Kafka to use")
    revisions = {service: await run_steps(service, url) for service, url in owners.items()}
    factor = settings.kafka.replication_factor
    created = await topics.create(settings.kafka.bootstrap, contracts.ALL, replication_factor=factor)
    return revisions, list(created)


def _exit(code: int, text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)
