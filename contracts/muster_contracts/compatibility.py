"""Tells whether a schema breaks who relies on the one before it.

A version is a promise in both directions: readers built for the old schema must understand new records, and
readers built for the new one the old records that are still there. So what is there stays as it is, and what
is added is optional. Anything else is a new version beside the old one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from muster_contracts.events import Data

_REMARKS = ("title", "description", "default", "$id", "$schema", "$defs", "x-personal")


def breaks(old: Data, new: Data) -> list[str]:
    """Return what breaks, one sentence each; empty when nothing does."""
    return list(_compare(_inline(old, old), _inline(new, new), "data"))


def _inline(node: Any, root: Data) -> Any:
    """Return a schema without references and remarks, so that only what validates is compared."""
    if isinstance(node, list):
        return [_inline(each, root) for each in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    schema = cast("Data", node)
    if reference := schema.get("$ref"):
        return _inline(root["$defs"][reference.rpartition("/")[2]], root)
    properties = {name: _inline(each, root) for name, each in schema.get("properties", {}).items()}
    rest = {
        name: _inline(each, root) for name, each in schema.items() if name not in (*_REMARKS, "properties")
    }
    return rest | ({"properties": properties} if "properties" in schema else {})


def _compare(old: Any, new: Any, place: str) -> Iterator[str]:
    if old == new:
        return
    if _alike(old, new, "properties"):
        yield from _compare_objects(old, new, place)
    elif _alike(old, new, "items"):
        yield from _compare(old["items"], new["items"], f"{place}[]")
    elif _alike(old, new, "anyOf") and len(old["anyOf"]) == len(new["anyOf"]):
        for before, after in zip(old["anyOf"], new["anyOf"], strict=True):
            yield from _compare(before, after, place)
    else:
        yield f"{place} is not what it was"


def _alike(old: Data, new: Data, part: str) -> bool:
    """Say whether two schemas differ in this one part only, or below it."""
    ignored = (part, "required") if part == "properties" else (part,)
    if part not in old or part not in new:
        return False
    return _without(old, ignored) == _without(new, ignored)


def _without(schema: Data, parts: tuple[str, ...]) -> Data:
    return {name: each for name, each in schema.items() if name not in parts}


def _compare_objects(old: Data, new: Data, place: str) -> Iterator[str]:
    before, after = set(old.get("required", ())), set(new.get("required", ()))
    for name, schema in old["properties"].items():
        if name not in new["properties"]:
            yield f"{place}.{name} is gone"
        else:
            yield from _compare(schema, new["properties"][name], f"{place}.{name}")
    yield from (f"{place}.{name} is newly required" for name in sorted(after - before))
    yield from (f"{place}.{name} is no longer required" for name in sorted(before - after))
