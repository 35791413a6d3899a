"""Who could do it instead: at most five people, for a refusal that is shown to someone who may read users."""

from __future__ import annotations

from typing import Any

from services.identity import permissions as rights
from services.identity.access import Principal
from services.kit.errors import MusterError
from services.kit.postgres import Database

MOST = 5
OWNERS_ONLY = frozenset({"owner_protected", "target_outranks", "permission_not_held", "self_action"})


async def who_can(connection: Database, principal: Principal, error: MusterError) -> dict[str, Any]:
    """The member `who_can` of the problem document; nothing where no other person could either.

    Source: tables users and roles of the caller's organization; people who are Active with a password.
    """
    permission = error.members.get("missing_permission")
    if permission is None and error.code not in OWNERS_ONLY:
        return {}
    roles = [name for name, held in rights.BUILTIN.items() if permission in held]
    rows = await connection.fetch(
        "SELECT u.id, u.name FROM users u JOIN roles r ON r.id = u.role "
        "WHERE u.org = $1 AND u.status = 'active' AND u.has_password AND u.id <> $2 "
        "AND (r.builtin = ANY($3::text[]) OR $4::text = ANY(r.permissions) AND r.builtin IS NULL) "
        "ORDER BY r.builtin = 'owner' DESC, u.created_at, u.id LIMIT $5",
        principal.org, principal.id, roles if permission else [rights.OWNER], permission, MOST,
    )  # fmt: skip
    return {"who_can": [{"id": row["id"], "name": row["name"]} for row in rows]}
