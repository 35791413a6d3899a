"""Named places in the product's work where a process can be made to die, each between two steps that must be
told apart: before and after a commit, after a produce and before the cursor, after the effect and before the offset.

A test arms a point with a file `armed/<point>` that holds a signal and the number of passes to let go; the process
that takes the file sends itself that signal there (SIGKILL, SIGSTOP) and leaves a line in `hits`. A pass counts only
where something is at stake: a batch of which nothing survived, or a record that was applied long ago, proves nothing.
The product is changed from outside, in the child of the nursery alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.audit import recorder
from services.audit.identity import Identity as AuditsIdentity
from services.identity.directory import Directory
from services.identity.idempotency import Answers
from services.identity.relay import IdentityLog
from services.identity.run import Runner
from services.identity.store import Store, _Batch
from services.kit.broker import Publisher
from services.kit.consumer import Consumer
from services.kit.relay import Cursor
from services.notifier.intake import Intake
from services.notifier.kills import Kills
from services.notifier.outbox import Outbox
from tests.faults.inject import stakes
from tests.faults.inject.stakes import Owner


@dataclass(frozen=True)
class Point:
    """Where: before this method or after it.

    `stake` is asked with what the method brought (None before it) and what it was given: would a death matter now?
    """

    owner: Owner
    method: str
    after: bool
    services: tuple[str, ...]
    stake: Callable[..., Any]

    def put_in(self, act: Callable[[], None]) -> None:
        original = getattr(self.owner, self.method)
        after, stake = self.after, self.stake

        async def passing(*args: Any, **more: Any) -> Any:
            if not after and stake(None, *args):
                act()
            result = await original(*args, **more)
            if after and stake(result, *args):
                act()
            return result

        setattr(self.owner, self.method, passing)


IDENTITY, CONSUMERS, RELAYS = ("identity",), ("audit", "notifier"), ("relay", "notifier")
POINTS = {
    "heads_locked": Point(_Batch, "_find_conflicts", True, IDENTITY, stakes.events),
    "claims_taken": Point(_Batch, "_reserve", True, IDENTITY, stakes.claims),
    "before_commit": Point(_Batch, "write", True, IDENTITY, stakes.events),
    "after_commit": Point(Store, "_transact", True, IDENTITY, stakes.committed),
    "before_answer": Point(Runner, "run", True, IDENTITY, stakes.done),
    "answer_sought": Point(Answers, "find", True, IDENTITY, stakes.something),
    "before_produce": Point(Publisher, "publish", False, RELAYS, stakes.records),
    "half_produced": Point(Publisher, "_send", False, RELAYS, stakes.always),
    "after_produce": Point(Cursor, "move", False, RELAYS, stakes.forward),
    "after_cursor": Point(Cursor, "move", True, RELAYS, stakes.moved),
    "before_directory": Point(IdentityLog, "beside", False, ("relay",), stakes.users),
    "after_directory": Point(Directory, "states", True, ("relay",), stakes.something),
    "before_effect": Point(recorder, "_store", False, ("audit",), stakes.always),
    "inbox_written": Point(Intake, "_never_seen", True, ("notifier",), stakes.something),
    "before_effect_commits": Point(Consumer, "_batch", True, CONSUMERS, stakes.news),
    "before_offset": Point(Consumer, "process", True, CONSUMERS, stakes.news_from_kafka),
    "mail_queued": Point(Outbox, "queue", True, ("notifier",), stakes.something),
    "mail_claimed": Point(Outbox, "claim", True, ("notifier",), stakes.something),
    "mail_answered": Point(Outbox, "finish", False, ("notifier",), stakes.sent),
    "mail_finished": Point(Outbox, "finish", True, ("notifier",), stakes.sent),
    "kill_verified": Point(Kills, "_write_order", False, ("notifier",), stakes.unordered),
    "kill_ordered": Point(Kills, "_write_order", True, ("notifier",), stakes.news),
    "progress_told": Point(AuditsIdentity, "report", True, ("audit",), stakes.always),
}


def names() -> list[str]:
    """`<service>.<point>` of every place there is."""
    return [f"{service}.{name}" for name, point in POINTS.items() for service in point.services]


@dataclass
class Place:
    """One point in one process."""

    process: str
    name: str
    folder: Path
    left: int | None = None
    number: int = signal.SIGKILL

    def act(self) -> None:
        if self.left is None:
            self.left = self._take()
        if self.left is None:
            return
        if self.left > 0:
            self.left -= 1
            return
        hits = os.open(self.folder / "hits", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(hits, f"{self.name} {self.process}\n".encode())
        self.left = None
        os.kill(os.getpid(), self.number)

    def _take(self) -> int | None:
        """The passes to let go, when this process is the one that took the point."""
        armed = self.folder / "armed" / self.name
        mine = self.folder / "armed" / f".{self.name}.{os.getpid()}"
        try:
            armed.rename(mine)
        except FileNotFoundError:
            return None
        number, passes = mine.read_text("utf-8").split()
        self.number = int(number)
        return int(passes)


def apply(process: str, folder: str) -> None:
    """Put in the points of this process."""
    service = process.partition("-")[0]
    stakes.watch(service)
    for name, point in POINTS.items():
        if service in point.services and name != "half_produced":
            point.put_in(Place(process, f"{service}.{name}", Path(folder)).act)
    if service in POINTS["half_produced"].services:
        _produce_by_halves(Place(process, f"{service}.half_produced", Path(folder)))
    if deeds := os.environ.get("FAULTS_DELIVERY"):
        _deliver(deeds.split(","))


def _produce_by_halves(place: Place) -> None:
    """The place between the acknowledgements of some partitions and the sending of the others."""
    send = Publisher._send

    async def by_halves(self: Publisher, batches: dict[Any, Any]) -> None:
        names = list(batches)
        half = names[: (len(names) + 1) // 2]
        await send(self, {name: batches[name] for name in half})
        if len(names) > 1:
            place.act()
        if rest := [name for name in names if name not in half]:
            await send(self, {name: batches[name] for name in rest})

    Publisher._send = by_halves


def _deliver(deeds: Sequence[str]) -> None:
    """Make the relay say everything twice, or neighbors in the wrong order: what a broken one would do."""
    publish = Publisher.publish

    async def wrongly(self: Publisher, records: Sequence[Any]) -> None:
        wanted = _swapped(records) if "swap" in deeds else list(records)
        await publish(self, wanted)
        if "twice" in deeds:
            await asyncio.sleep(0)
            await publish(self, wanted)

    Publisher.publish = wrongly


def _swapped(records: Sequence[Any]) -> list[Any]:
    """Neighbors of one key in the wrong order: to exchange those of two keys would change nothing for a reader."""
    wanted, places = list(records), defaultdict[tuple[str, bytes], list[int]](list)
    for n, record in enumerate(records):
        places[record.topic, record.key].append(n)
    for own in places.values():
        for a, b in zip(own[::2], own[1::2], strict=False):
            wanted[a], wanted[b] = wanted[b], wanted[a]
    return wanted
