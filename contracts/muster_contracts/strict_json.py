"""JSON that every reader and every database takes: no NaN, no NUL, no half characters, no endless nesting."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn, cast

from pydantic_core import to_json

from muster_contracts.errors import Undecodable
from muster_contracts.events import Data

_DEEPEST = 32
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def _refuse(constant: str) -> NoReturn:
    raise Undecodable(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Undecodable("a number is out of range")
    return number


_DECODE = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def dump(data: Data) -> bytes:
    """Return the data as compact JSON in UTF-8; it holds plain JSON values only."""
    return to_json(data, inf_nan_mode="constants")


def load(value: bytes) -> Data:
    """Return the object in a record's value.

    Raises:
        Undecodable: the value is no JSON object, or one that PostgreSQL could not keep.
    """
    try:
        data = _DECODE(value.decode())
    except (ValueError, RecursionError) as error:
        raise Undecodable(f"the value is not JSON: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise Undecodable("the value is not a JSON object")
    # Only an escape can hide a NUL or half a character, and few events are nested at all.
    if b"\\u" in value or value.count(b"[") + value.count(b"{") > _DEEPEST:
        _inspect(data, 0)
    return cast("Data", data)


def _inspect(value: Any, depth: int) -> None:
    if depth > _DEEPEST:
        raise Undecodable("the value is nested too deeply")
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise Undecodable("a text holds NUL or half a character")
    for part in _parts(value):
        _inspect(part, depth + 1)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return chain.from_iterable(cast("Data", value).items())
    return cast("list[Any]", value) if isinstance(value, list) else ()
