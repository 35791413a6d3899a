"""A person's own proofs, while signed in: confirming that it is them, and changing the password."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import FastAPI, Response
from pydantic import Field, model_validator

from services.identity.access import Principal, access_guard
from services.identity.credentials import decider, proofs
from services.identity.credentials.passwords import LONGEST
from services.identity.credentials.proofs import ConfirmationRefused
from services.identity.links import VoidLinks
from services.identity.public import Own, add_own
from services.identity.routes import Route, Services, answer, origin_of, principal_of
from services.identity.run import Decide, Draft, Origin
from services.identity.sessions import account as accounts
from services.identity.sessions.account import Account
from services.identity.sessions.decider import FACTOR, PASSWORD
from services.identity.users import read
from services.identity.users.drafts import draft
from services.identity.vault import ConfirmSession, DropHalfSessions, SetPassword
from services.kit.errors import Unauthenticated
from services.kit.http import Body
from services.kit.ids import new_id
from services.kit.postgres import Database

Typed = Annotated[str, Field(max_length=1000)]
NewPassword = Annotated[str, Field(max_length=LONGEST)]


class ConfirmBody(Body):
    password: Typed | None = None
    code: Typed | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ConfirmBody:
        if (self.password is None) == (self.code is None):
            raise ValueError("takes either a password or a code")
        return self


class ChangeBody(Body):
    current_password: Typed
    password: NewPassword


async def confirm(own: Own[ConfirmBody]) -> Response:
    """`POST /v1/me/confirm`: who has a factor confirms with it, others with the password.

    Raises:
        ConfirmationRefused: wrong, of the other kind, or too many wrong ones before.
    """
    account = await account_of(own)
    if account.user.factors:
        await _confirm_with_code(own, account)
    else:
        await _confirm_with_password(own, account)
    head = await own.services.pool.fetchval("SELECT position FROM log_head")
    return answer(own.services, own.principal.org, None, head)


async def _confirm_with_code(own: Own[ConfirmBody], account: Account) -> None:
    services, code = own.services, own.body.code
    if code is None:
        raise ConfirmationRefused("Confirm with a code of your second factor.")
    limit = services.throttles.codes(account.user.id)

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        principal, now = await again(connection, own)
        used = None
        if not attempt.delayed:
            used = await proofs.use_code(connection, services.runner.keys, now, code)
        if used is None:
            raise ConfirmationRefused
        guard = access_guard(now.user.id)
        confirmed = ConfirmSession(session_of(principal), now.now, FACTOR)
        return origin_of(principal, own.context), Draft(
            reads={guard: now.heads[guard]}, touches=frozenset({guard}), writes=(*used.writes, confirmed)
        )

    async with proofs.guess_of(services, own.context.ip, limit) as attempt:
        await services.runner.run(decide)
    await services.throttles.clear_codes(account.user.id)


async def _confirm_with_password(own: Own[ConfirmBody], account: Account) -> None:
    if own.body.password is None:
        raise ConfirmationRefused("Confirm with your password.")
    await check_password(own, account, own.body.password)

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        principal, now = await again(connection, own)
        if now.hash != account.hash or now.user.factors:
            raise ConfirmationRefused
        confirmed = ConfirmSession(session_of(principal), now.now, PASSWORD)
        guard = access_guard(now.user.id)
        return origin_of(principal, own.context), Draft(reads={guard: now.heads[guard]}, writes=(confirmed,))

    await own.services.runner.run(decide)


async def check_password(own: Own[ConfirmBody] | Own[ChangeBody], account: Account, typed: str) -> None:
    """Compare the caller's password, throttled like sign-in. Raises ConfirmationRefused, TooManyFailures."""
    services, ip = own.services, own.context.ip
    limit = await services.throttles.passwords(account.user.id, ip)
    async with services.hasher.turn(), proofs.guess_of(services, ip, limit) as attempt:
        if attempt.delayed or not await services.hasher.matches(account.password, typed):
            raise ConfirmationRefused
    await services.throttles.clear_passwords(account.user.id, ip)


async def change_password(own: Own[ChangeBody]) -> Response:
    """`POST /v1/me/password`: the caller's session stays, all others end, open links are void.

    Raises:
        ConfirmationRefused: the current password is wrong.
        PasswordTooShort, PasswordTooCommon.
    """
    services, account = own.services, await account_of(own)
    await check_password(own, account, own.body.current_password)
    hash_ = await new_hash(services, account, own.body.password)
    done = await services.runner.run(_changing(own, account, hash_))
    return answer(services, account.user.org, None, done.position)


def _changing(own: Own[ChangeBody], account: Account, hash_: str) -> Decide:
    async def decide(connection: Database) -> tuple[Origin, Draft]:
        principal = await principal_of(connection, own.request)
        user = principal.id
        situation = await read.situation(connection, principal.org, user)
        if await connection.fetchval(proofs.SQL["password"], user) != account.hash:
            raise ConfirmationRefused
        command = decider.ChangePassword(session_of(principal), new_id("kil"))
        writes = (VoidLinks(user), DropHalfSessions(user), SetPassword(user, hash_))
        changed = draft(situation, decider.decide(situation, command), principal.now, writes=writes)
        return origin_of(principal, own.context), replace(changed, body=None)

    return decide


async def new_hash(services: Services, account: Account, password: str, name: str | None = None) -> str:
    """The hash of a new password that is good enough. Raises PasswordTooShort, PasswordTooCommon."""
    user, organization = account.user, account.organization
    context = (user.email, user.username, name or user.name, organization.name, organization.slug)
    await services.hasher.check(password, organization.shortest_password, context)
    return await services.hasher.hash(password)


async def account_of(own: Own[ConfirmBody] | Own[ChangeBody]) -> Account:
    async with own.services.pool.acquire() as connection:
        return await _account(connection, own.principal.id)


async def again(connection: Database, own: Own[ConfirmBody]) -> tuple[Principal, Account]:
    """The caller as they are now: what let them in may be what moved."""
    principal = await principal_of(connection, own.request)
    return principal, await _account(connection, principal.id)


async def _account(connection: Database, user: str) -> Account:
    account = await accounts.read(connection, user)
    if account is None:
        raise Unauthenticated
    return account


def session_of(principal: Principal) -> str:
    """The caller's session; a route for persons has seen to it that there is one."""
    return principal.session.id if principal.session else ""


def add_routes(app: FastAPI, services: Services) -> None:
    confirmation = Route(
        "POST", "/v1/me/confirm", act="session.confirm", person=True, change=False, body=ConfirmBody,
        status=204,
    )  # fmt: skip
    change = Route(
        "POST", "/v1/me/password", act="password.change", person=True, change=False, body=ChangeBody,
        status=204,
    )  # fmt: skip
    add_own(app, services, confirmation, confirm)
    add_own(app, services, change, change_password)
