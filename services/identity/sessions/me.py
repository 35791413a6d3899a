"""`GET` and `PATCH /v1/me`: who is calling, and what they may do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from services.identity.access import Principal
from services.identity.command import add_command
from services.identity.fields import Name, Phone, Timezone
from services.identity.routes import Call, NoQuery, Route, Services, add_read
from services.identity.rules import By
from services.identity.run import Draft
from services.identity.users import decider, queries, read
from services.identity.users.decider import NewLink
from services.identity.users.drafts import draft
from services.kit.http import Body
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.times import rfc3339


class MeBody(Body):
    """A merge patch: a field that is absent stays, null clears (name cannot be cleared)."""

    name: Name = ""
    phone: Phone | None = None
    timezone: Timezone | None = None


async def show(connection: Database, principal: Principal, _: dict[str, str], __: NoQuery) -> Any:
    if principal.type == "service":
        return {"service": {"id": principal.id, "name": principal.name}} | _rights(principal)
    return await queries.get(connection, principal.org, principal.id) | _rights(principal)


def _rights(principal: Principal) -> dict[str, Any]:
    """What both kinds of callers see beside who they are."""
    organization, session = principal.organization, principal.session
    shown = {
        "organization": {
            "id": organization.id,
            "slug": organization.slug,
            "name": organization.name,
            "mfa_enforced": organization.mfa_enforced,
        },
        "permissions": sorted(principal.permissions),
    }
    if session is None:
        return shown
    until = {"confirmed_until": rfc3339(session.confirmed_until)}
    return shown | {"session": {"id": session.id, "expires_at": rfc3339(session.expires_at)} | until}


async def edit(connection: Database, call: Call[MeBody]) -> Draft:
    """Own name, phone and time zone: no rule about rank applies, nothing else can be asked."""
    principal, body = call.principal, call.body
    situation = await read.situation(connection, principal.org, principal.id)
    itself = By(principal.user, principal.permissions, principal.is_owner, sovereign=True)
    fields = {name: getattr(body, name) for name in body.model_fields_set}
    command = decider.Edit(itself, fields, new_id("kil"), NewLink("", principal.now))
    changed = draft(situation, decider.decide(situation, command), principal.now)
    user: dict[str, Any] = (changed.body or {})["user"]
    return replace(changed, body=user | _rights(principal))


def add_routes(app: FastAPI, services: Services) -> None:
    add_read(app, services, Route("GET", "/v1/me"), show)
    patch = Route("PATCH", "/v1/me", act="user.edit", person=True, change=False, body=MeBody)
    add_command(app, services, patch, edit)
