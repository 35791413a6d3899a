"""`muster doctor`: ask every part whether it is well, and say what to do where it is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated

import asyncpg
import typer
from aiokafka.errors import KafkaError
from muster_contracts import topics as contracts
from rich.console import Console

from services.kit import topics
from services.kit.migrate import WITH_DATABASE, current, head
from services.kit.postgres import Connection, connect
from services.kit.settings import Settings, SettingsError, load

FAILED = 1
SECONDS = 5.0
LAG_EVENTS = 1000
"""Events that may wait for the relay before it counts as behind."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `todo` is empty when all is well."""

    check: str
    ok: bool
    detail: str
    todo: str = ""


class NotSet(Exception):
    """A setting without which a check cannot be made; the text is its name."""


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """Run all checks; the exit code is 1 when one of them failed."""
    findings = asyncio.run(examine())
    well = all(finding.ok for finding in findings)
    if as_json:
        typer.echo(json.dumps({"ok": well, "checks": [asdict(finding) for finding in findings]}))
    else:
        console = Console(highlight=False, soft_wrap=True)
        for finding in findings:
            mark = "[green]ok    [/]" if finding.ok else "[red]failed[/]"
            console.print(f"{mark} {finding.check:10} ", end="")
            console.print(finding.detail, markup=False)
            if finding.todo:
                console.print(f"       → {finding.todo}", markup=False)
    raise typer.Exit(0 if well else FAILED)


async def examine() -> list[Finding]:
    """Run the checks at the same time; the first one decides whether the others can be run at all."""
    try:
        settings = load()
    except SettingsError as error:
        return [Finding("settings", ok=False, detail=str(error), todo="correct that variable")]
    others = (check_databases, check_kafka, check_relay, check_processes, check_mail)
    return [check_settings(settings), *await asyncio.gather(*(guarded(check, settings) for check in others))]


async def guarded(check: Callable[[Settings], Awaitable[Finding]], settings: Settings) -> Finding:
    name = check.__name__.removeprefix("check_")
    try:
        async with asyncio.timeout(SECONDS * 2):
            return await check(settings)
    except NotSet as error:
        return Finding(name, ok=False, detail=f"{error} is not set", todo="set it, or run `muster up`")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, KafkaError) as error:
        return Finding(
            name, ok=False, detail=f"no answer: {error or type(error).__name__}", todo=_WHEN_AWAY[name]
        )


_WHEN_AWAY = {
    "databases": "start PostgreSQL, or correct MUSTER_DATABASES__…",
    "kafka": "start Kafka, or correct MUSTER_KAFKA__BOOTSTRAP",
    "relay": "start PostgreSQL, or correct MUSTER_DATABASES__IDENTITY",
    "processes": "run `muster up`",
    "mail": "start the mail server, or correct MUSTER_SMTP__HOST and MUSTER_SMTP__PORT",
}


def check_settings(settings: Settings) -> Finding:
    databases, keys = settings.databases.model_dump(), settings.keys.model_dump()
    missing = [
        f"MUSTER_DATABASES__{n.upper()}" for n, value in databases.items() if not value.get_secret_value()
    ]
    missing += [f"MUSTER_KEYS__{n.upper()}" for n, value in keys.items() if not value.get_secret_value()]
    missing += [] if settings.kafka.bootstrap else ["MUSTER_KAFKA__BOOTSTRAP"]
    if missing:
        return Finding("settings", False, f"not set: {', '.join(missing)}", "set them, or run `muster up`")
    return Finding("settings", True, "all names known, all needed values there")


async def check_databases(settings: Settings) -> Finding:
    behind: list[str] = []
    for service in WITH_DATABASE:
        async with _database(settings, service) as connection:
            at = await current(connection)
        if at != head(service):
            behind.append(f"{service} is at {at}, needs {head(service)}")
    if behind:
        return Finding("databases", False, "; ".join(behind), "run `muster migrate`")
    return Finding("databases", True, f"{', '.join(WITH_DATABASE)} reachable and migrated")


async def check_kafka(settings: Settings) -> Finding:
    if not settings.kafka.bootstrap:
        raise NotSet("MUSTER_KAFKA__BOOTSTRAP")
    found = await topics.differences(settings.kafka.bootstrap, contracts.ALL)
    if found:
        todo = "run `muster migrate` for missing topics; change others by hand, see docs"
        return Finding("kafka", False, "; ".join(found), todo)
    return Finding(
        "kafka", True, f"{settings.kafka.bootstrap}, {len(contracts.ALL)} topics as the contracts say"
    )


async def check_relay(settings: Settings) -> Finding:
    async with _database(settings, "identity") as connection:
        row = await connection.fetchrow(
            "SELECT h.position AS head, coalesce(c.position, 0) AS at FROM log_head h"
            " LEFT JOIN relay_cursor c ON c.name = 'identity'"
        )
    if row is None:
        return Finding("relay", False, "identity has no log", "run `muster migrate`")
    lag = row["head"] - row["at"]
    detail = f"published {row['at']} of {row['head']} events"
    if lag > LAG_EVENTS:
        return Finding(
            "relay", False, detail, "see that the relay runs and Kafka takes records: var/log/relay.log"
        )
    return Finding("relay", True, detail)


async def check_processes(settings: Settings) -> Finding:
    names = ("gateway", "identity", "relay", "audit", "notifier")
    urls = {name: f"http://{settings.listen.host}:{getattr(settings.listen, name)}/ready" for name in names}
    answers = await asyncio.gather(*(asyncio.to_thread(_status, url) for url in urls.values()))
    bad = [f"{name}: {status}" for name, status in zip(urls, answers, strict=True) if status != HTTPStatus.OK]
    if bad:
        return Finding("processes", False, "; ".join(bad), "see var/log, or run `muster up`")
    return Finding("processes", True, f"{', '.join(names)} are ready")


async def check_mail(settings: Settings) -> Finding:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            settings.smtp.host, settings.smtp.port, ssl=settings.smtp.security == "tls" or None
        )
        greeting = (await reader.readline()).decode("utf-8", "replace").strip()
        writer.close()
    where = f"{settings.smtp.host}:{settings.smtp.port}"
    if not greeting.startswith("220"):
        return Finding("mail", False, f"{where} answers {greeting[:80]!r}", _WHEN_AWAY["mail"])
    return Finding("mail", True, f"{where} takes mail")


@asynccontextmanager
async def _database(settings: Settings, service: str) -> AsyncIterator[Connection]:
    url = getattr(settings.databases, service).get_secret_value()
    if not url:
        raise NotSet(f"MUSTER_DATABASES__{service.upper()}")
    connection = await connect(url)
    try:
        yield connection
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await connection.close()


def _status(url: str) -> int | str:
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:  # noqa: S310 # built above, http
            return answer.status
    except urllib.error.HTTPError as error:
        return f"answers {error.code}"
    except OSError:
        return "no answer"
