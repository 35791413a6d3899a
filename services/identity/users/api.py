"""Routes about people: what is asked, what decides it, what follows from it. The pipeline is `routes.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from muster_contracts.events import Event, Ref
from muster_contracts.users import InvitationSent, UserUsernameChanged
from pydantic import Field

from services.identity import access
from services.identity.access import PersonRequired
from services.identity.command import add_command
from services.identity.fields import Email, Labels, Name, Phone, Timezone, Username, login_claim
from services.identity.links import INVITATION, StoreLink, VoidLinks, new_link
from services.identity.permissions import MEMBER
from services.identity.routes import MAX_REASON, Call, Reason, Route, Services
from services.identity.rules import By, VersionConflict
from services.identity.run import Draft
from services.identity.store import Claim
from services.identity.timeline import changes_since
from services.identity.users import decider, read, reads
from services.identity.users.decider import NewLink
from services.identity.users.drafts import draft, fold
from services.identity.users.ending import count_effects
from services.identity.users.situation import Role, Situation
from services.identity.users.view import of_state
from services.kit.errors import Invalid, NotFound
from services.kit.http import Body
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.sealing import Sealer
from services.kit.times import rfc3339


class InviteBody(Body):
    email: Email
    name: Name
    role: str = MEMBER
    username: Username | None = None
    phone: Phone | None = None
    timezone: Timezone | None = None
    labels: Labels = Field(default_factory=list[str])
    reason: str | None = Field(default=None, max_length=MAX_REASON)


class EditBody(Body):
    """A merge patch: a field that is absent stays, null clears (name cannot be cleared)."""

    name: Name = ""
    username: Username | None = None
    phone: Phone | None = None
    timezone: Timezone | None = None
    labels: Labels | None = None
    role: str = ""
    active: bool = True
    reason: str | None = Field(default=None, max_length=MAX_REASON)


class DeleteBody(Reason):
    confirm: str | None = Field(default=None, max_length=320)


def by(call: Call[Any]) -> By:
    """The caller as rules judge them."""
    principal = call.principal
    return By(principal.user, principal.permissions, principal.is_owner, confirmed=call.confirmed)


async def sealer_of(connection: Database, call: Call[Any], user: str) -> Sealer:
    """The key of a person of this organization. Raises NotFound once it is destroyed."""
    sealer = (await call.services.runner.keys.fetch(connection, [user]))[user]
    if sealer is None:
        raise NotFound
    return sealer


async def situation_of(call: Call[Any]) -> Situation:
    """The person whom the path names. Raises NotFound."""
    if situation := await call.services.situations((call.principal.org, call.path["user"])):
        return situation
    raise NotFound


async def checked(
    connection: Database,
    call: Call[Any],
    situation: Situation,
    command: Any,
    decide: Callable[[Situation, Any], list[Event]] = decider.decide,
) -> list[Event]:
    """Decide; a stale `If-Match` also says what happened since, to merge by."""
    try:
        return decide(situation, command)
    except VersionConflict as conflict:
        user = situation.user.id
        conflict.members["changes"] = await changes_since(
            connection, call.services.runner.keys, user, conflict.asked
        )
        raise


async def invite(connection: Database, call: Call[InviteBody]) -> Draft:
    body, principal = call.body, call.principal
    role = await _role_given(connection, call, body.role)
    if role.builtin != MEMBER:
        access.require(principal, "users.assign_role")
        if principal.session is None:
            raise PersonRequired(members={"rule": "person"})
    user = new_id("usr")
    logins = [login for login in (body.email, body.username) if login]
    owners = await read.login_owners(connection, principal.org, *logins)
    key = call.services.runner.keys.new(user)
    link = new_link(principal.org, user, INVITATION, key.sealer, principal.now)
    taken = frozenset(
        n for n, v in (("email", body.email), ("username", body.username)) if v and owners.get(v)
    )
    events = decider.invite(
        decider.Invite(
            by(call), user, body.email, body.name, body.username, body.phone, body.timezone,
            tuple(body.labels), role, NewLink(link.id, link.expires_at), taken,
        )
    )  # fmt: skip
    after = fold(None, principal.org, events, principal.now)
    shown = of_state(after, Ref(id=role.id, name=role.name)) if after else None
    claims = tuple(Claim(c, user) for c in dict.fromkeys(login_claim(principal.org, x) for x in logins))
    return Draft(
        events=events, reads={} if role.builtin else {role.id: role.version}, claims=claims, persons=(key,),
        writes=(link,), status=201,
        body={"user": shown, "effects": {"link_expires_at": rfc3339(link.expires_at)}},
    )  # fmt: skip


async def _role_given(connection: Database, call: Call[Any], name: str) -> Role:
    try:
        return await read.role(connection, call.principal.org, name)
    except NotFound:
        detail = {"pointer": "/role", "code": "unknown_role", "detail": "There is no such role."}
        raise Invalid(errors=[detail]) from None


async def edit(connection: Database, call: Call[EditBody]) -> Draft:
    body, given = call.body, call.body.model_fields_set
    role = await _role_given(connection, call, body.role) if "role" in given else None
    _permit_fields(call, given)
    situation = await situation_of(call)
    user, now = situation.user, call.principal.now
    link = await _link_for(connection, call, user.id) if "active" in given and body.active else None
    taken = False
    if body.username and "username" in given:
        owners = await read.login_owners(connection, user.org, body.username)
        taken = owners.get(body.username) not in (None, user.id)
    fields = {name: getattr(body, name) for name in FIELDS if name in given}
    if "labels" in fields:
        fields["labels"] = tuple(fields["labels"] or ())
    command = decider.Edit(
        by(call), fields, new_id("kil"), NewLink(link.id, link.expires_at) if link else None, role,
        body.active if "active" in given else None, call.expected_version, taken,
    )  # fmt: skip
    events = await checked(connection, call, situation, command)
    return _access_draft(
        situation, events, now, link, role=role if role and role.id != user.role else None,
        **_login_claims(situation, events),
    )  # fmt: skip


FIELDS = ("name", "username", "phone", "timezone", "labels")
FIELD_PERMISSIONS = dict.fromkeys(FIELDS, "users.edit") | {
    "role": "users.assign_role",
    "active": "users.deactivate",
}


def act_of_edit(body: dict[str, Any]) -> str:
    """What a PATCH is an attempt at: of its fields the one that takes or gives most, as its own route would be."""
    if "role" in body:
        return "user.assign_role"
    if body.keys() - {"reason"} == {"active"}:
        return "user.reactivate" if body["active"] else "user.deactivate"
    return "user.edit"


def _permit_fields(call: Call[Any], given: set[str]) -> None:
    """Raises PermissionMissing for the first field whose permission is not held, PersonRequired."""
    for name, permission in FIELD_PERMISSIONS.items():
        if name in given:
            access.require(call.principal, permission)
    if "role" in given and call.principal.session is None:
        raise PersonRequired(members={"rule": "person"})


def _login_claims(situation: Situation, events: list[Event]) -> dict[str, Any]:
    """The claims that a new username needs and the old one gives up."""
    change = next((e.username for e in events if isinstance(e, UserUsernameChanged)), None)
    if change is None:
        return {}
    user = situation.user
    old, new = (login_claim(user.org, name) if name else None for name in (change.old, change.new))
    if old == new:
        return {}
    return {
        "claims": (Claim(new, user.id),) if new else (),
        "releases": (old,) if old else (),
    }


async def _link_for(connection: Database, call: Call[Any], user: str) -> StoreLink:
    """An invitation link that a decision may hand out."""
    sealer = await sealer_of(connection, call, user)
    return new_link(call.principal.org, user, INVITATION, sealer, call.principal.now)


def _access_draft(
    situation: Situation,
    events: list[Event],
    now: datetime,
    link: StoreLink | None = None,
    role: Role | None = None,
    **more: Any,
) -> Draft:
    """A draft with the effects of deactivate and delete, and the link if the events hand it out."""
    kill = next((kill for e in events if (kill := getattr(e, "kill", None))), None)
    sent = next((e for e in events if isinstance(e, InvitationSent)), None)
    effects: dict[str, Any] = {
        **count_effects(events),
        "links_voided": sum(link.expires_at > now for link in situation.links) if kill else 0,
        "kill": kill,
    }
    if sent is not None:
        effects["link_expires_at"] = rfc3339(sent.expires_at)
    writes = (link,) if link and sent and sent.link == link.id else ()
    return draft(situation, events, now, role=role, effects=effects, writes=writes, **more)


async def deactivate(connection: Database, call: Call[Reason]) -> Draft:
    situation = await situation_of(call)
    command = decider.Deactivate(by(call), new_id("kil"), call.expected_version)
    events = await checked(connection, call, situation, command)
    return _access_draft(situation, events, call.principal.now)


async def reactivate(connection: Database, call: Call[Reason]) -> Draft:
    situation = await situation_of(call)
    link = await _link_for(connection, call, situation.user.id)
    command = decider.Reactivate(by(call), NewLink(link.id, link.expires_at), call.expected_version)
    events = await checked(connection, call, situation, command)
    return _access_draft(situation, events, call.principal.now, link)


async def delete(connection: Database, call: Call[DeleteBody]) -> Draft:
    situation = await situation_of(call)
    user = situation.user
    command = decider.Delete(
        by(call), new_id("kil"), call.body.confirm, not call.dry_run, call.expected_version
    )
    events = await checked(connection, call, situation, command)
    logins = (login for login in (user.email, user.username) if login)
    releases = tuple(dict.fromkeys(login_claim(user.org, login) for login in logins))
    return _access_draft(situation, events, call.principal.now, releases=releases)


async def resend_invitation(connection: Database, call: Call[Reason]) -> Draft:
    situation = await situation_of(call)
    link = await _link_for(connection, call, situation.user.id)
    command = decider.ResendInvitation(
        by(call), NewLink(link.id, link.expires_at), call.principal.now, call.expected_version
    )
    events = await checked(connection, call, situation, command)
    sent = next(e for e in events if isinstance(e, InvitationSent))
    writes = (VoidLinks(situation.user.id), link) if sent.link == link.id else ()
    effects = {"link_expires_at": rfc3339(sent.expires_at)}
    return draft(situation, events, call.principal.now, effects=effects, writes=writes)


async def end_sessions(connection: Database, call: Call[Reason]) -> Draft:
    situation = await situation_of(call)
    command = decider.EndSessions(by(call), new_id("kil"), call.path.get("session"), call.expected_version)
    events = await checked(connection, call, situation, command)
    effects = {name: n for name, n in count_effects(events).items() if name != "api_keys_revoked"} | {
        "kill": command.kill if events else None
    }
    return draft(situation, events, call.principal.now, effects=effects)


def add_routes(app: FastAPI, services: Services) -> None:
    """What api.md §2 lists under `/v1/users`."""
    user = "/v1/users/{user}"
    assign = ("users.edit", "users.assign_role", "users.deactivate")
    deletion = Route("POST", f"{user}/delete", ("users.delete",), "user.delete", fresh=True, body=DeleteBody)
    ending = Route("DELETE", f"{user}/sessions", ("sessions.end",), "session.end")
    for route, decision in (
        (Route("POST", "/v1/users", ("users.create",), "user.create", body=InviteBody, status=201), invite),
        (Route("PATCH", user, assign, "user.edit", body=EditBody, act_of=act_of_edit), edit),
        (Route("POST", f"{user}/deactivate", ("users.deactivate",), "user.deactivate"), deactivate),
        (Route("POST", f"{user}/reactivate", ("users.deactivate",), "user.reactivate"), reactivate),
        (Route("POST", f"{user}/resend-invitation", ("users.create",), "users.create"), resend_invitation),
        (deletion, delete),
        (replace(deletion, method="DELETE", path=user), delete),
        (ending, end_sessions),
        (replace(ending, path=f"{user}/sessions/{{session}}"), end_sessions),
    ):
        add_command(app, services, route, decision)
    reads.add_routes(app, services)
