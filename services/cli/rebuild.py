"""`muster rebuild`: read models once more from the log."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, NoReturn

import asyncpg
import typer

from services.cli.migrations import owner_url
from services.identity import rebuild
from services.identity.bootstrap import master_keys
from services.identity.log import UnreadableEvent
from services.identity.rebuild import Report
from services.kit.persons import PersonKeys
from services.kit.postgres import DATABASE_AWAY, connect
from services.kit.sealing import WrongKey
from services.kit.settings import Settings, SettingsError, load

app = typer.Typer(help="Read models once more from the log.", no_args_is_help=True)
FAILED, TRY_AGAIN = 1, 3
STATEMENT_SECONDS = 600.0


@app.callback()
def group() -> None:
    """Keep `users` a command of its own: typer would merge a lone one into the group."""


@app.command()
def users(
    *,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare; exit 1 where something differs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Replay the log beside the table of users, say what differs, and put the new table in its place."""
    report = _run(load(), verify=verify)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        _tell(report)
    raise typer.Exit(FAILED if verify and report.differences else 0)


def _run(settings: Settings, *, verify: bool) -> Report:
    try:
        return asyncio.run(_work(settings, verify=verify))
    except (WrongKey, UnreadableEvent) as error:
        _exit(FAILED, str(error))
    except (rebuild.AlreadyRunning, asyncpg.LockNotAvailableError):
        _exit(TRY_AGAIN, "the table is in use, or another rebuild is under way: try again")
    except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
        _exit(TRY_AGAIN, f"identity's database cannot be asked: {error or type(error).__name__}")


async def _work(settings: Settings, *, verify: bool) -> Report:
    url = settings.databases.identity.get_secret_value() if verify else owner_url(settings, "identity")
    if not url:
        raise SettingsError("MUSTER_DATABASES__IDENTITY is not set: the URL of identity's database")
    keys = PersonKeys(master_keys(settings))
    connection = await connect(url, command_seconds=STATEMENT_SECONDS)
    try:
        return await (rebuild.verify if verify else rebuild.rebuild)(connection, keys)
    finally:
        await connection.close()


def _tell(report: Report) -> None:
    typer.echo(f"{report.events} events up to position {report.position} make {report.rows} rows")
    for difference in report.examples:
        columns = f": {', '.join(difference.columns)}" if difference.columns else ""
        typer.echo(f"{difference.id} {difference.where}{columns}")
    if report.differences > len(report.examples):
        typer.echo(f"and {report.differences - len(report.examples)} more")
    typer.echo(f"{report.differences} rows differ" if report.differences else "no row differs")
    if report.switched:
        typer.echo("the rebuilt table is in use now")


def _exit(code: int, text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)
