"""Named SQL: a module's statements stand in the `.sql` file beside it, each under a line `-- name: …`."""

from __future__ import annotations

from pathlib import Path


def named(module_file: str) -> dict[str, str]:
    """The statements of the `.sql` file beside `module_file`, by name."""
    statements: dict[str, str] = {}
    text = Path(module_file).with_suffix(".sql").read_text("utf-8")
    for block in text.split("-- name: ")[1:]:
        name, _, body = block.partition("\n")
        statements[name.strip()] = body.strip().removesuffix(";")
    return statements
