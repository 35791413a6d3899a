"""Table `users`: one row a person, folded from the log inside the commit, rebuilt from it by the same code."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from muster_contracts.events import Event
from muster_contracts.sessions import SessionEvent, SessionStarted
from muster_contracts.users import UserEvent

from services.identity.readmodel import Table
from services.identity.store import Fact
from services.identity.users.state import Factor, User, evolve
from services.kit.postgres import Connection, Record
from services.kit.times import rfc3339

USERS = Table(
    "users",
    (
        "org", "email", "name", "username", "phone", "timezone", "labels", "role", "status", "accepted",
        "has_password", "factors", "recovery_codes", "created_at", "last_sign_in_at", "password_changed_at",
        "search", "version",
    ),
)  # fmt: skip
EVENTS = (UserEvent,)


async def project(connection: Connection, facts: Sequence[tuple[str, Fact]], table: Table = USERS) -> None:
    """Fold these events, in log order, into the rows of the people that they are about.

    Args:
        connection: in the transaction that inserts the events (or that rebuilds).
        facts: (org, fact) pairs; those about nobody's row are passed over.
        table: `USERS`, or the one that is being rebuilt beside it.
    """
    mine = [(org, fact, fact.event) for org, fact in facts if _concerns(type(fact.event))]
    if not mine:
        return
    ids = {event.user for _, _, event in mine if isinstance(event, UserEvent)}
    users: dict[str, User | None] = {
        key: user_of(row) for key, row in (await table.load(connection, sorted(ids))).items()
    }
    for org, fact, event in mine:
        if isinstance(event, UserEvent):
            users[event.user] = evolve(users.get(event.user), org, event, fact.occurred_at)
    await table.remove(connection, [key for key, user in users.items() if user is None])
    await table.save(connection, [row_of(user) for user in users.values() if user is not None])


@cache
def _concerns(kind: type[Event]) -> bool:
    return issubclass(kind, UserEvent) and (
        issubclass(kind, SessionStarted) or not issubclass(kind, SessionEvent)
    )


def user_of(row: Record | dict[str, Any]) -> User:
    """The state that a row of `users` holds."""
    values: dict[str, Any] = {name: row[name] for name in User._fields}
    values["labels"] = tuple(row["labels"])
    values["factors"] = tuple(
        Factor(f["id"], f["type"], datetime.fromisoformat(f["added_at"])) for f in row["factors"]
    )
    return User(**values)


def row_of(user: User) -> dict[str, Any]:
    """The row of `users` that holds this state, as JSON values."""
    row = user._asdict()
    for name in ("created_at", "last_sign_in_at", "password_changed_at"):
        row[name] = rfc3339(row[name])
    row["factors"] = factor_objects(user)
    row["labels"] = list(user.labels)
    row["search"] = searchable("\n".join(filter(None, (user.name, user.email, user.username))))
    return row


def factor_objects(user: User) -> list[dict[str, Any]]:
    """The factors as the row and the HTTP API show them."""
    return [{"id": f.id, "type": f.type, "added_at": rfc3339(f.added_at)} for f in user.factors]


def searchable(text: str) -> str:
    """Without case and accents, as both sides of a search are written."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c))
