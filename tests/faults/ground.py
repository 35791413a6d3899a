"""Where faults happen: all of Muster, two of each, on servers of its own that may be stopped, killed and wiped.

    async with open_ground(servers, seed=1) as ground:
        ground.kill("identity-1")

A process that ends is started again at once, as `make up` does it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from muster_contracts.topics import ALL

from deploy.local.kafka import Kafka
from deploy.local.ports import is_free
from deploy.local.postgres import SERVICES, SUPERUSER, Postgres
from services.identity.bootstrap import open_identity, prepare
from services.kit import topics
from services.kit.settings import Settings, load
from tests.faults.history import History
from tests.faults.inject.mistakes import PREPARED
from tests.faults.inject.tuning import SMTP_SECONDS
from tests.faults.mail_server import MailServer
from tests.support.identity import Place
from tests.support.identity_log import new_master
from tests.support.servers import PostgresServer, Process

ROOT = Path(__file__).resolve().parents[2]
PAIRS = (
    "GATEWAY_IDENTITY", "GATEWAY_AUDIT", "GATEWAY_NOTIFIER", "CONSOLE_GATEWAY", "AUDIT_IDENTITY",
    "NOTIFIER_IDENTITY",
)  # fmt: skip
READY_SECONDS = 60.0
RANGE = range(10_100, 10_990)
START = os.getpid() * 37 % len(RANGE)
PORTS = itertools.chain(RANGE[START:], RANGE[:START])
"""A range that no other test takes ports from: a server that is down here must find its port again. Each run begins
at a place of its own, for two at the same time would take the same ones.
"""
TWO_OF_EACH = tuple(f"{name}-{n}" for name in ("identity", "relay", "audit", "notifier") for n in (1, 2))


def own_ports(count: int) -> list[int]:
    return list(itertools.islice(filter(is_free, PORTS), count))


@dataclass
class Servers:
    """One PostgreSQL that keeps what it acknowledged, and a Kafka that each ground begins anew."""

    folder: Path
    postgres: Process
    database: PostgresServer
    kafka: Process

    @property
    def bootstrap(self) -> str:
        server = self.kafka.server
        assert isinstance(server, Kafka)
        return server.bootstrap

    async def stop_postgres_at_once(self) -> None:
        """Immediate stop: no client is told, nothing is written out; the next start recovers from the WAL."""
        process = self.postgres._process
        assert process is not None
        process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(process.wait)

    def wipe_kafka(self) -> None:
        """Kill the broker and put a newly formatted one in its place: another cluster, which knows no topic."""
        self.kafka.kill()
        shutil.rmtree(self.kafka.server.data)
        self.kafka.server.format()


@contextmanager
def open_servers() -> Iterator[Servers]:
    folder = Path(tempfile.mkdtemp(prefix="muster-faults-"))
    folder.chmod(0o711)
    ports = own_ports(3)
    postgres = Postgres(folder / "postgres", ports[0], secrets.token_urlsafe(12), durable=True)
    kafka = Kafka(folder / "kafka", *ports[1:])
    servers = [Process(postgres, folder / "postgres.log"), Process(kafka, folder / "kafka.log")]
    try:
        for server in servers:
            server.start()
        database = PostgresServer("127.0.0.1", ports[0], SUPERUSER, postgres.password)
        yield Servers(folder, servers[0], database, servers[1])
    finally:
        for server in servers:
            server.kill() if server is servers[1] else server.stop()
        if not os.environ.get("FAULTS_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Ground:
    """A running Muster; `kills` counts what died of us, `place` reaches around HTTP."""

    servers: Servers
    folder: Path
    mail: MailServer
    names: Sequence[str]
    databases: dict[str, str]
    environment: dict[str, str]
    ports: dict[str, int]
    mistake: str = ""
    place: Place = field(init=False)
    http: aiohttp.ClientSession = field(init=False)
    pids: dict[str, int] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    histories: list[History] = field(default_factory=list)
    """Of all that was asked here, by one test after the other."""
    _nursery: Any = None
    _closing: bool = False

    @property
    def settings(self) -> Settings:
        return self.place.settings

    def url(self, service: str, *, admin: bool = False) -> str:
        return self.servers.database.url(self.databases[service], None if admin else service)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    # ------------------------------------------------------------------------------------ what is done to it
    def kill(self, *names: str) -> None:
        """SIGKILL; nothing where it is not running just now."""
        for name in names:
            if pid := self.pids.get(name):
                self.kills[name.partition("-")[0]] += 1
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    @asynccontextmanager
    async def frozen_for_a_while(self, name: str) -> AsyncIterator[None]:
        """SIGSTOP now, SIGCONT at the end of the block."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGSTOP)
        self.kills[f"{name.partition('-')[0]} frozen"] += 1
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def arm(self, point: str, passes: int = 0, number: int = signal.SIGKILL) -> None:
        """Have the next process that passes there die, after letting some passes go."""
        unread = self.folder / "armed" / f".new.{point}"
        unread.write_text(f"{number} {passes}", "utf-8")
        unread.rename(self.folder / "armed" / point)

    async def until_hit(self, point: str, seconds: float = 30.0) -> bool:
        """Arm a point and wait for it; False when nobody came by."""
        before, deadline = self.hits()[point], time.monotonic() + seconds
        while self.hits()[point] == before:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    def hits(self) -> Counter[str]:
        """How often each point was hit."""
        path = self.folder / "hits"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return Counter(line.split()[0] for line in lines) + self.mail.hits

    def last_hit(self, point: str) -> str:
        """The process that was the last one to be hit there."""
        lines = (self.folder / "hits").read_text("utf-8").splitlines()
        return next(line.split()[1] for line in reversed(lines) if line.split()[0] == point)

    def partitions(self, name: str) -> set[tuple[str, int]]:
        """What a reader said last that it reads."""
        path = self.folder / "partitions" / name
        return {(topic, n) for topic, n in json.loads(path.read_text("utf-8"))} if path.exists() else set()

    def refused(self, name: str) -> int:
        """How many batches a reader could not commit."""
        path = self.folder / "refused" / name
        return len(path.read_text("utf-8").splitlines()) if path.exists() else 0

    def said(self, names: str, words: str) -> int:
        """How many lines of the logs of a process, or of all whose names begin so, hold these words."""
        logs = self.folder.glob(f"{names}*.log")
        return sum(words in line for log in logs for line in log.read_text("utf-8", "replace").splitlines())

    def history(self, seed: int) -> History:
        self.histories.append(History(seed))
        return self.histories[-1]

    # ------------------------------------------------------------------------------------------- its processes
    async def start(self, *names: str) -> None:
        """Start these and wait until they are ready."""
        for name in names:
            self._order(name)
        await asyncio.gather(*(self.until_ready(name) for name in names))

    async def until_ready(self, name: str) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while not await self.is_ready(name):
                await asyncio.sleep(0.05)

    async def is_ready(self, name: str, path: str = "/ready") -> bool:
        try:
            async with self.http.get(
                f"{self.address(name)}{path}", timeout=aiohttp.ClientTimeout(3)
            ) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _order(self, name: str) -> None:
        order = {
            "name": name,
            "environment": self.environment | self._own(name),
            "log": str(self.folder / f"{name}.log"),
            "folder": str(self.folder),
            "mistake": self.mistake,
        }
        self._nursery.stdin.write(json.dumps(order).encode() + b"\n")

    def _own(self, name: str) -> dict[str, str]:
        """What sets one of two copies apart."""
        service, _, number = name.partition("-")
        own = {"MUSTER_INSTANCE": name, f"MUSTER_LISTEN__{service.upper()}": str(self.ports[name])}
        if service == "gateway":
            own |= {"MUSTER_URLS__IDENTITY": self.address(f"identity-{number}")}
        return own

    async def open_nursery(self) -> asyncio.Task[None]:
        self._nursery = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.inject.nursery",
            cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": "contracts"},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await self._nursery.stdout.readline()
        return asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Note who began and who ended, and start again who ended."""
        while line := await self._nursery.stdout.readline():
            told = json.loads(line)
            if "began" in told:
                self.pids[told["began"]] = told["pid"]
                continue
            name = next((n for n, pid in self.pids.items() if pid == told["ended"]), None)
            if name is not None and not self._closing:
                del self.pids[name]
                self._order(name)

    async def close_nursery(self) -> None:
        self._closing = True
        for pid in self.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._nursery.stdin.close()
        await self._nursery.wait()


@asynccontextmanager
async def open_ground(
    servers: Servers, *, names: Sequence[str] = TWO_OF_EACH, mistake: str = "", delivery: str = ""
) -> AsyncIterator[Ground]:
    """Muster on fresh databases and a fresh Kafka until the end of the block.

    Args:
        servers: shared by several grounds, one after the other.
        names: of the processes that run.
        mistake: one of `inject.mistakes`, put into every process.
        delivery: `twice`, `swap`: what the relay does to every page.
    """
    folder = Path(tempfile.mkdtemp(prefix="ground-", dir=servers.folder))
    for name in ("armed", "partitions", "refused"):
        (folder / name).mkdir()
    await asyncio.to_thread(_begin_kafka, servers)
    await topics.create(servers.bootstrap, ALL)
    databases = {s: await asyncio.to_thread(servers.database.create_migrated_database, s) for s in SERVICES}
    ports = dict(zip((*names, "smtp"), own_ports(len(names) + 1), strict=True))
    if mistake in PREPARED:
        service, statements = PREPARED[mistake]
        connection = await asyncpg.connect(servers.database.url(databases[service]))
        await connection.execute(statements)
        await connection.close()
    mail = MailServer(ports["smtp"])
    environment = _environment(servers, databases, ports) | {"FAULTS_DELIVERY": delivery}
    ground = Ground(servers, folder, mail, names, databases, environment, ports, mistake)
    await mail.start()
    keeper = await ground.open_nursery()
    settings = load({key: value for key, value in environment.items() if key.startswith("MUSTER_")})
    try:
        async with (
            aiohttp.ClientSession() as ground.http,
            open_identity(settings) as identity,
        ):
            await prepare(identity)
            ground.place = Place(settings, identity, None)  # type: ignore[arg-type] (HTTP goes to two of them)
            await ground.start(*names)
            yield ground
    finally:
        await ground.close_nursery()
        keeper.cancel()
        await mail.stop()
        for name in databases.values():
            await asyncio.to_thread(servers.database.drop_database, name)


def _begin_kafka(servers: Servers) -> None:
    servers.wipe_kafka()
    servers.kafka.start()


def _environment(servers: Servers, databases: dict[str, str], ports: dict[str, int]) -> dict[str, str]:
    """What all processes share: they are told apart by what they read of it."""
    identity, audit, notifier = (
        next((f"http://127.0.0.1:{port}" for name, port in ports.items() if name.startswith(service)), "")
        for service in SERVICES
    )
    made = {
        **{f"DATABASES__{s.upper()}": servers.database.url(name, s) for s, name in databases.items()},
        **{f"SERVICE_KEYS__{pair}": secrets.token_urlsafe(16) for pair in PAIRS},
        "KEYS__MASTER": new_master(),
        "KEYS__POSITIONS": base64.b64encode(os.urandom(32)).decode(),
        "KEYS__LOOKUP": base64.b64encode(os.urandom(32)).decode(),
        "KAFKA__BOOTSTRAP": servers.bootstrap,
        "SMTP__PORT": str(ports["smtp"]),
        "SMTP__TIMEOUT_SECONDS": str(SMTP_SECONDS),
        "THROTTLES__FACTOR": "1000",
        "EMBEDDED": "true",
        "GATEWAY__CALLS_PER_SECOND": "100000",
        "URLS__IDENTITY": identity,
        "URLS__AUDIT": audit or "http://127.0.0.1:9",
        "URLS__NOTIFIER": notifier or "http://127.0.0.1:9",
        "LOG_LEVEL": "warning",
    }
    return {"PATH": os.environ["PATH"]} | {f"MUSTER_{name}": value for name, value in made.items()}
