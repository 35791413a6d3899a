"""The directory topic: the current state of each user, one record per user, for who starts from nothing."""

from __future__ import annotations

from typing import Final

from pydantic import ValidationError

from muster_contracts.attributes import CONTENT_TYPE
from muster_contracts.envelope import Record
from muster_contracts.errors import Undecodable
from muster_contracts.events import Part, Ref, Time
from muster_contracts.strict_json import load
from muster_contracts.topics import DIRECTORY

ORG: Final = "ce_org"


class DirectoryFactor(Part):
    id: str
    type: str
    added_at: Time


class DirectoryMfa(Part):
    """`status` is `enabled` or `not_enabled`."""

    status: str
    factors: tuple[DirectoryFactor, ...]


class DirectoryUser(Part):
    """A user as `GET /v1/users/{id}` shows it, without the last sign-in, which is no fact of the log.

    `version` grows with every event in the user's stream; `epoch` when the log was restored.
    """

    id: str
    email: str
    name: str
    username: str | None
    phone: str | None
    timezone: str | None
    role: Ref
    status: str
    mfa: DirectoryMfa
    labels: tuple[str, ...]
    created_at: Time
    password_changed_at: Time | None
    version: int
    organization: str
    epoch: int


def directory_record(user: DirectoryUser) -> Record:
    """Return the record with a user's state."""
    value = user.model_dump_json().encode()
    return Record(DIRECTORY.name, user.id.encode(), value, [CONTENT_TYPE, (ORG, user.organization.encode())])


def tombstone(user_id: str, organization: str) -> Record:
    """Return the record that says: this user is gone, and the id never comes back."""
    return Record(DIRECTORY.name, user_id.encode(), None, [CONTENT_TYPE, (ORG, organization.encode())])


def read_directory(key: bytes | None, value: bytes | None) -> tuple[str, DirectoryUser | None]:
    """Return the user's id and state, None for a tombstone.

    Raises:
        Undecodable: whatever is wrong with it.
    """
    try:
        user_id = (key or b"").decode()
    except UnicodeDecodeError:
        raise Undecodable("the key is not text") from None
    if not user_id.startswith("usr_"):
        raise Undecodable("the key is no id of a user")
    return user_id, None if value is None else _user(user_id, value)


def _user(user_id: str, value: bytes) -> DirectoryUser:
    load(value)
    try:
        user = DirectoryUser.model_validate_json(value, strict=True)
    except ValidationError as error:
        raise Undecodable.from_validation(error) from None
    if user.id != user_id:
        raise Undecodable("the key is not the id")
    return user
