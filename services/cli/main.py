"""The `muster` command. One file for each group of commands; data goes to stdout, everything else to stderr.

Exit codes: 0 fine, 1 a check failed, 2 usage, 3 try again, 4 refused by a rule.
"""

from __future__ import annotations

import logging
import sys

import typer

from services.cli import config, doctor, events, local, migrations, organizations, parked, rebuild
from services.kit.settings import SettingsError

USAGE = 2
app = typer.Typer(
    help="Muster: run it, look into it, and act as an operator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # it prints local variables, secrets among them
)
app.command("up")(local.up)
app.command("down")(local.down)
app.command("reset")(local.reset)
app.command("migrate")(migrations.migrate)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(events.app, name="events")
app.add_typer(organizations.app, name="organizations")
app.add_typer(parked.app, name="parked")
app.add_typer(rebuild.app, name="rebuild")


@app.callback()
def before(context: typer.Context) -> None:
    """Let a command find the installation of `make up`, where the environment names no other."""
    if context.invoked_subcommand not in local.STARTERS:
        local.adopt_settings()


def main() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # commands say themselves what does not answer
    try:
        app()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)


if __name__ == "__main__":
    main()
