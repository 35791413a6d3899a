"""What every event is made of: its own fields, and the stamp of who did it and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, GetJsonSchemaHandler

from muster_contracts.topics import Topic

T = TypeVar("T")
Data = dict[str, Any]
"""One JSON object: the value of a Kafka record."""


@dataclass(frozen=True, slots=True)
class PersonalMark:
    """Marks a field as personal, and says under whose key it is kept at rest."""

    owner: Literal["target", "actor"]

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> Data:
        return {**handler(core_schema), "x-personal": self.owner}


PERSONAL = PersonalMark("target")
ACTOR_PERSONAL = PersonalMark("actor")

Personal = Annotated[T | None, PERSONAL]
"""A value about the person that the event is about; null once that person is erased."""


def _in_utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


def is_none(value: object) -> bool:
    return value is None


def is_false(value: object) -> bool:
    return value is False


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Sparse = Annotated[T | None, Field(exclude_if=is_none)]
"""A field that is left out of the JSON when there is nothing to say."""


class Part(BaseModel):
    """Base of all that travels: never changed once made, and unknown fields of newer writers are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Change(Part, Generic[T]):
    """Old and new value of what changed."""

    old: T | None
    new: T | None


class Ref(Part):
    """Something named by id, with the name it had then."""

    id: str
    name: str


class Actor(Part):
    """Who did it: type `user`, `service`, `system`, `operator` or `anonymous`; more may come."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "id", "name"]})

    type: str
    id: str | None = None
    name: Annotated[str | None, ACTOR_PERSONAL] = None
    erased: Annotated[bool, Field(exclude_if=is_false)] = False


class Stamp(Part):
    """Who did it, from where, and why: the same for all events of one command."""

    actor: Actor
    ip: Annotated[str | None, ACTOR_PERSONAL] = None
    user_agent: Annotated[str | None, ACTOR_PERSONAL] = None
    # Kept under the key of the person that the event is about; where there is none, under the actor's.
    reason: Personal[str] = None
    session_id: Sparse[str] = None
    """The session that it was done in; left out where there was none."""


class Event(Part):
    """A fact, in past tense. A subclass holds its own fields only, the stamp comes beside them on the wire.

    Attributes:
        type: the name on the wire; never renamed.
        version: raised by a change that breaks a reader, as a new class beside the old one.
        topic: where it is published.
        stream_field: the field that names the stream (`ce_subject`); None where the writer names it.
        person_field: the field with the id of the person whom the event is about, if there is one.
        stamped: False where services of other teams write the event, and may leave the stamp out.
    """

    type: ClassVar[str]
    version: ClassVar[int] = 1
    topic: ClassVar[Topic]
    stream_field: ClassVar[str | None]
    person_field: ClassVar[str | None] = None
    stamped: ClassVar[bool] = True

    def stream(self) -> str | None:
        """Return the id of the event's stream (`ce_subject`), None where only the writer knows it."""
        return getattr(self, self.stream_field) if self.stream_field else None

    def person(self) -> str | None:
        """Return the id of the user whom the event is about, None where it is about no person."""
        return person_of(type(self), self.__dict__)

    def partition_key(self, organization: str) -> str:
        """Return the Kafka key (`ce_partitionkey`), given the organization (`org_0` when unknown).

        Raises:
            KeyError: the topic is keyed by user and the event names none (a receipt: take its order's key).
        """
        return organization if self.topic.key == "organization" else self.__dict__["user"]


def person_of(kind: type[Event], data: Mapping[str, Any]) -> str | None:
    """Return the user whom an event of this class with this data is about; only a `usr_` id is a person."""
    person = data.get(kind.person_field) if kind.person_field else None
    return person if isinstance(person, str) and person.startswith("usr_") else None
