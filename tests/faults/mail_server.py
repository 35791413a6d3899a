"""A mail server with moods: it takes, refuses, stalls, hangs up after the final dot, or has its client killed.

It keeps what it got as evidence: which Message-ID, when, and whether the client was told.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.smtp import SMTP

MOODS = ("refuses", "refuses_to_speak", "stalls", "drops_after_dot", "killed_after_dot")
STALL_SECONDS = 3.0
"""Longer than the notifier waits for an answer in these tests."""


@dataclass(frozen=True)
class Delivery:
    """A mail that was taken; `told` says whether the client was answered."""

    message_id: str
    to: str
    told: bool
    at: datetime


@dataclass
class Outage:
    """From when somebody was last seen well until they were seen gone, or well again where they only stood still."""

    name: str
    began: datetime
    ended: datetime

    def lies_between(self, earlier: datetime, later: datetime) -> bool:
        return self.began <= later and self.ended >= earlier


@dataclass
class MailServer:
    """Listens on `port` from `start` to `stop`; a mood is for a share of the mails, chosen by a seed."""

    port: int
    kill_client: Callable[[], None] = lambda: None
    mood: str = ""
    share: float = 0.5
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    deliveries: list[Delivery] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    outages: list[Outage] = field(default_factory=list)
    """When who sends, or notes that it did, was away; told by `watch`."""
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="localhost", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", self.port
        )

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def handle_EHLO(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return ["421 not today"] if self._is("refuses_to_speak") else responses

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if self._is("refuses"):
            return "451 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        mood = self.mood if self._is("stalls", "drops_after_dot", "killed_after_dot") else ""
        to = ", ".join(envelope.rcpt_tos)
        self.deliveries.append(
            Delivery(str(parsed["Message-ID"]).strip("<>"), to, told=not mood, at=datetime.now(UTC))
        )
        if mood == "stalls":
            await asyncio.sleep(STALL_SECONDS)
        elif mood == "drops_after_dot":
            transport: Any = server.transport
            transport.abort()
        elif mood == "killed_after_dot":
            self.kill_client()
        return "250 OK"

    def _is(self, *moods: str) -> bool:
        if self.mood not in moods or self.chance.random() >= self.share:
            return False
        self.hits[f"mail.{self.mood}"] += 1
        return True
