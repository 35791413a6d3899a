"""`muster organizations`: an organization and its first Owner, made by an operator."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
from typing import Annotated, NoReturn

import asyncpg
import typer
from pydantic import ValidationError

from services.identity.bootstrap import NotMigrated, open_identity, prepare
from services.identity.organizations.creation import Created, NewOrganization, create, operator
from services.identity.organizations.decider import SlugTaken
from services.kit.errors import Unavailable
from services.kit.postgres import DATABASE_AWAY
from services.kit.sealing import WrongKey
from services.kit.settings import load
from services.kit.times import rfc3339

app = typer.Typer(help="Organizations.", no_args_is_help=True)
FAILED, USAGE, TRY_AGAIN, REFUSED = 1, 2, 3, 4
FORMS = {
    "slug": "SLUG is 2 to 40 small letters, digits and hyphens",
    "name": "--name is one line of at most 200 characters",
    "owner_email": "--owner is an e-mail address",
    "owner_name": "--owner-name is one line of at most 200 characters",
}


@app.callback()
def group() -> None:
    """Keep `create` a command of its own: typer would merge a lone one into the group."""


@app.command("create")
def create_(
    slug: Annotated[str, typer.Argument(help="What names it at sign-in: small letters, digits, hyphens.")],
    *,
    owner: Annotated[str, typer.Option(metavar="EMAIL", help="Who becomes its first Owner.")],
    name: Annotated[str, typer.Option(help="Of the organization; its slug where none is given.")] = "",
    owner_name: Annotated[str, typer.Option(help="Of the Owner, who may correct it.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Make an organization with its roles, and invite its first Owner by mail."""
    asked = _asked(slug, owner, name, owner_name)
    created = _run(asked)
    until = rfc3339(created.link_expires_at)
    if as_json:
        document = {"organization": created.organization, "slug": slug, "name": asked.name}
        document |= {"owner": created.owner, "invitation_expires_at": until}
        typer.echo(json.dumps(document, ensure_ascii=False))
        return
    typer.echo(f"organization {created.organization}\nowner {created.owner}")
    typer.echo(
        f"{slug} is made. {asked.owner_email} is its Owner once they accept: the invitation goes out by mail as "
        f"soon as relay, Kafka and notifier run, and holds until {until}.",
        err=True,
    )


def _asked(slug: str, owner: str, name: str, owner_name: str) -> NewOrganization:
    mailbox = owner.partition("@")[0] or owner
    try:
        return NewOrganization(
            slug=slug, name=name or slug, owner_email=owner, owner_name=owner_name or mailbox
        )
    except ValidationError as error:
        _exit(USAGE, FORMS[str(error.errors()[0]["loc"][0])])


def _run(asked: NewOrganization) -> Created:
    try:
        return asyncio.run(_create(asked))
    except SlugTaken as error:
        _exit(REFUSED, f"{asked.slug}: {error.detail}")
    except NotMigrated as error:
        _exit(FAILED, str(error))
    except WrongKey as error:
        _exit(USAGE, str(error))
    except Unavailable as error:
        _exit(TRY_AGAIN, error.detail)
    except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
        _exit(TRY_AGAIN, f"identity's database cannot be asked: {error or type(error).__name__}")


async def _create(asked: NewOrganization) -> Created:
    async with open_identity(load()) as identity:
        await prepare(identity)
        return await create(identity.runner, asked, operator(_login()))


def _login() -> str:
    """Of whoever runs this; in a container there may be no account of that number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _exit(code: int, text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(code)
