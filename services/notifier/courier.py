"""Takes messages from the queue, puts them into words, and sends them.

All that is personal or secret is fetched at the last moment: who the person is now, where they want to be
written to, and the token of the link. So nothing goes to somebody who left, and nothing after it has expired.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import timedelta

from services.kit.telemetry import logger
from services.notifier.channels import Channel, ChannelAway, Letter, Send
from services.notifier.identity import Identity, IdentityAway, Person
from services.notifier.mails.render import Facts, Link, Renderer
from services.notifier.outbox import LEASE, Message, Outbox, Outcome
from services.notifier.reactions import STATUSES

log = logger(__name__)

BATCH = 10
CONNECTIONS = 2
POLL_SECONDS = 1.0
LONGEST_OUTAGE_PAUSE = 30.0
LONGEST_TRY = timedelta(seconds=100)
"""A try that begins this long before the lease ends is over in time: four answers are waited for, each as long as
the settings let it be.
"""


class Courier:
    """Delivers until cancelled; database, identity and mail server may come and go."""

    def __init__(
        self, outbox: Outbox, channels: dict[str, Channel], identity: Identity, renderer: Renderer
    ) -> None:
        self._outbox, self._channels, self._identity, self._renderer = outbox, channels, identity, renderer
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Say that something was queued; without it the courier looks each second."""
        self._wake.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._work())

    async def _work(self) -> None:
        outages = 0
        while True:
            self._wake.clear()
            try:
                messages = await self._outbox.claim(BATCH)
                outages = 0 if await self.deliver(messages) else outages + 1
            except Exception as error:  # noqa: BLE001 (a lease makes it good, whatever it is)
                log.warning("the queue cannot be worked on", error=type(error).__name__)
                messages, outages = [], outages + 1
            if outages:
                await asyncio.sleep(min(LONGEST_OUTAGE_PAUSE, 2.0 ** min(outages, 8) / 2))
            elif not messages:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def deliver(self, messages: Sequence[Message]) -> bool:
        """Try each of these once; False when an outage kept some from being tried."""
        until = time.monotonic() + (LEASE - LONGEST_TRY).total_seconds()
        prepared = await asyncio.gather(*(self._prepare(message) for message in messages))
        letters: list[tuple[Message, Letter]] = []
        tried = True
        for message, ready in zip(messages, prepared, strict=True):
            if isinstance(ready, Letter):
                letters.append((message, ready))
            else:
                tried &= ready.state != "postponed"
                await self._finish(message, ready)
        for channel in {message.channel for message, _ in letters}:
            theirs = [each for each in letters if each[0].channel == channel]
            tried &= await self._send(channel, theirs, until)
        return tried

    async def _send(self, channel: str, letters: list[tuple[Message, Letter]], until: float) -> bool:
        """Send over one connection; what is left when it breaks, or when the lease runs out, is postponed."""
        rest = list(letters)
        problem = ChannelAway("lease_over")
        try:
            async with self._channels[channel].open() as send:
                while rest and time.monotonic() < until:
                    message, letter = rest[0]
                    await self._finish(message, await _try(send, letter))
                    del rest[0]
        except ChannelAway as away:
            problem = away
        for message, letter in rest:
            await self._finish(
                message, Outcome("postponed", problem.code, problem.told or None, letter.address)
            )
        return not rest

    async def _prepare(self, message: Message) -> Letter | Outcome:
        """The letter, or why there is none."""
        try:
            return await self._compose(message)
        except IdentityAway:
            return Outcome("postponed", "identity_away", "Identity cannot be asked.")
        except Exception as error:  # noqa: BLE001 (one that cannot be written must not stop the others)
            log.warning("a message cannot be written", message=message.id, error=type(error).__name__)
            return Outcome("failed", "not_written", "The message could not be written.")

    async def _compose(self, message: Message) -> Letter | Outcome:
        if message.expired:
            return Outcome("abandoned", "expired", "It could not be delivered in time.")
        person = await self._identity.person(message.cause.user)
        if person is None or message.personal is None:
            return Outcome("abandoned", "person_gone", "The user was deleted.")
        address = message.personal.get("to") or person.email
        if person.status not in STATUSES[message.kind]:
            return Outcome("abandoned", f"person_{person.status}", f"The user is {person.status}.", address)
        link = await self._identity.link(message.link) if message.link else None
        if message.link and link is None:
            return Outcome("abandoned", "link_closed", "The link is no longer open.", address)
        words = self._renderer.render(message.kind, _facts(message, message.personal, person, address, link))
        return Letter(message.key, person.name, address, words, message.queued_at)

    async def _finish(self, message: Message, outcome: Outcome) -> None:
        if not await self._outbox.finish(message, outcome):
            log.warning("a message was finished after its lease", message=message.id, state=outcome.state)
            return
        log.info(
            "message", message=message.id, kind=message.kind, state=outcome.state, error=outcome.error,
            attempt=message.attempts, request_id=message.cause.correlation_id,
        )  # fmt: skip


async def _try(send: Send, letter: Letter) -> Outcome:
    try:
        return await send(letter)
    except ChannelAway:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a library raises: it may have gone out)
        log.warning("sending failed", error=type(error).__name__)
        return Outcome("unknown", "sending_failed", "Sending ended unexpectedly.", letter.address)


def _facts(
    message: Message, personal: dict[str, str], person: Person, address: str, link: Link | None
) -> Facts:
    return Facts(
        name=person.name,
        email=address,
        timezone=person.timezone,
        organization=person.organization,
        slug=person.slug,
        support=person.support,
        occurred_at=message.cause.at,
        link=link,
        actor=personal.get("actor"),
        ip=personal.get("ip"),
        new_email=personal.get("new_email"),
        **message.facts,
    )
