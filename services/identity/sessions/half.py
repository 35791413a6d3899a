"""Half sessions: the tries of one are counted before a code is looked at."""

from __future__ import annotations

from fastapi import Request

from services.identity.access import (
    EnrollmentRequired,
    HalfSession,
    SecondFactorRequired,
    bearer,
    find_half_session,
)
from services.identity.routes import Services
from services.identity.sessions.start import OTP
from services.kit.errors import Unauthenticated
from services.kit.postgres import Database
from services.kit.sql import named

SQL = named(__file__)


async def half_session(connection: Database, request: Request, step: str) -> HalfSession:
    """The half session whose next step this is.

    Raises:
        Unauthenticated: none lives under this token; a whole session is none either.
        SecondFactorRequired, EnrollmentRequired: its next step is another one.
    """
    half = await find_half_session(connection, bearer(request.headers.get("authorization")))
    if half is None:
        raise Unauthenticated
    if half.next != step:
        raise SecondFactorRequired if half.next == OTP else EnrollmentRequired
    return half


async def count_try(services: Services, half: HalfSession) -> None:
    """Take one of its tries. Raises Unauthenticated: there is none left."""
    if await services.pool.fetchval(SQL["try"], half.hash, services.throttles.session_codes) is None:
        raise Unauthenticated


async def end_if_used_up(services: Services, half: HalfSession) -> None:
    """After its last try a half session is dead."""
    await services.pool.execute(SQL["used_up"], half.hash, services.throttles.session_codes)
