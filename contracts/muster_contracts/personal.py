"""Takes the personal data out of an event, and puts it back: for services that encrypt it at rest.

A value that is absent from the open part is in one of the two others. What is null in the open part was null
from the start; so, when a key is destroyed, just what was really lost is marked as erased.

    parts = split(event, stamp, self_act=False)   # parts.target under the key of the person it is about
    data = join(type, version, parts.open, parts.target, None)   # the actor's key is destroyed
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from muster_contracts.events import PERSONAL, Change, Data, Event, Stamp, person_of
from muster_contracts.registry import find
from muster_contracts.wire import wire

Blanks = tuple[tuple[str, Any], ...]
"""Personal fields, each with what stands there once it is erased."""

_ADDRESS: Blanks = (("ip", None), ("user_agent", None))
_REASON: Blanks = (("reason", None),)
_STAMP = _ADDRESS + _REASON
_NAME: Blanks = (("name", None),)


@dataclass(frozen=True, slots=True)
class Parts:
    """The data of one event: what is open, and what belongs under a person's key (empty: nothing does)."""

    open: Data
    target: Data
    actor: Data


@cache
def _blanks(kind: type[Event]) -> Blanks:
    fields = ((name, field) for name, field in kind.model_fields.items() if PERSONAL in field.metadata)
    return tuple((name, _blank(field.annotation)) for name, field in fields)


def _blank(annotation: Any) -> Any:
    change = isinstance(annotation, type) and issubclass(annotation, Change)
    return {"old": None, "new": None} if change else None


def split(event: Event, stamp: Stamp, *, self_act: bool) -> Parts:
    """Take the personal data out; `self_act`: the actor is the target, so all of it is the target's."""
    return split_wire(type(event), wire(event, stamp), self_act=self_act)


def split_wire(kind: type[Event], data: Data, *, self_act: bool) -> Parts:
    """Do the same with data that came over the wire; `data` itself is left as it is."""
    rest = dict(data)
    target = _take(rest, _owned(kind, data))
    actor = _take(rest, _STAMP)
    rest["actor"] = dict(rest["actor"])
    if name := _take(rest["actor"], _NAME):
        actor["actor"] = name
    return Parts(rest, target | actor, {}) if self_act else Parts(rest, target, actor)


def _take(source: Data, blanks: Blanks) -> Data:
    return {name: source.pop(name) for name, _ in blanks if source.get(name) is not None}


def join(type_: str, version: int, rest: Data, target: Data | None, actor: Data | None) -> Data:
    """Put the data together again; None for a part means that its key is destroyed.

    Args:
        type_: type of the event.
        version: its version, as stored.
        rest: the open part.
        target: the part of the person it is about; `{}` where there was none.
        actor: the part of who did it; `{}` where there was none.

    Raises:
        UnknownEvent: this release does not know the type or the version.
    """
    kind = find(type_, version)
    data = rest | (target or {}) | (actor or {})
    data["actor"] = rest["actor"] | data["actor"]
    if target is None and _blank_out(data, _owned(kind, data)):
        data["erased"] = True
    if target is None or actor is None:
        lost = [_blank_out(data, _STAMP), _blank_out(data["actor"], _NAME)]
        if any(lost):
            data["actor"]["erased"] = True
    return data


def _owned(kind: type[Event], data: Data) -> Blanks:
    return _blanks(kind) + _REASON if person_of(kind, data) else _blanks(kind)


def _blank_out(data: Data, blanks: Blanks) -> bool:
    """Put a blank where a value is missing, and say whether one was."""
    missing = [(name, blank) for name, blank in blanks if name not in data]
    data.update(missing)
    return bool(missing)
