"""Writes `schemas/` and `asyncapi.yaml` from the code: `python -m muster_contracts.generate [--check]`.

With `--check` nothing is written, and what is stale is named. Without it, a schema that would break those who
rely on the one it replaces is refused, and then nothing is written either.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from muster_contracts import asyncapi, yaml
from muster_contracts.compatibility import breaks
from muster_contracts.events import Data
from muster_contracts.registry import EVENTS
from muster_contracts.schema import DIRECTORY_TYPE, directory_schema, event_schema

FOLDER = Path(__file__).parents[1]


def schemas() -> dict[str, Data]:
    """Return every schema by its path below `contracts/` (and below the gateway's root)."""
    made = {f"schemas/{kind.type}/{kind.version}.json": event_schema(kind) for kind in EVENTS}
    return made | {f"schemas/{DIRECTORY_TYPE}/1.json": directory_schema()}


def files() -> dict[str, str]:
    """Return every generated file by its path below `contracts/`."""
    made = {
        path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for path, schema in schemas().items()
    }
    return made | {"asyncapi.yaml": yaml.dump(asyncapi.document())}


def stale(folder: Path) -> list[str]:
    """Return what differs between the folder and what would be generated."""
    wanted = files()
    there = {path.relative_to(folder).as_posix() for path in folder.glob("schemas/**/*.json")}
    wrong = {path for path, text in wanted.items() if _text(folder / path) != text}
    return sorted(wrong | (there - wanted.keys()))


def broken(folder: Path) -> list[str]:
    """Return how the new schemas would break those in the folder, one sentence each."""
    wanted = schemas()
    problems: list[str] = []
    for path in sorted(folder.glob("schemas/**/*.json")):
        name = path.relative_to(folder).as_posix()
        found = (
            breaks(json.loads(path.read_text()), wanted[name]) if name in wanted else ["the version is gone"]
        )
        problems += [f"{name}: {each}" for each in found]
    return problems


def write(folder: Path) -> None:
    """Write every generated file."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Run the command line; 0 fine, 1 stale or breaking."""
    parser = argparse.ArgumentParser(prog="muster_contracts.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when something is stale")
    check = parser.parse_args(arguments).check
    problems = broken(folder)
    if check:
        problems += [f"{name}: stale, run `python -m muster_contracts.generate`" for name in stale(folder)]
    elif not problems:
        write(folder)
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
