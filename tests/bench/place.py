"""Muster on embedded servers of its own, durable like `make up`, in a folder that goes afterwards."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import uvloop
from muster_contracts import topics as contracts
from muster_contracts.events import Change, Event, Ref
from muster_contracts.users import UserCreated, UserRenamed

from deploy.local.postgres import SERVICES
from deploy.local.processes import Plan, command
from deploy.local.state import Var
from deploy.local.supervisor import Spec, Supervisor, http_ready
from deploy.local.up import start_servers
from services.identity.access import access_guard
from services.identity.bootstrap import open_identity, prepare
from services.identity.fields import login_claim
from services.identity.run import Draft, Origin
from services.identity.store import Claim
from services.identity.users import read
from services.kit import migrate, telemetry, topics
from services.kit.ids import new_id
from services.kit.postgres import Database
from services.kit.server import collect_rarely
from services.kit.settings import Settings, load
from tests.support.identity import Org, Place

ROOT = Path(__file__).resolve().parents[2]
PORT_BASE = "9700"
EMPTY, EMPTY_GATEWAY = 20, 21
"""Ports after the base, of the endpoint that does nothing and of the gateway before it."""
SERVED = ("identity", "relay", "audit", "notifier", "gateway", "mail")
AT_ONCE = 500
SETTLING_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Muster:
    """Servers that run; processes of Muster are started by name."""

    plan: Plan
    supervisor: Supervisor

    @property
    def settings(self) -> Settings:
        return load(self.plan.all_settings())

    def settings_of(self, name: str) -> Settings:
        """What that process is given."""
        return load({k: v for k, v in self.plan.environment(name).items() if k.startswith("MUSTER_")})

    async def start(self, *names: str) -> None:
        await self.supervisor.start(*(self.plan.spec(name) for name in names))

    async def settle(self) -> float:
        """Wait until audit has recorded the whole log; returns how many seconds that took."""
        began, databases = time.perf_counter(), self.settings.databases
        identity = await asyncpg.connect(databases.identity_owner.get_secret_value())
        audit = await asyncpg.connect(databases.audit_owner.get_secret_value())
        try:
            head = await identity.fetchval("SELECT position FROM log_head")
            async with asyncio.timeout(SETTLING_SECONDS):
                while (await audit.fetchval("SELECT max(position) FROM progress") or 0) < head:
                    await asyncio.sleep(0.02)
        finally:
            await asyncio.gather(identity.close(), audit.close())
        return time.perf_counter() - began

    async def checkpoint(self) -> None:
        """Write out what PostgreSQL would write during the next measurement."""
        connection = await asyncpg.connect(self.plan.postgres().url("postgres"))
        await connection.execute("CHECKPOINT")
        await connection.close()

    async def start_empty(self) -> int:
        """An endpoint that checks and answers like identity's and does nothing, behind a gateway of its own."""
        base = self.plan.settings.port_base
        ours = self.plan.environment("gateway")
        ours |= {"MUSTER_LISTEN__GATEWAY": str(base + EMPTY_GATEWAY)}
        ours |= {"MUSTER_URLS__IDENTITY": f"http://127.0.0.1:{base + EMPTY}"}
        empty = [sys.executable, "-P", "-m", "tests.bench.empty", str(base + EMPTY)]
        for name, run, environment, port in (
            ("empty", empty, self.plan.environment("gateway"), base + EMPTY),
            ("gateway-empty", command("gateway"), ours, base + EMPTY_GATEWAY),
        ):
            await self.supervisor.start(Spec(name, run, environment, partial(http_ready, port, "/live")))
        return base + EMPTY_GATEWAY

    @asynccontextmanager
    async def identity(self) -> AsyncIterator[Place]:
        """Identity without HTTP, in this process."""
        settings = self.settings
        async with open_identity(settings) as identity, httpx.AsyncClient() as http:
            await prepare(identity)
            yield Place(settings, identity, http)


@asynccontextmanager
async def muster(*processes: str) -> AsyncIterator[Muster]:
    """PostgreSQL and Kafka with all tables and topics, and these processes of Muster."""
    telemetry.configure("bench", "warning")
    collect_rarely()  # as our processes do, for what of them runs in this one
    with tempfile.TemporaryDirectory(prefix="muster-bench-") as folder, _environment(folder):
        plan = Plan(load(), Var(Path(folder) / "var"), ROOT)
        plan.var.open()
        running = Muster(plan, Supervisor(plan.var))
        try:
            await start_servers(plan, running.supervisor)
            for service in SERVICES:
                owner = getattr(running.settings.databases, f"{service}_owner").get_secret_value()
                await migrate.migrate(service, owner)
            await topics.create(running.settings.kafka.bootstrap, contracts.ALL, replication_factor=1)
            if processes:
                await running.start(*processes)
            yield running
        finally:
            await running.supervisor.stop()


@contextmanager
def _environment(folder: str) -> Iterator[None]:
    before = dict(os.environ)
    wanted: Mapping[str, str] = {
        "PORT_BASE": before.get("MUSTER_BENCH_PORT_BASE", PORT_BASE),
        "VAR": f"{folder}/var",
        "GATEWAY__CALLS_PER_SECOND": "1000000",
        "THROTTLES__FACTOR": "100000",
    }
    for name in [name for name in before if name.startswith("MUSTER_")]:
        del os.environ[name]
    os.environ.update({f"MUSTER_{name}": value for name, value in wanted.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def populate(place: Place, org: Org, count: int) -> list[str]:
    """So many people more, Active; returns their ids."""
    made: list[str] = []
    while len(made) < count:
        made += await _create(place, org, [new_id("usr") for _ in range(min(AT_ONCE, count - len(made)))])
    return made


async def rename(place: Place, org: Org, users: list[str], name: str) -> None:
    """One rename of each, in a few large units."""
    for start in range(0, len(users), AT_ONCE):
        chunk = users[start : start + AT_ONCE]
        events = [UserRenamed(user=user, name=Change(old="Someone", new=name)) for user in chunk]
        await _write(place, org, events, dict.fromkeys(chunk, 0))


async def _create(place: Place, org: Org, users: list[str]) -> list[str]:
    async with place.identity.pool.acquire() as connection:
        role = await read.role(connection, org.id, "member")
    given = Ref(id=role.id, name=role.name)
    emails = {user: f"{user[4:]}@{org.slug}.example" for user in users}
    events = [
        UserCreated(
            user=user, email=emails[user], name=_name(user), username=None, phone=None, timezone=None,
            labels=("blue",), role=given, status="active",
        )
        for user in users
    ]  # fmt: skip
    claims = tuple(Claim(login_claim(org.id, email), user) for user, email in emails.items())
    guards = [access_guard(user) for user in users]
    keys = tuple(place.identity.keys.new(user) for user in users)
    more = {"claims": claims, "persons": keys, "touches": frozenset(guards)}
    await _write(place, org, events, dict.fromkeys((*users, *guards), 0), **more)
    return users


FIRST = [
    "Ada",
    "Ben",
    "Cleo",
    "Dora",
    "Emil",
    "Fritz",
    "Greta",
    "Hans",
    "Ines",
    "Jan",
    "Kurt",
    "Lena",
    "Max",
    "Nora",
    "Otto",
    "Paula",
]
LAST = [
    "Abel",
    "Berg",
    "Conrad",
    "Dietz",
    "Ernst",
    "Falk",
    "Graf",
    "Huber",
    "Iser",
    "Jung",
    "Kraft",
    "Lang",
    "Mohr",
    "Noll",
    "Ohm",
    "Pohl",
]


def _name(user: str) -> str:
    number = hash(user)
    return f"{FIRST[number % 16]} {LAST[number // 16 % 16]}{user[-4:]}"


async def _write(
    place: Place, org: Org, events: Sequence[Event], heads: dict[str, int], **more: object
) -> None:
    async def decide(connection: Database) -> tuple[Origin, Draft]:
        rows = await connection.fetch("SELECT id, version FROM heads WHERE id = ANY($1)", list(heads))
        reads = heads | {row["id"]: row["version"] for row in rows}
        origin = await place.origin(connection, org, org.owner)
        return origin, Draft(events, reads=reads, **more)  # type: ignore[arg-type]

    await place.identity.runner.run(decide)


def run_alone(figures: object) -> None:
    """Run one program of this folder by itself and print its lines."""
    from tests.bench.figures import HEADER, show

    async def all_of_them() -> None:
        sys.stdout.write(HEADER + "\n")
        async for figure in figures():  # type: ignore[operator]
            show(figure)

    uvloop.run(all_of_them())
