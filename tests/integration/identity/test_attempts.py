"""Refused attempts in the log: ten in a minute one by one, the rest summed up, and no sum gets lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from muster_contracts.events import Actor

from services.identity.attempts import SINGLE_PER_MINUTE, Attempt, Attempts, named_target
from services.identity.rules import OwnerProtected
from services.identity.run import Done, Origin
from services.kit.errors import Unavailable
from services.kit.ids import new_id
from tests.integration.identity.test_store import Log, open_log
from tests.support.servers import PostgresServer


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Desk:
    """Attempts with a clock that stands still, and a runner that can be told to fail."""

    log: Log
    clock: Clock = field(default_factory=Clock)
    away: bool = False

    def __post_init__(self) -> None:
        self.attempts = Attempts(self, self.clock)  # type: ignore[arg-type]

    async def run(self, decide: Any) -> Done:
        if self.away:
            raise Unavailable
        return await self.log.identity.runner.run(decide)

    async def refuse(self, address: str = "203.0.113.7", times: int = 1) -> list[int | None]:
        async with self.log.identity.pool.acquire() as connection:
            now = await connection.fetchval("SELECT now()")
        actor = Actor(type="user", id=self.log.owner, name="Olga")
        origin = Origin(self.log.org, actor, now, new_id("req"), ip=address, reads={"access:x": 99})
        attempt = Attempt("user.delete", self.log.owner)
        return [await self.attempts.record(origin, attempt, OwnerProtected()) for _ in range(times)]

    async def counts(self) -> list[int]:
        async with self.log.identity.pool.acquire() as connection:
            rows = await connection.fetch(
                "SELECT open FROM events WHERE type = 'attempt.refused' ORDER BY position"
            )
        assert all(
            (row["open"]["act"], row["open"]["code"]) == ("user.delete", "owner_protected") for row in rows
        )
        return [row["open"]["count"] for row in rows]


@pytest.fixture
async def desk(postgres_server: PostgresServer) -> AsyncIterator[Desk]:
    async with open_log(postgres_server) as log:
        yield Desk(log)


async def test_the_first_ten_of_a_minute_are_recorded_one_by_one_at_once(desk: Desk):
    positions = await desk.refuse(times=SINGLE_PER_MINUTE)
    assert positions == sorted(position for position in positions if position)
    assert await desk.counts() == [1] * SINGLE_PER_MINUTE


async def test_the_rest_of_the_minute_is_one_counted_record_when_it_is_over(desk: Desk):
    assert (await desk.refuse(times=SINGLE_PER_MINUTE + 7))[SINGLE_PER_MINUTE:] == [None] * 7
    await desk.attempts.flush()
    assert len(await desk.counts()) == SINGLE_PER_MINUTE
    desk.clock.now += 60
    await desk.attempts.flush()
    await desk.attempts.flush()
    assert await desk.counts() == [1] * SINGLE_PER_MINUTE + [7]


async def test_addresses_do_not_hide_behind_each_other(desk: Desk):
    await desk.refuse(times=SINGLE_PER_MINUTE + 1)
    assert (await desk.refuse("198.51.100.1"))[0] is not None


async def test_addresses_of_one_ipv6_network_are_one_address(desk: Desk):
    for host in range(SINGLE_PER_MINUTE):
        await desk.refuse(f"2001:db8:1:2::{host:x}")
    assert await desk.refuse("2001:db8:1:2:ffff::1") == [None]
    assert (await desk.refuse("2001:db8:1:3::1"))[0] is not None


async def test_one_address_too_many_closes_the_oldest_window_and_its_sum_is_written(desk: Desk):
    desk.attempts = Attempts(desk, desk.clock, most=2)  # type: ignore[arg-type]
    await desk.refuse(times=SINGLE_PER_MINUTE + 4)
    await desk.refuse("198.51.100.1")
    assert sum(await desk.counts()) == SINGLE_PER_MINUTE + 1
    await desk.refuse("198.51.100.2")
    assert await desk.counts() == [1] * (SINGLE_PER_MINUTE + 1) + [4, 1]
    await desk.refuse("198.51.100.3")
    assert len(desk.attempts._windows) == 2


async def test_a_sum_that_nobody_flushed_is_carried_into_the_next_minute(desk: Desk):
    await desk.refuse(times=SINGLE_PER_MINUTE + 3)
    desk.clock.now += 61
    assert (await desk.refuse())[0] is not None
    await desk.attempts.flush(everything=True)
    assert await desk.counts() == [1] * (SINGLE_PER_MINUTE + 1) + [3]


async def test_a_sum_that_cannot_be_written_now_is_written_later(desk: Desk):
    await desk.refuse(times=SINGLE_PER_MINUTE + 3)
    desk.clock.now += 61
    desk.away = True
    with pytest.raises(Unavailable):
        await desk.attempts.flush()
    desk.away = False
    await desk.refuse(times=SINGLE_PER_MINUTE + 2)
    await desk.attempts.flush(everything=True)
    assert sum(await desk.counts()) == 2 * SINGLE_PER_MINUTE + 5


async def test_a_refusal_that_cannot_be_recorded_is_not_answered_as_if_it_were(desk: Desk):
    desk.away = True
    with pytest.raises(Unavailable):
        await desk.refuse()


def test_only_an_id_of_ours_is_kept_as_a_target():
    id_ = new_id("usr")
    assert named_target(id_) == id_
    for text in (None, "", "ada@acme.example", "usr_1", new_id("req"), id_ + "x"):
        assert named_target(text) is None


async def test_a_sum_of_somebody_whose_key_is_gone_is_written_and_holds_up_no_other(desk: Desk):
    await desk.refuse(times=SINGLE_PER_MINUTE + 3)
    await desk.refuse("198.51.100.1", times=SINGLE_PER_MINUTE + 4)
    await desk.log.sql(
        "UPDATE person_keys SET wrapped = NULL, destroyed_at = now() WHERE id = $1 RETURNING id",
        desk.log.owner,
    )
    desk.log.identity.keys.forget(desk.log.owner)
    desk.clock.now += 61
    await desk.attempts.flush()
    assert await desk.counts() == [1] * 2 * SINGLE_PER_MINUTE + [3, 4]
