"""What a link in a mail opens: a new password, or the account itself. And asking for such a link.

Following a link is a POST and uses it up; a password that is refused leaves it open. None of it signs anyone in,
and none of it touches a second factor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Response
from muster_contracts.events import Actor, Event
from pydantic import Field, WithJsonSchema

from services.identity.attempts import Attempt
from services.identity.bootstrap import UNKNOWN_ORG
from services.identity.credentials import decider
from services.identity.credentials.own import NewPassword, new_hash
from services.identity.fields import Email, Name, normalize_login
from services.identity.links import OpenedLink, VoidLinks, follow, new_link
from services.identity.public import Visit, add_public, evenly, refuse
from services.identity.routes import Route, Services, answer
from services.identity.rules import LinkInvalid
from services.identity.run import Decide, Draft, Origin
from services.identity.sessions import account as accounts
from services.identity.sessions.account import Account
from services.identity.store import Write
from services.identity.users import read
from services.identity.users.decider import NewLink
from services.identity.users.drafts import draft
from services.identity.users.situation import INVITATION, RESET, Situation
from services.identity.users.state import ACTIVE, INVITED
from services.identity.vault import DropHalfSessions, SetPassword
from services.kit.errors import NotFound, Unavailable, Unprocessable
from services.kit.http import Body
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.telemetry import logger

log = logger(__name__)
Token = Annotated[Any, WithJsonSchema({"type": "string"})]
"""Whatever is sent as a token: all that opens nothing has one answer."""


class AskBody(Body):
    organization: Annotated[str, Field(max_length=1000)]
    email: Email


class CompleteBody(Body):
    token: Token = None
    password: NewPassword


class AcceptBody(CompleteBody):
    name: Name | None = None


async def ask(visit: Visit[AskBody]) -> Response:
    """`POST /v1/password-resets`: the same answer after the same time, whether anybody has this address or not."""
    started = asyncio.get_running_loop().time()
    services, body = visit.services, visit.body
    async with services.pool.acquire() as connection:
        named = await accounts.find(connection, body.organization, body.email)
        account = await accounts.read(connection, named.user or "")
    try:
        if (
            account
            and _may_have_one(account, named.login)
            and await services.throttles.may_mail(account.user.id)
        ):
            await services.runner.run(asking(visit, account))
    except Unavailable as error:  # saying so would tell that there is such a person
        log.warning("reset link not made", code_=error.code)
    head = await services.pool.fetchval("SELECT position FROM log_head")
    org = named.org or UNKNOWN_ORG
    response = answer(services, org, {}, None, 202)
    response.headers["Muster-Position"] = services.opaque.position(org, head, fresh=True)
    await evenly(started)
    return response


def _may_have_one(account: Account, login: str) -> bool:
    """Active, and asked for by the very address that the mail will go to."""
    return account.user.status == ACTIVE and normalize_login(account.user.email) == login


def asking(visit: Visit[AskBody], account: Account) -> Decide:
    async def decide(connection: Database) -> tuple[Origin, Draft]:
        user, now = account.user, account.now
        situation = await read.situation(connection, user.org, user.id)
        sealer = (await visit.services.runner.keys.fetch(connection, [user.id]))[user.id]
        if sealer is None:
            raise NotFound
        link = new_link(user.org, user.id, RESET, sealer, now)
        command = decider.RequestReset(NewLink(link.id, link.expires_at), now)
        events = decider.decide(situation, command)
        is_new = bool(events) and decider.open_reset(situation, now) is None
        asked = draft(situation, events, now, writes=(link,) if is_new else ())
        return visit.origin(user.org, now), replace(asked, body=None)

    return decide


async def complete(visit: Visit[CompleteBody]) -> Response:
    """`POST /v1/password-resets/complete`: all sessions end, nobody is signed in, factors stay.

    Raises:
        LinkInvalid.
    """
    services = visit.services
    account = await _holder(visit, RESET, ACTIVE)
    try:
        hash_ = await new_hash(services, account, visit.body.password)
    except Unprocessable as weak:
        return await _too_weak(visit, account, "password.reset", weak)

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        situation, link = await _followed(connection, visit, account, RESET)
        events = decider.decide(situation, decider.CompleteReset(link.id, new_id("kil")))
        writes = (DropHalfSessions(link.user),)
        return _used_up(visit, situation, link, events, SetPassword(link.user, hash_), *writes)

    done = await services.runner.run(decide)
    await services.throttles.clear_passwords(account.user.id, visit.context.ip)
    return answer(services, account.user.org, None, done.position)


async def accept(visit: Visit[AcceptBody]) -> Response:
    """`POST /v1/invitations/accept`.

    Raises:
        LinkInvalid.
    """
    services, body = visit.services, visit.body
    account = await _holder(visit, INVITATION, INVITED)
    try:
        hash_ = await new_hash(services, account, body.password, body.name)
    except Unprocessable as weak:
        return await _too_weak(visit, account, "invitation.accept", weak)

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        situation, link = await _followed(connection, visit, account, INVITATION)
        events = decider.decide(situation, decider.Accept(link.id, body.name))
        return _used_up(visit, situation, link, events, SetPassword(link.user, hash_))

    done = await services.runner.run(decide)
    shown = {"user": (done.draft.body or {})["user"]}
    return answer(services, account.user.org, shown, done.position)


async def _too_weak(visit: Visit[Any], account: Account, act: str, error: Unprocessable) -> Response:
    """A password that is refused is an attempt like any other; the link stays open."""
    origin = visit.origin(account.user.org, account.now)
    return await refuse(visit, origin, Attempt(act, account.user.id), error)


async def _holder(visit: Visit[Any], kind: str, status: str) -> Account:
    """Whose link it is. Raises LinkInvalid."""
    async with visit.services.pool.acquire() as connection:
        link = await follow(connection, kind, visit.body.token)
        account = await accounts.read(connection, link.user)
    if account is None or account.user.status != status:
        raise LinkInvalid
    return account


async def _followed(
    connection: Database, visit: Visit[Any], account: Account, kind: str
) -> tuple[Situation, OpenedLink]:
    """The person, and then the link: whoever uses it up meanwhile moves what was read of the person.

    Raises:
        LinkInvalid: a parallel request was faster.
    """
    situation = await read.situation(connection, account.user.org, account.user.id)
    return situation, await follow(connection, kind, visit.body.token)


def _used_up(
    visit: Visit[Any], situation: Situation, link: OpenedLink, events: Sequence[Event], *writes: Write
) -> tuple[Origin, Draft]:
    """The unit of who followed a link: it goes with all others of theirs."""
    user = situation.user
    actor = Actor(type="user", id=user.id, name=user.name)
    kept = draft(situation, events, link.now, writes=(VoidLinks(user.id), *writes))
    return visit.origin(user.org, link.now, actor), kept


def add_routes(app: FastAPI, services: Services) -> None:
    resets = "/v1/password-resets"
    for route, serve in (
        (Route("POST", resets, change=False, body=AskBody, status=202), ask),
        (Route("POST", f"{resets}/complete", change=False, body=CompleteBody, status=204), complete),
        (Route("POST", "/v1/invitations/accept", change=False, body=AcceptBody), accept),
    ):
        add_public(app, services, route, serve)
