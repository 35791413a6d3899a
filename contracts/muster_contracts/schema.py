"""The JSON Schema of each event's data, made from its class."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from muster_contracts.attributes import schema_urn
from muster_contracts.directory import DirectoryUser
from muster_contracts.events import Data, Event
from muster_contracts.wire import wire_model

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DIRECTORY_TYPE = "directory.user"


class _Plain(GenerateJsonSchema):
    """Leaves out the titles that repeat a field's name, and defaults, which are the business of a reader."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: Any) -> Data:
        return self.generate_inner(schema["schema"])


def event_schema(kind: type[Event]) -> Data:
    """Return the schema of an event's data: its own fields first, then the stamp."""
    schema = _schema(wire_model(kind), kind.type, kind.version, kind)
    order = [*kind.model_fields, *(name for name in schema["properties"] if name not in kind.model_fields)]
    schema["properties"] = {name: schema["properties"][name] for name in order}
    schema["required"] = [name for name in order if name in schema["required"]]
    return schema


def directory_schema() -> Data:
    """Return the schema of a record of the directory."""
    return _schema(DirectoryUser, DIRECTORY_TYPE, 1, DirectoryUser)


def _schema(model: type[BaseModel], type_: str, version: int, documented: type[BaseModel]) -> Data:
    schema = model.model_json_schema(schema_generator=_Plain)
    head: Data = {"$schema": DIALECT, "$id": schema_urn(type_, version), "title": documented.__name__}
    if text := documented.__dict__.get("__doc__"):
        head["description"] = inspect.cleandoc(text)
    parts = ("type", "properties", "required", "$defs")
    return head | {part: schema[part] for part in parts if part in schema}
