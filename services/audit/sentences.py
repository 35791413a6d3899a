"""One sentence per record that a person can read. Pure, and total: no record is without one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from services.audit import phrases
from services.audit.entries import REFUSED
from services.audit.leaves import Readable
from services.audit.phrases import Pair

ERASED = "an erased person"
_OTHERS = {
    "system": "Muster",
    "operator": "an operator",
    "anonymous": "someone not signed in",
    "service": "a service",
}
_OURS = ("an ", "a ", "someone ")
_LONGEST = 120


def sentence(record: Readable) -> str:
    """For example "Ada Owner deactivated Ben Miller."; nothing in it but what the record says now."""
    words = _Words(record)
    own = record.actor_id is not None and record.actor_id == record.target_id
    if record.outcome == REFUSED:
        text = _refusal(record, words, own=own)
    else:
        text = _choose(
            phrases.DONE.get(record.type, "{actor}: " + _literal(record.type) + " {target}."), own=own
        )
        text = text.format_map(words)
    # A name stays as its owner writes it, our own words begin a sentence.
    return text[:1].upper() + text[1:] if text.startswith(_OURS) else text


def changes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Old and new value of each field that changed."""
    return {name: {"old": c["old"], "new": c["new"]} for name, value in data.items() if (c := _change(value))}


def _refusal(record: Readable, words: _Words, *, own: bool) -> str:
    phrase = phrases.ACTS.get(record.type)
    act = _choose(phrase, own=own).format_map(words) if phrase else f"do this ({record.type})"
    if record.type == "session.start" and record.target_id is None:
        act = "sign in"
    code = record.code or ""
    count = record.data.get("count")
    times = f" ({count} times)" if isinstance(count, int) and count > 1 else ""
    why = phrases.CODES.get(code, code.replace("_", " "))
    return f"{words['actor']} was not allowed to {act}: {why}{times}."


def _choose(template: Pair | str, *, own: bool) -> str:
    return template if isinstance(template, str) else template[own]


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


class _Words(dict[str, str]):
    """What the braces of a template stand for; a field that is not there stands for nothing."""

    def __init__(self, record: Readable) -> None:
        super().__init__(actor=_actor(record), target=_target(record))
        self._data = record.data

    def __missing__(self, name: str) -> str:
        if name == "changed":
            return ", ".join(field.replace("_", " ") for field in changes(self._data)) or "nothing"
        value = self._data.get(name)
        if change := _change(value):
            return _from_to(change)
        return _say(value)


def _actor(record: Readable) -> str:
    if name := record.actor_name:
        return name
    if record.actor_erased and record.actor_type == "user":
        return ERASED
    return _OTHERS.get(record.actor_type) or record.actor_id or "someone"


def _target(record: Readable) -> str:
    if record.target_name:
        return record.target_name
    if record.target_id is not None and record.target_id == record.actor_id and record.actor_name:
        return record.actor_name
    if record.target_erased and record.target_type == "user":
        return ERASED
    return record.target_id or "nobody"


def _change(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    found = cast("dict[str, Any]", value)
    return found if found.keys() == {"old", "new"} else None


def _from_to(change: Mapping[str, Any]) -> str:
    old, new = _say(change["old"]), _say(change["new"])
    return (f" from {old}" if old else "") + (f" to {new}" if new else "")


def _say(value: Any) -> str:
    """A value in words, not endless: names of what has one, lists with commas."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        return _say(found.get("name") or found.get("id"))
    if isinstance(value, list):
        return ", ".join(_say(part) for part in cast("list[Any]", value))[:_LONGEST]
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)[:_LONGEST]
