"""Acts on Ada, and what a decider makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.identity.rules import By, Remaining
from services.identity.users.decider import Command, Deactivate, Delete, Edit, ResendInvitation, decide
from services.identity.users.situation import Situation
from tests.support.people import LINK, NOW, OWNER
from tests.support.scenario import Outcome, given

ALONE = Remaining(owners=0, administrators=0)
SELF = replace(OWNER, id="usr_ada")
EMAIL = "ada@acme.example"


def when(state: Situation, command: Command) -> Outcome:
    return given(decide, state).when(command)


def edit(by: By = OWNER, *, fields: dict[str, Any] | None = None, **more: Any) -> Edit:
    return Edit(by, fields or {}, "kil_1", LINK, **more)


def deactivate(by: By = OWNER, version: int | None = None) -> Deactivate:
    return Deactivate(by, "kil_1", version)


def delete(by: By = OWNER, confirm: str | None = EMAIL, **more: Any) -> Delete:
    return Delete(by, "kil_1", confirm, **more)


def resend(by: By = OWNER, version: int | None = None) -> ResendInvitation:
    return ResendInvitation(by, LINK, NOW, version)
