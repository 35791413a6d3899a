"""Reading what decisions about people need. Source: tables users, roles, sessions, api_keys, links, claims,
heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.identity import permissions as rights
from services.identity.access import access_guard, owners_guard
from services.identity.fields import login_claim
from services.identity.rules import Remaining
from services.identity.users.projection import user_of
from services.identity.users.situation import LiveKey, LiveSession, OpenLink, Role, Rule, Situation
from services.kit.errors import NotFound
from services.kit.ids import is_id
from services.kit.postgres import Database, Record
from services.kit.sql import named

SQL = named(__file__)


async def situation(connection: Database, org: str, user: str) -> Situation:
    """One person with all that a decision about them rests on.

    Raises:
        NotFound: unknown, deleted, or of another organization: the same answer.
    """
    found = (await situations(connection, [(org, user)])).get((org, user))
    if found is None:
        raise NotFound
    return found


async def situations(
    connection: Database, people: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Situation]:
    """The situations of people, given as (organization, user id); who is not there is left out."""
    known = [(user, org) for org, user in people if is_id(user, "usr")]
    rows = await connection.fetch(SQL["situations"], *zip(*known, strict=True)) if known else []
    return {(row["org"], row["id"]): _situation(row) for row in rows}


def _situation(row: Record) -> Situation:
    org, user = row["org"], row["id"]
    sessions = tuple(live_session(s) for s in row["sessions"] or ())
    keys = tuple(LiveKey(k["id"], k["version"], k["name"]) for k in row["keys"] or ())
    role = _role(row, row["role"], row["role_name"], row["role_version"], row["role_permissions"])
    known: dict[str, int] = row["heads"] or {}
    heads = {head: known.get(head, 0) for head in (user, access_guard(user), owners_guard(org))}
    heads |= {s.id: s.version for s in sessions} | {k.id: k.version for k in keys}
    if role.builtin is None:
        heads[role.id] = role.version
    return Situation(
        user=user_of(row), role=role, sessions=sessions, keys=keys,
        links=tuple(_link(link) for link in row["links"] or ()),
        remaining=Remaining(row["owners"], row["administrators"]), heads=heads,
    )  # fmt: skip


async def role(connection: Database, org: str, name: str) -> Role:
    """A role of this organization, by id or as `owner`, `admin`, `member`. Raises NotFound."""
    known = name in rights.BUILTIN or is_id(name, "rol")
    row = await connection.fetchrow(SQL["role"], org, name) if known else None
    if row is None:
        raise NotFound
    return _role(row, row["id"], row["name"], row["version"], row["permissions"])


async def login_owners(connection: Database, org: str, *logins: str) -> dict[str, str]:
    """Who holds these e-mail addresses or usernames: login as given → user id."""
    claims = {login_claim(org, login): login for login in logins}
    rows = await connection.fetch(SQL["login_owner"], list(claims))
    return {claims[row["id"]]: row["owner"] for row in rows}


def _role(row: Record, id_: str, name: str, version: int, held: list[str]) -> Role:
    return Role(id_, name, row["builtin"], rights.of_role(row["builtin"], held), version)


def live_session(value: dict[str, Any]) -> LiveSession:
    """Of the object `{id, version, rule, network}` that statements build."""
    rule = Rule(value["rule"], value["network"]) if value["rule"] else None
    return LiveSession(value["id"], value["version"], rule)


def _link(value: dict[str, Any]) -> OpenLink:
    expires_at = datetime.fromisoformat(value["expires_at"])
    return OpenLink(value["id"], value["kind"], value["by_admin"], expires_at)
