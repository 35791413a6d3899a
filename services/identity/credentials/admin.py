"""What administrators do about other people's proofs."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from muster_contracts.events import Event
from pydantic import Field

from services.identity.command import add_command
from services.identity.credentials import decider
from services.identity.links import RESET, VoidLinks, new_link
from services.identity.routes import MAX_REASON, Call, Reason, Route, Services
from services.identity.run import Draft
from services.identity.users.api import by, checked, sealer_of, situation_of
from services.identity.users.decider import NewLink
from services.identity.users.drafts import draft
from services.identity.users.ending import count_effects
from services.kit.http import Body
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.times import rfc3339


class ResetPasswordBody(Body):
    revoke_now: bool = True
    reason: str | None = Field(default=None, max_length=MAX_REASON)


async def reset_mfa(connection: Database, call: Call[Reason]) -> Draft:
    situation = await situation_of(call)
    command = decider.ResetMfa(by(call), new_id("kil"), call.expected_version)
    events = await checked(connection, call, situation, command, decider.decide)
    user = situation.user
    effects = {
        "factors_removed": len(user.factors),
        "recovery_codes_deleted": user.recovery_codes,
        **_ended(events),
        "kill": command.kill,
    }
    return draft(situation, events, call.principal.now, effects=effects)


async def reset_password(connection: Database, call: Call[ResetPasswordBody]) -> Draft:
    situation = await situation_of(call)
    user, now = situation.user, call.principal.now
    sealer = await sealer_of(connection, call, user.id)
    link = new_link(user.org, user.id, RESET, sealer, now, by_admin=True)
    command = decider.ResetPassword(
        by(call),
        NewLink(link.id, link.expires_at),
        new_id("kil"),
        call.body.revoke_now,
        call.expected_version,
    )
    events = await checked(connection, call, situation, command, decider.decide)
    effects = {
        "link_expires_at": rfc3339(link.expires_at),
        **_ended(events),
        "kill": command.kill if command.revoke_now else None,
    }
    return draft(situation, events, now, effects=effects, writes=(VoidLinks(user.id), link))


def _ended(events: list[Event]) -> dict[str, Any]:
    counts = count_effects(events)
    return {name: counts[name] for name in ("sessions_ended", "ip_rules_revoked")}


def add_routes(app: FastAPI, services: Services) -> None:
    user = "/v1/users/{user}"
    mfa = Route("POST", f"{user}/reset-mfa", ("users.reset_mfa",), "mfa.reset", fresh=True)
    password = Route(
        "POST", f"{user}/reset-password", ("users.reset_password",), "password.reset", fresh=True,
        body=ResetPasswordBody,
    )  # fmt: skip
    add_command(app, services, mfa, reset_mfa)
    add_command(app, services, password, reset_password)
