"""Callers beside the load who ask some processes alone: the ones that are left, or the gateways."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.kit.ids import new_id
from tests.faults.driver import REPEAT_SECONDS, REPEATS, Asker
from tests.faults.ground import Ground
from tests.faults.history import Attempt, Command, History
from tests.faults.report import SEED
from tests.support.identity import Org

PAUSE_SECONDS = 0.05


class Steady(Asker):
    """Asks these alone; gateways as the console asks them, which may say from which address somebody comes."""

    def __init__(self, ground: Ground, history: History, names: Sequence[str]) -> None:
        super().__init__(ground, history, random.Random(SEED))
        self.names = list(names)

    def _as_gateway(self, attempt: Attempt) -> dict[str, str]:
        headers = super()._as_gateway(attempt)
        if self.names[0].startswith("gateway"):
            key = self.ground.settings.service_keys.console_gateway
            headers["Muster-Service-Key"] = key.get_secret_value()
        return headers

    async def edit(self, org: Org, name: str) -> None:
        """Rename a Member, and ask again until it is known."""
        path, body = f"/v1/users/{org.member.id}", {"name": name}
        command = Command(org.id, org.owner.id, "edit", org.member.id, new_id("idk"), "PATCH", path, body)
        self.history.commands.append(command)
        for _ in range(REPEATS):
            if not (await self.attempt(command, org.owner.token)).unknown:
                return
            await asyncio.sleep(REPEAT_SECONDS)


@asynccontextmanager
async def steady(ground: Ground, history: History, names: Sequence[str], *orgs: Org) -> AsyncIterator[None]:
    """A caller for each organization until the end of the block, who does one thing after the other."""
    ask, stop = Steady(ground, history, names), asyncio.Event()

    async def work(org: Org) -> None:
        for n in itertools.count():
            if stop.is_set():
                return
            await ask.edit(org, f"Sam {n}")
            await asyncio.sleep(PAUSE_SECONDS)

    tasks = [asyncio.create_task(work(org)) for org in orgs]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
