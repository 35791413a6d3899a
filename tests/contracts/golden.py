"""The examples in `examples/`: one record per event and version, written once and kept for ever."""

import json
from pathlib import Path
from typing import Any

from muster_contracts.envelope import Record
from muster_contracts.registry import EVENTS
from muster_contracts.topics import Topic

FOLDER = Path(__file__).parent / "examples"
SCHEMAS = Path(__file__).parents[2] / "contracts" / "schemas"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))
KINDS = {f"{kind.type}.{kind.version}": kind for kind in EVENTS}


def record(name: str) -> Record:
    raw = json.loads((FOLDER / f"{name}.json").read_text())
    headers = [(header, value.encode()) for header, value in raw["headers"].items()]
    value = json.dumps(raw["value"], ensure_ascii=False, separators=(",", ":")).encode()
    return Record(raw["topic"], raw["key"].encode(), value, headers)


def schema(name: str) -> Any:
    type_, _, version = name.rpartition(".")
    return json.loads((SCHEMAS / type_ / f"{version}.json").read_text())


def topic(name: str) -> Topic:
    return KINDS[name].topic
