"""Proving who one is: a password or a code that is compared, within what the throttles let through.

A code that counts is used up by the unit that it opens: two requests with the same code touch the same guard
(`access:usr_…`), the second one decides again and finds it used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from muster_contracts.credentials import RecoveryCodesUsed
from muster_contracts.events import Event

from services.identity.credentials import codes
from services.identity.routes import Services
from services.identity.sessions.account import Account
from services.identity.store import Write
from services.identity.throttles import Attempted, Limit
from services.identity.vault import UseRecoveryCode, UseStep
from services.kit.errors import Forbidden, MusterError, Unauthenticated
from services.kit.persons import PersonKeys
from services.kit.postgres import Database
from services.kit.sql import named

SQL = named(__file__)


class WrongGuess(MusterError):
    """A guess that counts as a failure."""


class SignInRefused(WrongGuess, Unauthenticated):
    """Organization, login or password are not right."""

    code = "sign_in_refused"


class CodeRefused(WrongGuess, Unauthenticated):
    """This code is not right, or was used before."""

    code = "code_refused"


class ConfirmationRefused(WrongGuess, Forbidden):
    """This is not the right password or code."""

    code = "confirmation_refused"


@dataclass(frozen=True, slots=True)
class Used:
    """A code that counted: what uses it up."""

    writes: tuple[Write, ...]
    events: tuple[Event, ...] = ()


@asynccontextmanager
async def guess(services: Services, windows: Sequence[Limit], account: Limit) -> AsyncIterator[Attempted]:
    """One guess within the limits of the account and of these windows; a WrongGuess raised inside counts.

    Raises:
        TooManyFailures: a window is full.
    """
    throttles = services.throttles
    attempt = await throttles.begin(windows, account)
    try:
        yield attempt
    except WrongGuess:
        await throttles.end(attempt, failed=True)
        raise
    except Exception:
        await throttles.end(attempt, failed=False)
        raise
    else:
        await throttles.end(attempt, failed=False)


@asynccontextmanager
async def guess_of(services: Services, ip: str | None, account: Limit) -> AsyncIterator[Attempted]:
    """The same of a person with a session or half of one: what strangers do in their organization is not theirs."""
    async with guess(services, (services.throttles.address(ip),), account) as attempt:
        yield attempt


async def use_code(connection: Database, keys: PersonKeys, account: Account, code: str) -> Used | None:
    """Find the factor that this code is of; None: of none, or used before. Source: table `factors`."""
    sealer = (await keys.fetch(connection, [account.user.id]))[account.user.id]
    if sealer is None:
        return None
    for row in await connection.fetch(SQL["factors"], account.user.id):
        seed = sealer.open(row["secret"], seed_context(row["id"])).decode()
        step = codes.accepted_step(seed, code, account.now, row["last_step"])
        if step is not None:
            return Used((UseStep(row["id"], step),))
    return None


async def use_recovery_code(connection: Database, key: bytes, account: Account, code: str) -> Used | None:
    """The same with a recovery code. Source: table `recovery_codes`."""
    user = account.user
    hash_ = codes.recovery_hash(key, user.id, code)
    if not await connection.fetchval(SQL["has_recovery_code"], user.id, hash_):
        return None
    used = RecoveryCodesUsed(user=user.id, remaining=max(0, user.recovery_codes - 1))
    return Used((UseRecoveryCode(user.id, hash_),), (used,))


def seed_context(factor: str) -> str:
    """What a sealed seed is bound to."""
    return f"factor:{factor}"
