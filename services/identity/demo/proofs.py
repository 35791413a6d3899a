"""Accepting an invitation and setting up a factor, as people of the cast do it."""

from __future__ import annotations

from datetime import datetime

from services.identity.credentials import codes
from services.identity.credentials.decider import RECOVERY_CODES, Accept, Activate, activate, decide
from services.identity.credentials.proofs import seed_context
from services.identity.demo.stage import Own
from services.identity.links import VoidLinks
from services.identity.routes import Services
from services.identity.run import Draft
from services.identity.users.drafts import draft
from services.identity.users.situation import Situation
from services.identity.vault import ActivateFactor, SetPassword, StoreFactor, StoreRecoveryCode
from services.kit.postgres import Database


def accept(at: datetime, password_hash: str) -> Own:
    """Follow the invitation and choose the password of which this is the hash."""

    async def decision(_: Database, situation: Situation) -> Draft:
        link = situation.invitation
        if link is None:
            raise LookupError("there is no invitation to accept")
        events = decide(situation, Accept(link.id))
        writes = (VoidLinks(situation.user.id), SetPassword(situation.user.id, password_hash))
        return draft(situation, events, at, writes=writes)

    return decision


def begin_factor(services: Services, at: datetime, factor: str, session: str) -> Own:
    """Ask for an authenticator app's secret."""

    async def decision(connection: Database, situation: Situation) -> Draft:
        user = situation.user.id
        sealer = (await services.runner.keys.fetch(connection, [user]))[user]
        if sealer is None:
            raise LookupError("the key of this person is gone")
        seed = sealer.seal(codes.new_seed().encode(), seed_context(factor))
        return Draft(writes=(StoreFactor(factor, user, "totp", seed, session, at),))

    return decision


def activate_factor(services: Services, at: datetime, factor: str) -> Own:
    """Enter the first code of it."""

    async def decision(_: Database, situation: Situation) -> Draft:
        user = situation.user
        step = int(at.timestamp()) // codes.STEP_SECONDS
        made = codes.new_recovery_codes(RECOVERY_CODES)
        kept = [codes.recovery_hash(services.lookup, user.id, code) for code in made]
        events = activate(user, Activate(factor, "totp"))
        writes = (ActivateFactor(factor, at, step), *(StoreRecoveryCode(user.id, code) for code in kept))
        return draft(situation, events, at, writes=writes)

    return decision
