"""Routes about the caller's own organization."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI
from muster_contracts.events import Event
from muster_contracts.organizations import OrganizationEvent
from pydantic import Field

from services.identity.access import Principal
from services.identity.command import add_command
from services.identity.fields import Line, Name
from services.identity.organizations import decider
from services.identity.organizations.projection import evolve
from services.identity.organizations.settings import OrganizationSettings
from services.identity.routes import MAX_REASON, Call, Route, Services, add_read
from services.identity.rules import VersionConflict
from services.identity.run import Draft
from services.identity.timeline import changes_since
from services.identity.users.api import by
from services.kit.http import Body
from services.kit.postgres import Database

PATH = "/v1/organization"


class SettingsBody(Body):
    """A merge patch: what is absent stays."""

    name: Name = ""
    support_contact: Annotated[Line, Field(max_length=200)] | None = None
    mfa_enforced: bool = False
    reason: str | None = Field(default=None, max_length=MAX_REASON)


async def change(connection: Database, call: Call[SettingsBody]) -> Draft:
    now, body, user = call.principal.organization, call.body, call.principal.id
    asked = {name: getattr(body, name) for name in body.model_fields_set - {"reason"}}
    row = await connection.fetchrow(
        "SELECT factors <> '[]'::jsonb AS enrolled, version FROM users WHERE id = $1", user
    )
    command = decider.ChangeSettings(by(call), asked, bool(row and row["enrolled"]), call.expected_version)
    try:
        events = decider.change(now, command)
    except VersionConflict as conflict:
        conflict.members["changes"] = await changes_since(
            connection, call.services.runner.keys, now.id, conflict.asked
        )
        raise
    reads = {now.id: now.version} | ({user: row["version"]} if row else {})
    shown = organization_object(_after(now, events, call.principal.now))
    return Draft(events=events, reads=reads, body={"user": None, "organization": shown, "effects": {}})


def _after(now: OrganizationSettings, events: list[Event], at: datetime) -> OrganizationSettings:
    row: Any = asdict(now)
    for event in events:
        if isinstance(event, OrganizationEvent):
            row = (evolve(row, event, at) or row) | {"version": row["version"] + 1}
    return OrganizationSettings.of_row(row)


def organization_object(settings: OrganizationSettings) -> dict[str, Any]:
    """The object `organization` of the HTTP API; `password_min_length` is the one in force."""
    return asdict(settings) | {"password_min_length": settings.shortest_password}


async def show(_: Database, principal: Principal, __: dict[str, str], ___: Any) -> dict[str, Any]:
    return organization_object(principal.organization)


def add_routes(app: FastAPI, services: Services) -> None:
    """`GET` and `PATCH` of `/v1/organization`."""
    add_read(app, services, Route("GET", PATH, ("organization.read",), "organization.read"), show)
    patch = Route(
        "PATCH", PATH, ("organization.manage",), "organization.change", fresh=True, body=SettingsBody
    )
    add_command(app, services, patch, change)
