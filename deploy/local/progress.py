"""What a person sees of a start, on standard error: a line for each step, a moving one while it lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

console = Console(stderr=True, highlight=False)
WORTH_A_LINE_SECONDS = 0.3


@contextmanager
def step(text: str, *, always: bool = True) -> Iterator[None]:
    """Show that something is under way, then that it is done and how long it took.

    Args:
        text: what it is.
        always: leave a line also when it took no time.
    """
    begun = time.monotonic()
    with console.status(text):
        yield
    took = time.monotonic() - begun
    if always or took > WORTH_A_LINE_SECONDS:
        console.print(f"[green]✓[/] {text} [dim]{took:.1f} s[/]")


def say(text: str) -> None:
    console.print(text, markup=False)


def box(run: Mapping[str, Any]) -> None:
    """Print addresses and sign-ins; each value can be copied as it stands."""
    table = Table.grid(padding=(0, 2))
    for name in ("gateway", "console", "mail", "kafka", "organization"):
        if run.get(name):
            table.add_row(name, str(run[name]))
    for name in ("owner", "admin", "member"):
        if person := run.get(name):
            table.add_row(name, f"{person['email']}  {person['password']}")
    if run.get("api_key"):
        table.add_row("api key", run["api_key"])
    Console(highlight=False, width=max(100, console.width)).print(
        Panel(table, title="Muster is up", subtitle="Ctrl-C or `make down` stops it", expand=False)
    )
