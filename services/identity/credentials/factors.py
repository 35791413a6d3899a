"""A person's own second factors: set up, activate with a first code, remove; and their recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Annotated, Any, Literal

import segno
from fastapi import FastAPI, Response
from muster_contracts.credentials import RecoveryCodesGenerated
from muster_contracts.events import Event
from pydantic import Field

from services.identity import rules
from services.identity.access import access_guard
from services.identity.command import add_command
from services.identity.credentials import codes, decider
from services.identity.credentials.decider import MethodUnavailable
from services.identity.credentials.enrolling import Enrolling, add_enrolling, enrolling
from services.identity.credentials.proofs import CodeRefused, guess_of, seed_context
from services.identity.fields import Phone
from services.identity.public import Visit
from services.identity.routes import Call, Route, Services, answer
from services.identity.run import Decide, Draft, Origin
from services.identity.sessions import half as halves
from services.identity.sessions import start
from services.identity.sessions.decider import FACTOR, WITH_CODE
from services.identity.sessions.start import Ticket
from services.identity.store import Write
from services.identity.users import read
from services.identity.users.api import by
from services.identity.users.drafts import draft
from services.identity.vault import (
    ActivateFactor,
    ConfirmSession,
    DropEnrollments,
    DropHalfSessions,
    DropRecoveryCodes,
    StoreFactor,
    StoreRecoveryCode,
)
from services.kit.errors import NotFound
from services.kit.http import Body
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.sealing import Sealer
from services.kit.sql import named

SQL = named(__file__)
BEGUN_FOR = timedelta(minutes=10)
TOTP = "totp"
SHOWN, SHOWN_ISSUER = 100, 40
"""Characters of address and organization that an app shows: a QR code holds 2,331 bytes, and percent-encoded a
character may take twelve of them, those of the organization twice."""


class EnrollBody(Body):
    type: Literal["totp", "sms"]
    phone: Phone | None = None


class ActivateBody(Body):
    code: Annotated[str, Field(max_length=1000)]


class Nothing(Body):
    """The body of a command that takes none."""


@dataclass(frozen=True, slots=True)
class Seed:
    """A factor that is about to be set up."""

    id: str = field(default_factory=lambda: new_id("fac"))
    text: str = field(default_factory=codes.new_seed, repr=False)


async def enroll(visit: Visit[EnrollBody]) -> Response:
    """`POST /v1/me/factors`: the seed is shown here and never again.

    Raises:
        MethodUnavailable: text messages are not offered.
        ConfirmationRequired: a factor beside one that counts, without a fresh proof.
    """
    services, seed = visit.services, Seed()

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        who = await enrolling(connection, visit.request)
        if not who.may_add:
            raise rules.ConfirmationRequired
        if visit.body.type != TOTP:
            raise MethodUnavailable
        sealer = await _sealer(connection, services, who)
        return who.origin(visit), _begun(who, seed, sealer)

    done = await services.runner.run(decide)
    shown = done.draft.body or {}
    return answer(services, shown.pop("org"), shown, done.position)


def _begun(who: Enrolling, seed: Seed, sealer: Sealer) -> Draft:
    """The pending factor, in the place of any other that the person began; nothing of it is in the log."""
    account = who.account
    user, guard = account.user, access_guard(account.user.id)
    sealed = sealer.seal(seed.text.encode(), seed_context(seed.id))
    stored = StoreFactor(seed.id, user.id, TOTP, sealed, who.session, account.now)
    uri = codes.otpauth_uri(seed.text, user.email[:SHOWN], account.organization.name[:SHOWN_ISSUER])
    shown = {"id": seed.id, "secret": seed.text, "otpauth_uri": uri, "qr_svg": qr_svg(uri), "org": user.org}
    return Draft(
        reads={guard: account.heads[guard]}, touches=frozenset({guard}),
        writes=(DropEnrollments(user.id), stored), body=shown,
    )  # fmt: skip


def qr_svg(text: str) -> str:
    """A QR code as SVG that stands in a page as it is: no script, no style, no reference to anything outside."""
    return segno.make(text, error="m", micro=False).svg_inline(scale=4, border=4, omitsize=False)


async def _sealer(connection: Database, services: Services, who: Enrolling) -> Sealer:
    user = who.account.user.id
    sealer = (await services.runner.keys.fetch(connection, [user]))[user]
    if sealer is None:
        raise NotFound
    return sealer


async def activate(visit: Visit[ActivateBody]) -> Response:
    """`POST /v1/me/factors/{id}/activate`: the first code; completes half a session with a new token.

    Raises:
        NotFound: no such enrollment was begun here in the last ten minutes.
        CodeRefused: wrong, or too many wrong ones before.
    """
    services, ip = visit.services, visit.context.ip
    async with services.pool.acquire() as connection:
        who = await enrolling(connection, visit.request)
        await _pending(connection, who, visit)
    if who.half:
        await halves.count_try(services, who.half)
    user = who.account.user
    try:
        async with guess_of(services, ip, services.throttles.codes(user.id)) as attempt:
            done = await services.runner.run(_activating(visit, delayed=attempt.delayed))
    except CodeRefused:
        if who.half:
            await halves.end_if_used_up(services, who.half)
        raise
    await services.throttles.clear_codes(user.id)
    if who.half:
        await services.throttles.signed_in(user.id, ip)
    return answer(services, user.org, done.draft.secret | (done.draft.body or {}), done.position)


async def _pending(connection: Database, who: Enrolling, visit: Visit[Any]) -> Any:
    """The row of what this session began. Raises NotFound."""
    account, factor = who.account, visit.request.path_params["factor"]
    row = None
    if "\0" not in factor:
        since = account.now - BEGUN_FOR
        row = await connection.fetchrow(SQL["pending"], factor, account.user.id, who.session, since)
    if row is None:
        raise NotFound
    return row


def _activating(visit: Visit[ActivateBody], *, delayed: bool) -> Decide:
    services = visit.services

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        who = await enrolling(connection, visit.request)
        row = await _pending(connection, who, visit)
        sealer = await _sealer(connection, services, who)
        seed = sealer.open(row["secret"], seed_context(row["id"])).decode()
        step = codes.accepted_step(seed, visit.body.code, who.account.now, 0)
        if delayed or step is None:
            raise CodeRefused
        activation = ActivateFactor(row["id"], who.account.now, step)
        events = decider.activate(who.account.user, decider.Activate(row["id"], row["type"]))
        shown, kept = _new_codes(services, who.account.user.id, events)
        writes = (activation, DropHalfSessions(who.account.user.id), *kept)
        made = _activated(who, visit.context.ip, events, writes)
        return who.origin(visit), replace(made, secret=made.secret | {"recovery_codes": shown})

    return decide


def _activated(who: Enrolling, ip: str | None, events: Sequence[Event], writes: tuple[Write, ...]) -> Draft:
    """With half a session the whole one begins; a whole one is confirmed by it."""
    account = who.account
    if who.half:
        ticket = Ticket(who.half.id)
        return start.full(
            account, ticket, ip, WITH_CODE, proven_by=FACTOR, before=tuple(events), writes=writes
        )
    user, guard = account.user.id, access_guard(account.user.id)
    confirmed = ConfirmSession(who.session, account.now, FACTOR)
    return Draft(
        events=events, reads={head: account.heads[head] for head in (user, guard)},
        touches=frozenset({guard}), writes=(*writes, confirmed), body={},
    )  # fmt: skip


def _new_codes(services: Services, user: str, events: Sequence[Event]) -> tuple[list[str], tuple[Write, ...]]:
    """The codes to show once and the rows to keep, if these events say that there are new ones."""
    generated = next((event for event in events if isinstance(event, RecoveryCodesGenerated)), None)
    if generated is None:
        return [], ()
    made = codes.new_recovery_codes(generated.count)
    rows = [StoreRecoveryCode(user, codes.recovery_hash(services.lookup, user, code)) for code in made]
    return made, (DropRecoveryCodes(user), *rows)


async def remove(connection: Database, call: Call[Nothing]) -> Draft:
    """`DELETE /v1/me/factors/{id}`; recovery codes go with the last factor."""
    principal = call.principal
    situation = await read.situation(connection, principal.org, principal.id)
    events = decider.decide(situation, decider.RemoveFactor(by(call), call.path["factor"]))
    is_last = len(situation.user.factors) == 1
    writes = (DropRecoveryCodes(principal.id),) if is_last else ()
    return replace(draft(situation, events, principal.now, writes=writes), body=None)


async def renew_codes(connection: Database, call: Call[Nothing]) -> Draft:
    """`POST /v1/me/recovery-codes`: ten new ones, shown once."""
    principal = call.principal
    situation = await read.situation(connection, principal.org, principal.id)
    events = decider.decide(situation, decider.RenewCodes(by(call)))
    shown, kept = _new_codes(call.services, principal.id, events)
    renewed = draft(situation, events, principal.now, writes=kept)
    return replace(renewed, body={"recovery_codes": shown})


def add_routes(app: FastAPI, services: Services) -> None:
    factors = "/v1/me/factors"
    own = Route("POST", factors, act="mfa.enroll", person=True, change=False)
    begin = replace(own, enrolling=True, body=EnrollBody)
    finish = replace(begin, path=f"{factors}/{{factor}}/activate", body=ActivateBody)
    removal = replace(
        own,
        method="DELETE",
        path=f"{factors}/{{factor}}",
        act="mfa.remove",
        fresh=True,
        body=Nothing,
        status=204,
    )
    renewal = replace(
        own, path="/v1/me/recovery-codes", act="recovery_codes.generate", fresh=True, body=Nothing
    )
    add_enrolling(app, services, begin, enroll)
    add_enrolling(app, services, finish, activate)
    add_command(app, services, removal, remove)
    add_command(app, services, renewal, renew_codes)
