"""What tests of races share: a way in for each side, what an answer said, and the end of a test."""

from __future__ import annotations

import random

from tests.faults.checks import check
from tests.faults.driver import Asker
from tests.faults.evidence import gather
from tests.faults.ground import Ground
from tests.faults.history import Attempt, History
from tests.faults.report import Report, either

NAMES = ("identity-1", "identity-2", "gateway-1", "gateway-2", "relay-1", "audit-1", "notifier-1")
"""Two gateways, each before an identity of its own; behind them one of each, for the evidence."""
NO_SESSION, NO_ENTRY, NO_RIGHT = (
    (401, "unauthenticated"),
    (401, "sign_in_refused"),
    (403, "permission_missing"),
)
BUSY = (503, "busy")
Telling = tuple[int | None, str]


def told(attempt: Attempt) -> Telling:
    """Status and code of an answer; the code is empty where it was done, or never came."""
    refused = attempt.status is not None and not attempt.done
    return attempt.status, attempt.body["code"] if refused else ""


def each_way(ground: Ground, history: History, chance: random.Random, ways: str) -> list[Asker]:
    """One for each way in, which asks through that one only."""
    askers: list[Asker] = []
    for name in Asker(ground, history, chance, ways).names:
        askers.append(Asker(ground, history, chance, ways))
        askers[-1].names = [name]
    return askers


async def settle(ground: Ground, history: History, report: Report, name: str, *more: str) -> None:
    """What was told is compared with what there is."""
    evidence = await gather(ground, either(600, 90))
    report.note(name, history, evidence, *more)
    assert check(history, evidence) == []
