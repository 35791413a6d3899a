"""`muster config show`: the settings in force, secrets masked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from pydantic import BaseModel, SecretStr

from services.kit.settings import PREFIX, load

app = typer.Typer(help="Settings.", no_args_is_help=True)
MASK = "********"


@app.callback()
def group() -> None:
    """Keep `show` a command of its own: typer would merge a lone one into the group."""


@app.command()
def show(*, as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False) -> None:
    """Show every setting with its value; of a secret only whether it is set."""
    values = dict(_leaves(load(), PREFIX))
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        typer.echo(f"{name}={value}")


def _leaves(group_: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name in type(group_).model_fields:
        value: Any = getattr(group_, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", _shown(value)


def _shown(value: Any) -> str:
    match value:
        case SecretStr():
            return MASK if value.get_secret_value() else ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return str(value)
