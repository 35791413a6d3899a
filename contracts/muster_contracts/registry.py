"""Which class reads which event: by type and version."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from pydantic import ValidationError

from muster_contracts import (
    api_keys,
    attempts,
    credentials,
    kills,
    notifications,
    organizations,
    roles,
    sessions,
    users,
)
from muster_contracts.errors import Undecodable, UnknownEvent
from muster_contracts.events import Data, Event
from muster_contracts.topics import Topic
from muster_contracts.upcasts import upcast

MODULES = (users, credentials, sessions, organizations, roles, api_keys, notifications, kills, attempts)


def _events_of(module: ModuleType) -> Iterator[type[Event]]:
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Event) and "type" in vars(value):
            yield value


EVENTS: tuple[type[Event], ...] = tuple(kind for module in MODULES for kind in _events_of(module))
_BY_VERSION = {(kind.type, kind.version): kind for kind in EVENTS}
_TOPICS = {kind.type: kind.topic for kind in EVENTS}


def find(type_: str, version: int) -> type[Event]:
    """Return the class of this very version.

    Raises:
        UnknownEvent: this release does not know it; a newer one may.
    """
    if kind := _BY_VERSION.get((type_, version)):
        return kind
    raise UnknownEvent(type_, version)


def topic_of(type_: str) -> Topic | None:
    """Return where events of this type are published, None for a type that this release does not know."""
    return _TOPICS.get(type_)


def read(type_: str, version: int, data: Data) -> Event:
    """Return the event in its newest version, read from the data of any version.

    Raises:
        UnknownEvent: this release does not know the type or the version.
        Undecodable: the data is not what the schema says.
    """
    find(type_, version)
    newest, data = upcast(type_, version, data)
    try:
        return find(type_, newest).model_validate(data)
    except ValidationError as error:
        raise Undecodable.from_validation(error) from None
