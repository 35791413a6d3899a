"""`muster up`, `down` and `reset`, and where other commands find what `up` started."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from services.kit.settings import PREFIX

T = TypeVar("T")
STARTERS = ("up", "down", "reset")
ROOT = Path(__file__).resolve().parents[2]
SERVERS = (f"{PREFIX}DATABASES__", f"{PREFIX}KAFKA__")


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def up(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return when all is ready; `muster down` stops it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start everything: PostgreSQL, Kafka, the services, a mail catcher and a demo organization."""
    from deploy.local import up as deployment  # as below: only these three commands know deploy/

    show = _print_json if as_json else deployment.box
    _or_exit(lambda: deployment.up(detach=detach, show=show))


def down(*, as_json: Json = False) -> None:
    """Stop what `up` started."""
    from deploy.local import up as deployment

    ran = _or_exit(deployment.down)
    if as_json:
        _print_json({"stopped": ran})


def reset(*, as_json: Json = False) -> None:
    """Stop what `up` started and delete its data."""
    from deploy.local import up as deployment

    ran = _or_exit(deployment.reset)
    if as_json:
        _print_json({"stopped": ran, "deleted": True})


def _print_json(value: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(value))


def _or_exit(work: Callable[[], T]) -> T:
    from deploy.local.state import StartError

    try:
        return work()
    except StartError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.code) from None


def adopt_settings() -> None:
    """Take the settings that `up` left in `var/`, unless the environment names servers of its own.

    A name that the environment has stays as it is.
    """
    if any(name.startswith(SERVERS) for name in os.environ):
        return
    var = ROOT / os.environ.get(f"{PREFIX}VAR", "var")
    try:
        left: dict[str, str] = json.loads((var / "settings.json").read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{var / 'settings.json'} cannot be read: {error}\n")
        return
    for name, value in left.items():
        if f"{name}_FILE" not in os.environ:
            os.environ.setdefault(name, value)
