"""All read models of identity, in one place: what a commit fills, and what a rebuild fills again."""

from __future__ import annotations

from collections.abc import Sequence

from services.identity.api_keys import projection as api_keys
from services.identity.organizations import projection as organizations
from services.identity.roles import projection as roles
from services.identity.sessions import projection as sessions
from services.identity.store import Fact
from services.identity.users import projection as users
from services.kit.postgres import Connection


async def project(connection: Connection, facts: Sequence[tuple[str, Fact]]) -> None:
    """Fill every read model from these events, inside the transaction that inserts them."""
    for model in (organizations, roles, users, sessions, api_keys):
        await model.project(connection, facts)
