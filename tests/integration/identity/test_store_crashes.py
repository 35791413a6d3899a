"""Two processes that write, 16 callers each, killed at random moments: the log stays what it promises to be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from muster_contracts.envelope import Envelope
from muster_contracts.users import UserCreated

from services.identity import log as reading
from services.identity.run import Draft, Origin
from services.identity.users.projection import USERS
from services.kit.ids import new_id
from services.kit.postgres import Connection, Database, connect
from tests.integration.identity.test_store import Log, master_of, open_log
from tests.support.servers import PostgresServer
from tests.support.store_worker import CLAIMS

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 20.0
PEOPLE = 20
WRITERS = 2


class Nursery:
    """Writers, any of which can be killed and started anew."""

    def __init__(self, process: Process, job: dict[str, Any]) -> None:
        self._process, self._job = process, job
        self.pids: list[int] = []
        self._seed = 0

    async def start(self) -> None:
        self._seed += 1
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(self._job | {"seed": self._seed}).encode() + b"\n")
        await self._process.stdin.drain()
        self.pids.append(int(await asyncio.wait_for(self._process.stdout.readline(), 30)))

    def kill(self, pid: int) -> None:
        self.pids.remove(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def nursery(job: dict[str, Any]) -> AsyncIterator[Nursery]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "contracts")])
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.store_worker",
        env=os.environ | {"PYTHONPATH": path}, cwd=ROOT, stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    writers = Nursery(process, job)
    try:
        yield writers
    finally:
        for pid in [*writers.pids]:
            writers.kill(pid)
        process.kill()
        await process.communicate()


async def read_the_tail(url: str, seen: dict[int, str], enough: asyncio.Event) -> None:
    """Read `position > last` again and again, as the relay does; a late event would never be seen."""
    connection = await connect(url)
    last = max(seen, default=0)
    try:
        while True:
            ended = enough.is_set()
            rows = await connection.fetch(
                "SELECT position, id FROM events WHERE position > $1 ORDER BY position LIMIT 500", last
            )
            seen.update({row["position"]: row["id"] for row in rows})
            last = max(seen, default=0)
            if ended and not rows:
                return
            await asyncio.sleep(0.005)
    finally:
        await connection.close()


async def until_the_dead_are_quiet(log: Log) -> None:
    """PostgreSQL finishes a commit that it was sent before its client was killed."""
    connection = await connect(log.admin_url)
    async with asyncio.timeout(30):
        while await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND usename = 'identity' AND state <> 'idle'"
        ):
            await asyncio.sleep(0.01)
    await connection.close()


async def hire(log: Log) -> list[str]:
    people = [new_id("usr") for _ in range(PEOPLE)]

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        role = await connection.fetchrow("SELECT id, name FROM roles WHERE builtin = 'member'")
        assert role
        events = [
            UserCreated.model_validate(
                {"user": person, "email": f"{person}@x.example", "name": "new", "username": None, "phone": None,
                 "timezone": None, "labels": (), "role": dict(role), "status": "active"}
            )
            for person in people
        ]  # fmt: skip
        keys = tuple(log.identity.keys.new(person) for person in people)
        return await log.origin(connection), Draft(events, persons=keys)

    await log.identity.runner.run(decide)
    return people


@pytest.mark.timeout(180)
async def test_no_kill_costs_an_acknowledged_unit_a_position_or_a_version(
    postgres_server: PostgresServer, tmp_path: Path
):
    async with open_log(postgres_server) as log:
        people = await hire(log)
        acks = tmp_path / "acks"
        acks.touch()
        job = {"url": log.url, "master": master_of(log), "org": log.org, "people": people, "acks": str(acks)}
        seen: dict[int, str] = {}
        enough = asyncio.Event()
        tail = asyncio.create_task(read_the_tail(log.url, seen, enough))
        kills = await _write_and_kill(job)
        await until_the_dead_are_quiet(log)
        enough.set()
        await asyncio.wait_for(tail, 60)
        async with log.identity.pool.acquire() as connection:
            envelopes = await _everything(log, connection)
            await _check_log(connection, envelopes, seen)
            await _check_rows(connection, envelopes)
            await _check_claims(connection, log.org, envelopes)
    acknowledged = dict(line.split() for line in acks.read_text().splitlines())
    _check_units(envelopes, acknowledged)
    assert kills >= 8
    assert len(acknowledged) > 100


async def _write_and_kill(job: dict[str, Any]) -> int:
    chance, kills = random.Random(7), 0
    loop = asyncio.get_running_loop()
    async with nursery(job) as writers:
        for _ in range(WRITERS):
            await writers.start()
        end = loop.time() + SECONDS
        while loop.time() < end:
            await asyncio.sleep(chance.uniform(0.3, 1.5))  # the moment of the kill is what is random here
            writers.kill(chance.choice(writers.pids))
            kills += 1
            await writers.start()
    return kills


async def _everything(log: Log, connection: Connection) -> list[Envelope]:
    found: list[Envelope] = []
    while page := await reading.read(connection, log.identity.keys, len(found), 1000):
        found += page
    return found


async def _check_log(connection: Connection, envelopes: list[Envelope], seen: dict[int, str]) -> None:
    head = await connection.fetchval("SELECT position FROM log_head")
    assert [envelope.position for envelope in envelopes] == list(range(1, head + 1))
    assert seen == {envelope.position: envelope.id for envelope in envelopes}
    versions: defaultdict[str, list[int]] = defaultdict(list)
    for envelope in envelopes:
        versions[envelope.subject].append(envelope.sequence)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in versions.values())
    heads = {row["id"]: row["version"] for row in await connection.fetch("SELECT id, version FROM heads")}
    assert {stream: len(numbers) for stream, numbers in versions.items()}.items() <= heads.items()


async def _check_rows(connection: Connection, envelopes: list[Envelope]) -> None:
    last = {e.subject: e for e in envelopes if e.type == "user.renamed"}
    assert last
    rows = await USERS.load(connection, sorted(last))
    for user, envelope in last.items():
        assert rows[user]["name"] == envelope.data["name"]["new"]
        assert rows[user]["version"] == envelope.sequence


async def _check_claims(connection: Connection, org: str, envelopes: list[Envelope]) -> None:
    """Claims are what the events of their units say, in log order; no claim was held by two at once."""
    held: dict[str, str] = {}
    for envelope in envelopes:
        change = envelope.data.get("name")
        told = change["new"].split() if isinstance(change, dict) and change["new"] else []
        match told[1:]:
            case ["claims", claim]:
                assert claim not in held
                held[claim] = envelope.subject
            case ["releases", claim]:
                assert held.pop(claim) == envelope.subject
            case _:
                pass
    claims = [f"login:{org}:{n}" for n in range(CLAIMS)]
    rows = await connection.fetch("SELECT id, owner FROM claims WHERE id = ANY($1)", claims)
    assert {row["id"]: row["owner"] for row in rows} == held


def _check_units(envelopes: list[Envelope], acknowledged: dict[str, str]) -> None:
    """Every acknowledged unit is in the log once and whole, with its last event where the caller was told."""
    units: defaultdict[str, list[Envelope]] = defaultdict(list)
    for envelope in envelopes:
        units[envelope.correlation_id or ""].append(envelope)
    assert acknowledged.keys() <= units.keys()
    for name, position in acknowledged.items():
        unit = units[name]
        assert len({envelope.action for envelope in unit}) == 1
        assert max(Counter(envelope.subject for envelope in unit).values()) == 1
        assert unit[-1].position == int(position)
