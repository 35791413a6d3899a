"""Routes about roles: those of the organization, with what each gives and to how many."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.identity import permissions as rights
from services.identity.access import Principal
from services.identity.lists import ListQuery, by_id
from services.identity.routes import Route, Services, add_read
from services.kit.errors import NotFound
from services.kit.ids import is_id
from services.kit.postgres import Database, Record
from services.kit.sql import named

SQL = named(__file__)


def role_object(row: Record) -> dict[str, Any]:
    """The object `role` of the HTTP API; `builtin` is null for a custom role, `users` counts who has it."""
    return {
        "id": row["id"],
        "name": row["name"],
        "description": row["description"],
        "permissions": sorted(rights.of_role(row["builtin"], row["permissions"])),
        "builtin": row["builtin"],
        "users": row["users"],
    }


async def show(connection: Database, principal: Principal, path: dict[str, str], _: Any) -> dict[str, Any]:
    named = path["role"]
    known = named in rights.BUILTIN or is_id(named, "rol")
    row = await connection.fetchrow(SQL["role"], principal.org, named) if known else None
    if row is None:
        raise NotFound
    return role_object(row)


def add_routes(app: FastAPI, services: Services) -> None:
    """`GET /v1/roles` and `GET /v1/roles/{role}`, by id or by the name of a built-in one."""

    async def list_(
        connection: Database, principal: Principal, _: dict[str, str], asked: ListQuery
    ) -> dict[str, Any]:
        return await by_id(connection, services.opaque, principal.org, asked, SQL["roles"], role_object)

    needed = ("roles.read",)
    add_read(app, services, Route("GET", "/v1/roles", needed, "roles.read"), list_, ListQuery)
    add_read(app, services, Route("GET", "/v1/roles/{role}", needed, "roles.read"), show)
