"""`muster parked`: records that a consumer put aside. Read in the databases of audit and notifier."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from services.kit.postgres import DATABASE_AWAY, Connection, connect
from services.kit.settings import Settings, SettingsError, load

app = typer.Typer(help="Records that could not be applied: list, show, try again.", no_args_is_help=True)
T = TypeVar("T")

SERVICES = ("audit", "notifier")
FAILED, USAGE, TRY_AGAIN = 1, 2, 3
WAIT_SECONDS = 10.0
Json = Annotated[bool, typer.Option("--json", help="Write JSON.")]
Which = Annotated[str, typer.Argument(metavar="ID", help="As listed, for example audit:17.")]
_LIST = (
    'SELECT id, topic, partition, "offset", error, at, retry_at, resolved_at FROM parked'
    " WHERE $1 OR resolved_at IS NULL ORDER BY id DESC LIMIT 1000"
)


@app.command("list")
def list_(
    *, every: Annotated[bool, typer.Option("--all", help="Resolved ones too.")] = False, as_json: Json = False
) -> None:
    """List what is parked, newest first."""
    rows = _run(_list(load_or_exit(), every=every))
    if as_json:
        _print_json({"data": rows})
        return
    table = Table("id", "topic", "partition", "offset", "error", "parked at", "state")
    for row in rows:
        state = "resolved" if row["resolved_at"] else "asked again" if row["retry_at"] else "parked"
        table.add_row(
            row["id"], row["topic"], str(row["partition"]), str(row["offset"]), row["error"], row["at"], state
        )
    Console().print(table if rows else "Nothing is parked.")


@app.command()
def show(which: Which, *, as_json: Json = False) -> None:
    """Show one record with everything it held; it may hold personal data."""
    service, id_ = _split(which)
    row = _run(_show(load_or_exit(), service, id_))
    if row is None:
        _exit(USAGE, f"there is no parked record {which}")
    if as_json:
        _print_json(row)
        return
    table = Table(show_header=False)
    for name, value in row.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    Console().print(table)


@app.command()
def retry(which: Which, *, as_json: Json = False) -> None:
    """Have the service try a record again, and wait for what becomes of it."""
    service, id_ = _split(which)
    outcome, text = _run(_retry(load_or_exit(), service, id_))
    if as_json:
        _print_json({"id": which, "resolved": outcome == 0, "detail": text})
    else:
        Console(stderr=outcome != 0).print(text)
    raise typer.Exit(outcome)


def load_or_exit() -> Settings:
    try:
        return load()
    except SettingsError as error:
        _exit(USAGE, str(error))


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
        _exit(TRY_AGAIN, f"the database cannot be asked: {type(error).__name__}")


def _exit(code: int, text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)


def _split(which: str) -> tuple[str, int]:
    service, _, number = which.partition(":")
    if service not in SERVICES or not number.isdecimal() or len(number) > len(str(2**62)):
        _exit(USAGE, "an id is written audit:17 or notifier:17")
    return service, int(number)


async def _open(settings: Settings, service: str) -> Connection:
    url = getattr(settings.databases, service).get_secret_value()
    if not url:
        _exit(USAGE, f"MUSTER_DATABASES__{service.upper()} is not set")
    return await connect(url)


async def _list(settings: Settings, *, every: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for service in SERVICES:
        connection = await _open(settings, service)
        try:
            rows = await connection.fetch(_LIST, every)
            found += [_plain(dict(row), service) for row in rows]
        finally:
            await connection.close()
    return sorted(found, key=lambda row: row["at"], reverse=True)


async def _show(settings: Settings, service: str, id_: int) -> dict[str, Any] | None:
    connection = await _open(settings, service)
    try:
        row = await connection.fetchrow("SELECT * FROM parked WHERE id = $1", id_)
        return _plain(dict(row), service) if row else None
    finally:
        await connection.close()


async def _retry(settings: Settings, service: str, id_: int) -> tuple[int, str]:
    connection = await _open(settings, service)
    try:
        asked = await connection.execute(
            "UPDATE parked SET retry_at = now() WHERE id = $1 AND resolved_at IS NULL", id_
        )
        if asked == "UPDATE 0":
            return USAGE, f"there is no unresolved record {service}:{id_}"
        return await _outcome(connection, service, id_)
    finally:
        await connection.close()


async def _outcome(connection: Connection, service: str, id_: int) -> tuple[int, str]:
    for _ in range(int(WAIT_SECONDS / 0.2)):
        row = await connection.fetchrow("SELECT error, retry_at, resolved_at FROM parked WHERE id = $1", id_)
        if row is None or row["resolved_at"]:
            return 0, f"{service}:{id_} is resolved"
        if row["retry_at"] is None:
            return FAILED, f"{service}:{id_} is still refused: {row['error']}"
        await asyncio.sleep(0.2)
    return TRY_AGAIN, f"{service} has not come to it yet; it will once it runs"


def _plain(row: dict[str, Any], service: str) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": f"{service}:{row.pop('id')}"}
    for name, value in row.items():
        if isinstance(value, bytes):
            plain[name] = _text(value)
        else:
            plain[name] = value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value
    return plain


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(value).decode()


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False))
