"""Signing in: password, then (half a session) the second factor, then a session.

Every refusal of the first step looks the same: unknown organization, unknown, invited, inactive, delayed, wrong.
The same look-ups, argon2 also where there is no hash, one record, and an answer after a whole multiple of
100 ms, which also covers a delayed one, whose password is not looked at.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Response
from muster_contracts.events import Actor
from pydantic import Field, model_validator

from services.identity.access import HalfSession, keyed_hash
from services.identity.attempts import Attempt
from services.identity.bootstrap import UNKNOWN_ORG
from services.identity.credentials import proofs
from services.identity.credentials.proofs import CodeRefused, SignInRefused, Used
from services.identity.public import Visit, evenly, refuse
from services.identity.routes import Services, answer
from services.identity.run import Decide, Done, Draft, Origin
from services.identity.sessions import account as accounts
from services.identity.sessions import half as halves
from services.identity.sessions import start
from services.identity.sessions.account import Account, Named
from services.identity.sessions.decider import FACTOR, PASSWORD, WITH_CODE, WITH_PASSWORD, WITH_RECOVERY
from services.identity.sessions.start import DONE, Ticket
from services.identity.vault import DropHalfSession, SetPassword
from services.kit.errors import Unauthenticated
from services.kit.http import Body
from services.kit.postgres import Database

ACT = "session.start"
Text = Annotated[str, Field(max_length=1000)]


class SignInBody(Body):
    organization: Text
    login: Text
    password: Text


class CodeBody(Body):
    code: Text | None = None
    recovery_code: Text | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> CodeBody:
        if (self.code is None) == (self.recovery_code is None):
            raise ValueError("takes either a code or a recovery_code")
        return self


async def sign_in(visit: Visit[SignInBody]) -> Response:
    """`POST /v1/sign-in`."""
    started = asyncio.get_running_loop().time()
    services, body = visit.services, visit.body
    async with services.pool.acquire() as connection:
        named = await accounts.find(connection, body.organization, body.login)
        account = await accounts.read(connection, named.user or "")
    try:
        await check_password(visit, named, account)
        return await begin(visit, account)
    except SignInRefused as error:
        attempt = Attempt(ACT, named.user, None if named.user else unknown(services, named))
        response = await refuse(visit, visit.origin(named.org or UNKNOWN_ORG, named.now), attempt, error)
        await evenly(started)
        return response


def unknown(services: Services, named: Named) -> str:
    """A login that nobody has, so that the same one is recognized and none can be read."""
    return keyed_hash(services.lookup, f"{named.slug} {named.login}").hex()


async def check_password(visit: Visit[SignInBody], named: Named, account: Account | None) -> None:
    """Raises SignInRefused, TooManyFailures."""
    services, ip = visit.services, visit.context.ip
    throttles = services.throttles
    if named.user:
        limit = await throttles.passwords(named.user, ip)
    else:
        limit = await throttles.passwords_of_nobody(named.org, named.slug, named.login, ip)
    windows = throttles.windows(named.org, named.slug, ip, limit)
    async with services.hasher.turn(), proofs.guess(services, windows, limit) as attempt:
        kept = account.password if account else None
        if attempt.delayed or not await services.hasher.matches(kept, visit.body.password):
            raise SignInRefused


async def begin(visit: Visit[SignInBody], account: Account | None) -> Response:
    """What follows the right password. Raises SignInRefused: it is not the right one any more."""
    services, ticket = visit.services, Ticket()
    if account is None or account.password is None:
        raise SignInRefused
    user, kept = account.user.id, account.password
    writes = await renewed_hash(services, user, kept, visit.body.password)

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        now = await accounts.read(connection, user)
        if now is None or now.password != kept:
            raise SignInRefused
        step = start.next_step(now)
        if step != DONE:
            draft = start.half(now, ticket, step)
        else:
            ip = visit.context.ip
            draft = start.full(now, ticket, ip, WITH_PASSWORD, proven_by=PASSWORD, writes=writes)
        return started_by(visit, now, ticket), draft

    done = await services.runner.run(decide)
    if done.facts:
        await services.throttles.signed_in(user, visit.context.ip)
    return shown(services, account.user.org, done)


async def renewed_hash(services: Services, user: str, kept: str, password: str) -> tuple[SetPassword, ...]:
    """The password hashed as strongly as today's are, where the kept hash is weaker."""
    if not services.hasher.is_outdated(kept):
        return ()
    return (SetPassword(user, await services.hasher.hash(password)),)


def started_by(
    visit: Visit[Any], account: Account, ticket: Ticket, reads: dict[str, int] | None = None
) -> Origin:
    user = account.user
    actor = Actor(type="user", id=user.id, name=user.name)
    return visit.origin(user.org, account.now, actor, ticket.id, reads)


def shown(services: Services, org: str, done: Done) -> Response:
    """The answer with the token, which nothing shows again."""
    return answer(services, org, done.draft.secret | (done.draft.body or {}), done.position)


async def enter_code(visit: Visit[CodeBody], half: HalfSession) -> Response:
    """`POST /v1/sign-in/otp`, with half a session."""
    services, ip, ticket = visit.services, visit.context.ip, Ticket(half.id)
    await halves.count_try(services, half)
    amr = WITH_CODE if visit.body.code is not None else WITH_RECOVERY
    limit = services.throttles.codes(half.user)
    try:
        async with proofs.guess_of(services, ip, limit) as attempt:
            done = await services.runner.run(with_code(visit, half, ticket, amr, delayed=attempt.delayed))
    except CodeRefused as error:
        await halves.end_if_used_up(services, half)
        return await refuse(visit, visit.origin(half.org, half.now), Attempt(ACT, half.user), error)
    await services.throttles.clear_codes(half.user)
    await services.throttles.signed_in(half.user, ip)
    return shown(services, half.org, done)


def with_code(
    visit: Visit[CodeBody], half: HalfSession, ticket: Ticket, amr: tuple[str, ...], *, delayed: bool
) -> Decide:
    """The decision that uses the code up; while the account is delayed none is looked at."""

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        live = await halves.half_session(connection, visit.request, half.next)
        account = await account_of(connection, half)
        if delayed:
            raise CodeRefused
        used = await use(connection, visit, account)
        draft = start.full(
            account, ticket, visit.context.ip, amr, proven_by=FACTOR, before=used.events,
            writes=(*used.writes, DropHalfSession(half.hash)),
        )  # fmt: skip
        return started_by(visit, account, ticket, live.reads), draft

    return decide


async def use(connection: Database, visit: Visit[CodeBody], account: Account) -> Used:
    """Raises CodeRefused."""
    services, body = visit.services, visit.body
    if body.code is not None:
        used = await proofs.use_code(connection, services.runner.keys, account, body.code)
    else:
        used = await proofs.use_recovery_code(connection, services.lookup, account, body.recovery_code or "")
    if used is None:
        raise CodeRefused
    return used


async def account_of(connection: Database, half: HalfSession) -> Account:
    """Raises Unauthenticated: the person is gone."""
    account = await accounts.read(connection, half.user)
    if account is None:
        raise Unauthenticated
    return account
