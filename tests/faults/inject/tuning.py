"""Shorter waits, so that what takes minutes in the product is seen in seconds; nothing else is changed.

A lease of the mail queue, the age at which audit takes a tail for lost, the pauses between tries of a mail, and
the time after which a silent reader is taken for dead are figures, not rules: the same code runs with them.
"""

from __future__ import annotations

from datetime import timedelta

from services.audit import healer
from services.kit import consumer
from services.notifier import courier, outbox

LEASE = timedelta(seconds=6)
LONGEST_TRY = timedelta(seconds=3)
SMTP_SECONDS = 2.0


def apply() -> None:
    outbox.LEASE = courier.LEASE = LEASE
    courier.LONGEST_TRY = LONGEST_TRY
    outbox.FIRST_PAUSE = outbox.OUTAGE_PAUSE = timedelta(seconds=1)
    outbox.LONGEST_PAUSE = timedelta(seconds=4)
    outbox.MAX_ATTEMPTS = 1000
    courier.LONGEST_OUTAGE_PAUSE = 2.0
    healer.TAIL_SECONDS = 5.0
    consumer.SESSION_MS, consumer.HEARTBEAT_MS = 2500, 500
