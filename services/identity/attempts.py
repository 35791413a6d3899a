"""Refused attempts: each is an event of its own (`attempt.refused`, stream `att_…`), through the same log.

After the tenth in a minute from one address (IPv6: one /64, which a single customer has), the rest of that
minute is summed up in one counted event, so that a flood can neither fill the log nor hide in it. What
somebody who is signed in tries is counted for them and for each act alone: nobody's attempts, and no other act
of theirs, vanish in the sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from muster_contracts.attempts import AttemptRefused
from muster_contracts.events import Actor

from services.identity.run import Draft, Origin, Runner
from services.identity.sessions.networks import network_of
from services.kit.errors import Kind, MusterError
from services.kit.ids import is_id, new_id
from services.kit.postgres import Database
from services.kit.telemetry import logger

log = logger(__name__)

SINGLE_PER_MINUTE = 10
WINDOW_SECONDS = 60.0
MOST_WINDOWS = 10_000
"""Open at once; one more closes the oldest early, so that no flood from many addresses takes all memory."""
ANONYMOUS = "anonymous"
Key = tuple[str | None, ...]
RECORDED = frozenset({Kind.FORBIDDEN, Kind.CONFLICT, Kind.UNPROCESSABLE})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What was tried: the act as audit shows it, and the id of what it was tried on."""

    act: str
    target: str | None = None
    login_hash: str | None = None


@dataclass(slots=True)
class _Window:
    closes: float
    seen: int = 0
    summed: int = 0
    last: tuple[Origin, AttemptRefused] | None = None


class Attempts:
    """Writes attempts; one for a process. `flush` at the end of a minute writes what was summed up."""

    def __init__(
        self, runner: Runner, clock: Callable[[], float] | None = None, most: int = MOST_WINDOWS
    ) -> None:
        self._runner = runner
        self._most = most
        self._clock = clock or asyncio.get_running_loop().time
        self._windows: dict[Key, _Window] = {}

    async def record(self, origin: Origin, attempt: Attempt, error: MusterError) -> int | None:
        """Keep a refusal.

        Args:
            origin: of the attempt; its reads are not relied on.
            attempt: what was tried.
            error: how it was refused.

        Returns:
            The position of its record; None where it is summed up.
        """
        event = AttemptRefused(
            act=attempt.act, code=error.code, rule=error.members.get("rule"),
            target=attempt.target, login_hash=attempt.login_hash, count=1,
        )  # fmt: skip
        origin = replace(origin, reads={})
        key = _key(origin, event)
        await self._make_room(key)
        window = self._window(key)
        window.seen += 1
        if window.seen > SINGLE_PER_MINUTE:
            window.summed += 1
            window.last = (origin, event)
            return None
        return await self._write(origin, event)

    async def flush(self, *, everything: bool = False) -> None:
        """Write the sums of the windows that have closed; all of them when the process stops."""
        now = self._clock()
        closed = [key for key, window in self._windows.items() if everything or window.closes <= now]
        failed: Exception | None = None
        for key in closed:
            try:
                await self._close(key)
            except Exception as error:  # noqa: BLE001 (the others must not wait for this one)
                failed = error
        if failed:
            raise failed

    async def _close(self, key: Key) -> None:
        window = self._windows.pop(key, None)
        if window is None or window.last is None:
            return
        origin, event = window.last
        try:
            await self._write(origin, event.model_copy(update={"count": window.summed, "target": None}))
        except BaseException:
            self._put_back(key, window)
            raise

    async def _make_room(self, key: Key) -> None:
        """Before a window is opened: where its sum cannot be written, none is."""
        if key not in self._windows and len(self._windows) >= self._most:
            await self._close(next(iter(self._windows)))

    def _put_back(self, key: Key, window: _Window) -> None:
        """A sum that could not be written is written with the next one."""
        kept = self._windows.setdefault(key, window)
        if kept is not window:
            kept.summed += window.summed
            kept.last = kept.last or window.last

    async def run(self) -> None:
        """Flush every few seconds until cancelled; what fails is tried again."""
        while True:
            await asyncio.sleep(5)
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001 (the sums are kept, and evidence must go on)
                log.warning("attempts not flushed", error=type(error).__name__)

    def _window(self, key: Key) -> _Window:
        now, window = self._clock(), self._windows.get(key)
        if window is None or window.closes <= now:
            carried = self._windows.pop(key, None) or _Window(0)
            window = _Window(now + WINDOW_SECONDS, 0, carried.summed, carried.last)
            self._windows[key] = window  # behind all others: the first is always the oldest
        return window

    async def _write(self, origin: Origin, event: AttemptRefused) -> int | None:
        async def decide(_: Database) -> tuple[Origin, Draft]:
            return origin, Draft(events=[event], streams=[new_id("att")])

        return (await self._runner.run(decide)).position


def _key(origin: Origin, event: AttemptRefused) -> Key:
    """Whose attempts are counted together."""
    key = (origin.org, network_of(origin.ip))
    return key if origin.actor.type == ANONYMOUS else (*key, origin.actor.id, event.act, event.code)


def named_target(candidate: str | None) -> str | None:
    """An id from a path as a target: only what has the form of one of ours, so that no text gets in."""
    return candidate if candidate and any(is_id(candidate, p) for p in PREFIXES) else None


PREFIXES = ("usr", "ses", "rol", "key", "org", "fac", "evt", "svc")


def anonymous() -> Actor:
    return Actor(type=ANONYMOUS)
