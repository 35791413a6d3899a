"""Table `organizations`: one row an organization, with the defaults of a new one until they are changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from muster_contracts.organizations import OrganizationCreated, OrganizationEvent, OrganizationSettingsChanged

from services.identity.organizations.settings import OrganizationSettings
from services.identity.readmodel import Table
from services.identity.store import Fact
from services.kit.postgres import Connection
from services.kit.times import rfc3339

ORGANIZATIONS = Table(
    "organizations",
    (
        "slug", "name", "support_contact", "mfa_enforced", "password_min_length", "session_idle_seconds",
        "session_absolute_seconds", "session_address", "sign_in_networks", "audit_retention_days",
        "audit_identity_days", "created_at", "version",
    ),
)  # fmt: skip
EVENTS = (OrganizationEvent,)

Row = dict[str, Any]


async def project(
    connection: Connection, facts: Sequence[tuple[str, Fact]], table: Table = ORGANIZATIONS
) -> None:
    """Fold these events, in log order, into the rows of their organizations."""
    mine = [(fact, fact.event) for _, fact in facts if isinstance(fact.event, OrganizationEvent)]
    if not mine:
        return
    loaded = await table.load(connection, sorted({event.organization for _, event in mine}))
    rows: dict[str, Row] = {
        key: {**row, "created_at": rfc3339(row["created_at"])} for key, row in loaded.items()
    }
    for fact, event in mine:
        before = rows.get(event.organization)
        if after := evolve(before, event, fact.occurred_at):
            rows[event.organization] = after | {"version": fact.version}
    await table.save(connection, list(rows.values()))


def evolve(row: Row | None, event: OrganizationEvent, at: datetime) -> Row | None:
    """The row after this event, as JSON values; None where there is none."""
    match event:
        case OrganizationCreated(organization=id_, slug=slug, name=name):
            return asdict(OrganizationSettings(id_, slug, name)) | {"created_at": rfc3339(at)}
        case OrganizationSettingsChanged() if row is not None:
            return row | {name: change["new"] for name, change in changes(event).items()}
        case _:
            return row


def changes(event: OrganizationSettingsChanged) -> dict[str, dict[str, Any]]:
    """What the event changes: setting → `{old, new}`."""
    return event.model_dump(exclude={"organization"})
