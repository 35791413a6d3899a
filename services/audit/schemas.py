"""The shapes of the answers, for the OpenAPI document; tests hold the answers against them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from services.kit.http import Query, parameters


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Party(Answer):
    """Who did it, or whom it was done to; `erased` where the name is gone with the person."""

    type: str
    id: str | None
    name: str | None
    erased: Literal[True] | None = None


class FieldChange(Answer):
    old: JsonValue
    new: JsonValue


class AuditRecord(Answer):
    """One event, refused attempt or reading."""

    seq: int = Field(ge=0, description="dense from 0 in each organization, in order of recording")
    id: str
    type: str
    outcome: Literal["done", "refused", "failed"]
    code: str | None = Field(description="why it was refused")
    occurred_at: str
    recorded_at: str
    actor: Party
    delegate: None
    target: Party | None
    ip: str | None
    user_agent: str | None
    request_id: str | None
    session_id: str | None
    reason: str | None
    changes: dict[str, FieldChange]
    sentence: str
    seal: None


class Count(Answer):
    value: int
    exact: bool


class AuditCount(Answer):
    count: Count


class AuditPage(Answer):
    data: list[AuditRecord]
    next_cursor: str | None
    previous_cursor: str | None
    count: Count


def path_id(model: type[Query]) -> dict[str, Any]:
    """The same for a route with `{id}` in its path."""
    extra = parameters(model)
    extra["parameters"].insert(
        0, {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    )
    return extra
