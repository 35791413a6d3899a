"""Routes about API keys: personal ones, and those of service accounts (docs/decisions/0003)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import FastAPI
from muster_contracts.api_keys import ApiKeyCreated
from muster_contracts.events import Ref
from pydantic import AfterValidator, Field, model_validator

from services.identity import permissions as rights
from services.identity.access import Principal, access_guard
from services.identity.api_keys import decider
from services.identity.api_keys.decider import Make, Owner
from services.identity.command import add_command
from services.identity.fields import Name
from services.identity.lists import ListQuery, by_id
from services.identity.routes import MAX_REASON, Call, Reason, Route, Services, add_read
from services.identity.rules import By
from services.identity.run import Draft
from services.identity.users.api import by
from services.identity.vault import StoreKeyToken
from services.kit.errors import Invalid, NotFound
from services.kit.http import Body
from services.kit.ids import is_id, new_id
from services.kit.postgres import Database, Record
from services.kit.sql import named
from services.kit.times import Moment, rfc3339
from services.kit.tokens import make_token, token_hash

SQL = named(__file__)
PATH = "/v1/api-keys"


def _permission(name: str) -> str:
    if name not in rights.ALL:
        raise ValueError("is not a permission")
    if name in rights.NOT_FOR_KEYS:
        raise ValueError("is nothing that an API key may hold")
    return name


class ServiceBody(Body):
    """A service account: a new one by its name, or one that has a key already by its id."""

    id: str | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ServiceBody:
        if (self.id is None) == (self.name is None):
            raise ValueError("takes either a name or an id")
        return self


class KeyBody(Body):
    name: Name
    permissions: Annotated[list[Annotated[str, AfterValidator(_permission)]], Field(max_length=100)]
    expires_at: Moment | None = None
    service: ServiceBody | None = None
    reason: str | None = Field(default=None, max_length=MAX_REASON)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was decided: the draft that keeps it, and the token that is shown once."""

    draft: Draft
    event: ApiKeyCreated
    token: str


def make_key(by: By, user: str, body: KeyBody, service: Ref | None) -> NewKey:
    """Decide on a key of `user`, or of a service account for which that person answers.

    The guard of the person's access moves with it, so that no deactivation misses a key that is just being made.
    """
    key, token = new_id("key"), make_token("muk")
    held = frozenset(body.permissions)
    events = decider.make(Make(by, key, body.name, held, body.expires_at, user, service))
    created = next(event for event in events if isinstance(event, ApiKeyCreated))
    draft = Draft(
        events=events,
        touches=frozenset({access_guard(user)}),
        writes=(StoreKeyToken(token_hash(token), key),),
        status=201,
    )
    return NewKey(draft, created, token)


async def make(connection: Database, call: Call[KeyBody]) -> Draft:
    body, principal = call.body, call.principal
    if body.expires_at and body.expires_at <= principal.now:
        detail = {"pointer": "/expires_at", "code": "in_the_past", "detail": "This time has passed."}
        raise Invalid(errors=[detail])
    service = await _service(connection, principal.org, body.service)
    made = make_key(by(call), principal.id, body, service)
    shown = key_object(_row_of(made.event, principal))
    secret = {} if call.dry_run else {"token": made.token}
    return replace(made.draft, body={"user": None, "effects": {}, "api_key": shown}, secret=secret)


async def _service(connection: Database, org: str, asked: ServiceBody | None) -> Ref | None:
    if asked is None:
        return None
    if asked.name is not None:
        return Ref(id=new_id("svc"), name=asked.name)
    name = await connection.fetchval(SQL["service"], org, asked.id)
    if name is None:
        detail = {"pointer": "/service/id", "code": "unknown_service", "detail": "No key is in its name."}
        raise Invalid(errors=[detail])
    return Ref(id=asked.id or "", name=name)


def _row_of(event: ApiKeyCreated, principal: Principal) -> dict[str, Any]:
    """The row that `keys` will show for a key that was just made."""
    service = event.service
    return {
        "id": event.key, "name": event.name, "permissions": event.permissions, "created_at": principal.now,
        "expires_at": event.expires_at, "last_used_at": None, "user": event.user, "user_name": principal.name,
        "user_status": "active", "service": service.id if service else None,
        "service_name": service.name if service else None,
    }  # fmt: skip


def key_object(row: Record | dict[str, Any]) -> dict[str, Any]:
    """The object `api_key` of the HTTP API.

    `user` owns a personal key or answers for the service account; null once deleted. A service account whose
    person has left runs on and has `needs_rotation`.
    """
    user, service = row["user"], row["service"]
    return {
        "id": row["id"],
        "name": row["name"],
        "permissions": sorted(row["permissions"]),
        "created_at": rfc3339(row["created_at"]),
        "expires_at": rfc3339(row["expires_at"]),
        "last_used_at": rfc3339(row["last_used_at"]),
        "user": {"id": user, "name": row["user_name"]} if row["user_status"] else None,
        "service": {"id": service, "name": row["service_name"]} if service else None,
        "needs_rotation": bool(service and row["user_status"] != "active"),
    }


async def revoke(connection: Database, call: Call[Reason]) -> Draft:
    key = call.path["key"]
    row = await connection.fetchrow(SQL["key"], call.principal.org, key) if is_id(key, "key") else None
    if row is None:
        raise NotFound
    user = row["user"] if row["user_status"] else None
    owner, reads = None, {row["id"]: row["version"]}
    if user and row["service"] is None:
        held = rights.of_role(row["builtin"], row["role_permissions"])
        owner = Owner(user, held, row["builtin"] == rights.OWNER)
        reads[access_guard(user)] = row["access_version"]
    events = decider.revoke(by(call), row["id"], row["name"], user, owner)
    return Draft(events=events, reads=reads, body={"user": None, "effects": {}})


def add_routes(app: FastAPI, services: Services) -> None:
    """`GET` and `POST` of `/v1/api-keys`, `DELETE` of one."""

    async def list_(
        connection: Database, principal: Principal, _: dict[str, str], asked: ListQuery
    ) -> dict[str, Any]:
        return await by_id(connection, services.opaque, principal.org, asked, SQL["keys"], key_object)

    needed = ("api_keys.manage",)
    add_read(app, services, Route("GET", PATH, needed, "api_keys.manage"), list_, ListQuery)
    made = Route("POST", PATH, needed, "api_key.create", fresh=True, body=KeyBody, status=201)
    add_command(app, services, made, make)
    add_command(app, services, Route("DELETE", f"{PATH}/{{key}}", needed, "api_key.revoke"), revoke)
