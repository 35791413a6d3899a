"""All read models of identity, in one place: what a commit fills, and what a rebuild fills again."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType

from muster_contracts.events import Event

from services.identity.api_keys import projection as api_keys
from services.identity.organizations import projection as organizations
from services.identity.roles import projection as roles
from services.identity.sessions import projection as sessions
from services.identity.store import Fact
from services.identity.users import projection as users
from services.kit.postgres import Connection

MODELS = (organizations, roles, users, sessions, api_keys)
"""In the order in which they are filled; each names its `EVENTS`."""


async def project(connection: Connection, facts: Sequence[tuple[str, Fact]]) -> None:
    """Fill every read model from these events, inside the transaction that inserts them."""
    concerned = {model for kind in {type(fact.event) for _, fact in facts} for model in _models_of(kind)}
    for model in MODELS:
        if model in concerned:
            await model.project(connection, facts)


@cache
def _models_of(kind: type[Event]) -> tuple[ModuleType, ...]:
    return tuple(model for model in MODELS if issubclass(kind, model.EVENTS))
