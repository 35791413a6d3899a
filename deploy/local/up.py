"""`muster up`: everything from an empty folder to the box, and `muster down` and `muster reset`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from aiokafka.errors import KafkaError as AioKafkaError
from muster_contracts import topics as contracts

from deploy.local.children import run_async
from deploy.local.kafka import VERSION, KafkaError, are_here
from deploy.local.kafka_training import is_trained
from deploy.local.ports import holder, is_free
from deploy.local.postgres import SERVICES, PostgresError, create_databases
from deploy.local.processes import MODULES, Plan, command
from deploy.local.progress import box, say, step
from deploy.local.state import MARK, StartError, Var, end_leftovers, wait_until_gone
from deploy.local.supervisor import Spec, Supervisor
from services.kit import migrate, topics
from services.kit.settings import load

ROOT = Path(__file__).resolve().parents[2]
DOWN_SECONDS = 90.0
DETACHED_START_SECONDS = 600.0


def plan() -> Plan:
    settings = load()
    return Plan(settings, Var((ROOT / settings.var).resolve()), ROOT)


Show = Callable[[Mapping[str, Any]], None]
"""What to do with `run.json` once everything answers: print the box, or JSON."""


def up(*, detach: bool, show: Show = box) -> None:
    """Start everything and stay until Ctrl-C or SIGTERM; with `detach` return when all is ready.

    Raises:
        StartError: see its text.
        SettingsError: a setting is wrong.
    """
    here = plan()
    here.var.open()
    if here.var.holder():
        show_running(here.var, show)
    elif detach:
        start_detached(here, show)
    else:
        with here.var.locked() as ours:
            if not ours:
                raise StartError("Another start is under way here: wait for it, or run `make down`.", 3)
            asyncio.run(run(here, show))


def down() -> bool:
    """Stop what runs on this folder; nothing is left and nothing is lost.

    Returns:
        Whether something ran.
    """
    var = plan().var
    pid = var.holder()
    if pid is not None:
        with step("Stopping Muster"):
            process = psutil.Process(pid)
            process.terminate()
            if not wait_until_gone(process, DOWN_SECONDS):
                process.kill()
    left = end_leftovers(var) if (var / MARK).exists() else []
    if left:
        say(f"Ended what an earlier run had left: {', '.join(left)}.")
    elif pid is None:
        say("Nothing runs here.")
    return pid is not None or bool(left)


def reset() -> bool:
    """Stop it and delete its data. Returns whether something ran."""
    ran = down()
    var = plan().var
    if (var / MARK).exists():
        var.delete_data()
    say("The data is gone; the next start begins anew.")
    return ran


def show_running(var: Var, show: Show) -> None:
    run_file = var.read("run.json")
    if not run_file:
        raise StartError("Another start is under way here: wait for it, or run `make down`.", 3)
    say("Muster is up already.")
    show(run_file)


def start_detached(here: Plan, show: Show) -> None:
    """Run `up` in a session of its own, show what it says, and return when `run.json` is there.

    The box is printed here only: sign-ins belong into no log.
    """
    here.var.remove("run.json")
    path = here.var / "log" / "up.log"
    with path.open("wb") as log:
        again = [sys.executable, "-P", "-m", "services.cli.main", "up"]
        child = subprocess.Popen(
            again, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
    deadline = time.monotonic() + DETACHED_START_SECONDS
    with path.open(encoding="utf-8", errors="replace") as log, _ended_with_us(child):
        while child.poll() is None and not (here.var / "run.json").exists():
            if time.monotonic() > deadline:
                raise StartError(f"Not ready after {DETACHED_START_SECONDS:.0f} s; see {path}.", 3)
            sys.stderr.write(log.read())
            time.sleep(0.05)
        if child.poll() is None:
            time.sleep(0.1)  # the last line is said right after the file is there
        sys.stderr.write(log.read())
    if child.returncode:
        raise SystemExit(child.returncode)
    show(here.var.read("run.json") or {})


@contextlib.contextmanager
def _ended_with_us(child: subprocess.Popen[bytes]) -> Any:
    try:
        yield
    except BaseException:  # Ctrl-C too: nobody would know of a start that goes on in the background
        child.terminate()
        child.wait()
        raise


async def run(here: Plan, show: Show) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if left := end_leftovers(here.var):
        say(f"Ended what an earlier run had left: {', '.join(left)}.")
    check_ports(here)
    supervisor = Supervisor(here.var)
    starting = asyncio.create_task(start_all(here, supervisor, show))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await stop.wait()
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        with step("Stopping"):
            await supervisor.stop()


def check_ports(here: Plan) -> None:
    for name, port in here.ports().items():
        if not is_free(port):
            raise StartError(
                f"Port {port}, which {name} needs, is taken by {holder(port)}: stop that, or set "
                f"MUSTER_PORT_BASE (now {here.settings.port_base}) to a number with free ports after it.",
                3,
            )


async def start_all(here: Plan, supervisor: Supervisor, show: Show) -> None:
    begun = time.monotonic()
    if here.embedded:
        await start_servers(here, supervisor)
    demo = await prepare(here)
    names = [name for name in MODULES if name != "demo" and (here.embedded or name != "mail")]
    with step(f"Services: {', '.join(names)}"):
        await supervisor.start(*(here.spec(name) for name in names))
    here.var.write("settings.json", here.all_settings())
    supervisor.publish(published(here, demo))
    say(f"Ready after {time.monotonic() - begun:.1f} s.")
    show(supervisor.published or {})


def published(here: Plan, demo: dict[str, Any]) -> dict[str, Any]:
    addresses: dict[str, Any] = {name: here.address(name) for name in ("gateway", "console")}
    if here.embedded:
        addresses["mail"] = here.address("mail")
    addresses["kafka"] = here.kafka().bootstrap if here.embedded else here.settings.kafka.bootstrap
    return addresses | demo


async def start_servers(here: Plan, supervisor: Supervisor) -> None:
    postgres, kafka = here.postgres(), here.kafka()
    try:
        await bring_kafka()
        with step("Data folders", always=False):
            await asyncio.gather(asyncio.to_thread(postgres.format), asyncio.to_thread(kafka.format))
        with step("PostgreSQL and Kafka"):
            environment = dict(os.environ)
            await supervisor.start(
                Spec("postgres", postgres.command, environment, postgres.is_ready, postgres.stop_signal),
                Spec("kafka", kafka.command, environment, kafka.is_ready, kafka.stop_signal),
            )
        await create_databases(postgres, here.var.secrets())
    except (PostgresError, KafkaError) as error:
        raise StartError(f"{error}.", 3) from None


async def bring_kafka() -> None:
    """Have jars and AOT cache; both stay for later starts of this user, which then take no time here.

    In a process of its own, since Ctrl-C must not wait for a download.
    """
    module = [sys.executable, "-P", "-m", "deploy.local.kafka_training"]
    if not are_here():
        with step(f"Apache Kafka {VERSION} (45 MB, once)"):
            result = await run_async([*module, "jars"], os.environ)
        if result.returncode:
            raise StartError(result.stderr.strip()[-600:], 3)
    if not is_trained():
        with step("Training Kafka's start (once)"):
            await run_async(module, os.environ)


async def prepare(here: Plan) -> dict[str, Any]:
    """Migrations, topics, and the demo organization where it belongs; returns the demo's sign-ins."""
    settings = load(here.all_settings())
    if here.embedded and (here.var / "demo.begun").exists():
        await forget_half_a_demo(here)
    with step("Migrations and topics"):
        urls = {s: getattr(settings.databases, f"{s}_owner").get_secret_value() for s in SERVICES}
        try:
            for service in SERVICES:
                await migrate.migrate(service, urls[service])
            factor = settings.kafka.replication_factor
            await topics.create(settings.kafka.bootstrap, contracts.ALL, replication_factor=factor)
        except (migrate.MigrationError, topics.TopicsError) as error:
            raise StartError(f"{error}.") from None
        except (OSError, asyncpg.PostgresError, AioKafkaError) as error:
            raise StartError(f"A server of the settings does not answer: {error}.", 3) from None
    return await seed(here) if here.embedded else {}


async def seed(here: Plan) -> dict[str, Any]:
    """Make the demo organization once and keep its sign-ins."""
    if demo := here.var.read("demo.json"):
        return demo
    (here.var / "demo.begun").touch()
    with step("Demo organization"):
        result = await run_async(command("demo"), here.environment("demo"))
    if result.returncode:
        raise StartError(f"The demo organization cannot be made: {result.stderr.strip()[-1500:]}")
    demo = json.loads(result.stdout)
    here.var.write("demo.json", demo)
    here.var.remove("demo.begun")
    return demo


async def forget_half_a_demo(here: Plan) -> None:
    """Begin identity's database anew: its seeding was killed, nobody used it, and its passwords are lost."""
    connection = await asyncpg.connect(here.postgres().url("postgres"), timeout=10)
    try:
        await connection.execute("DROP DATABASE IF EXISTS identity WITH (FORCE)")
    finally:
        await connection.close()
    await create_databases(here.postgres(), here.var.secrets())
