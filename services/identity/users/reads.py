"""Routes that show people: the table, one person, their sessions, what happened to them and through them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.identity.access import Principal
from services.identity.routes import NoQuery, Route, Services, add_read
from services.identity.timeline import page_of
from services.identity.users import queries
from services.identity.users.queries import ListQuery, PageQuery
from services.kit.postgres import Connection
from services.kit.times import rfc3339

Path = dict[str, str]


async def get_user(connection: Connection, principal: Principal, path: Path, _: NoQuery) -> Any:
    return await queries.get(connection, principal.org, path["user"])


async def list_sessions(connection: Connection, principal: Principal, path: Path, _: NoQuery) -> Any:
    """All live sessions of a person, last used first; there are at most a hundred, so one page holds them."""
    await queries.check_exists(connection, principal.org, path["user"])
    rows = await connection.fetch(queries.SQL["sessions"], path["user"], principal.org)
    current = principal.session.id if principal.session else None
    shown = [session_object(dict(row), current) for row in rows]
    count = {"value": len(shown), "exact": True}
    return {"data": shown, "next_cursor": None, "previous_cursor": None, "count": count}


def session_object(row: dict[str, Any], current: str | None) -> dict[str, Any]:
    """A session as the HTTP API shows it; `current` is the id of the caller's own."""
    times = ("created_at", "last_seen_at", "expires_at")
    shown: dict[str, Any] = {name: rfc3339(row[name]) for name in times}
    return {
        "id": row["id"],
        **shown,
        "ip": row["ip"],
        "user_agent": row["user_agent"],
        "amr": list(row["amr"]),
        "current": row["id"] == current,
    }


def add_routes(app: FastAPI, services: Services) -> None:
    """The reads of api.md §2 under `/v1/users`."""

    async def list_users(connection: Connection, principal: Principal, _: Path, query: ListQuery) -> Any:
        return await queries.find(connection, services.opaque, principal.org, query)

    async def timeline(connection: Connection, principal: Principal, path: Path, query: PageQuery) -> Any:
        await queries.check_exists(connection, principal.org, path["user"])
        keys = services.runner.keys
        return await page_of(
            connection, keys, services.opaque, principal.org, path["user"], query.cursor, query.limit
        )

    user = "/v1/users/{user}"
    reads = ("users.read",)
    add_read(app, services, Route("GET", "/v1/users", reads), list_users, ListQuery)
    add_read(app, services, Route("GET", user, reads), get_user)
    add_read(app, services, Route("GET", f"{user}/sessions", ("sessions.read",)), list_sessions)
    add_read(app, services, Route("GET", f"{user}/timeline", reads), timeline, PageQuery)
