"""All figures in one table: `make bench`, or `make bench N="http audit"` for some of them."""

from __future__ import annotations

import os
import platform
import sys
from importlib import import_module

import uvloop

from tests.bench.figures import HEADER, show

PROGRAMS = (
    "commands",
    "http",
    "sign_in",
    "lists",
    "browser",
    "latency",
    "relay",
    "audit",
    "rebuild",
    "million",
    "start",
)


def main() -> None:
    names = sys.argv[1:] or PROGRAMS
    if unknown := set(names) - set(PROGRAMS):
        sys.exit(f"There is no {min(unknown)}; choose from {', '.join(PROGRAMS)}")
    sys.stdout.write(
        f"Python {platform.python_version()}, {os.cpu_count()} cores for everything, load "
        f"{os.getloadavg()[0]:.1f} before the first figure\n\n{HEADER}\n"
    )
    for name in names:
        uvloop.run(run(name))


async def run(name: str) -> None:
    async for figure in import_module(f"tests.bench.{name}").figures():
        show(figure)


if __name__ == "__main__":
    main()
