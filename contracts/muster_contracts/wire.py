"""The data of an event as it travels: its own fields and the stamp, side by side in one JSON object."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, cast

from pydantic import Field, ValidationError, create_model

from muster_contracts.errors import Undecodable
from muster_contracts.events import Actor, Data, Event, Sparse, Stamp, is_false


def wire(event: Event, stamp: Stamp) -> Data:
    """Return what is published: plain JSON values, times as RFC 3339 in UTC."""
    return event.model_dump(mode="json") | stamp.model_dump(mode="json")


@cache
def wire_model(kind: type[Event]) -> type[Event]:
    """Return the model of an event's whole data; the JSON Schema is made from it."""
    # What may be left out (`Sparse`) stays as it is, the rest of the stamp is always there.
    stamp = {name: field for name, field in Stamp.model_fields.items() if field.exclude_if is None}
    fields: dict[str, Any] = {name: (field.rebuild_annotation(), ...) for name, field in stamp.items()}
    if not kind.stamped:
        fields = {"actor": (Sparse[Actor], None)}
    fields["erased"] = (Annotated[bool, Field(exclude_if=is_false)], False)
    return cast("type[Event]", create_model(f"{kind.__name__}Data", __base__=(kind, Stamp), **fields))


def check(kind: type[Event], value: bytes) -> None:
    """Check the JSON of a record against its class: strictly, a number written as text is wrong.

    Raises:
        Undecodable: it is not what the schema says.
    """
    try:
        wire_model(kind).model_validate_json(value, strict=True)
    except ValidationError as error:
        raise Undecodable.from_validation(error) from None


def stamp_of(data: Data) -> Stamp:
    """Return who did it, from where and why.

    Raises:
        Undecodable: the data holds no such thing.
    """
    try:
        return Stamp.model_validate(data)
    except ValidationError as error:
        raise Undecodable.from_validation(error) from None


def complete(kind: type[Event], data: Data) -> Data:
    """Return the data with a stamp: who may leave it out is the service that the event names."""
    if kind.stamped:
        return data
    actor = data.get("actor") or {"type": "service", "id": data["service"], "name": None}
    return {"ip": None, "user_agent": None, "reason": None} | data | {"actor": actor}
