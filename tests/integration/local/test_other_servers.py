"""Where the settings name another PostgreSQL and Kafka, `muster up` starts the services on those, without demo."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deploy.local.ports import free_ports
from deploy.local.postgres import SERVICES
from tests.support.servers import KafkaServer, PostgresServer

START_SECONDS = 90.0
MUSTER = [sys.executable, "-P", "-m", "services.cli.main"]


@pytest.fixture
def environment(postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path: Path) -> dict[str, str]:
    """An operator's settings for servers that somebody else runs."""
    databases: dict[str, str] = {}
    for service in SERVICES:
        name = f"other_{service}_{secrets.token_hex(4)}"
        postgres_server.create_database(name, owner=f"{service}_owner")
        databases[f"MUSTER_DATABASES__{service.upper()}"] = postgres_server.url(name, service)
        databases[f"MUSTER_DATABASES__{service.upper()}_OWNER"] = postgres_server.url(
            name, f"{service}_owner"
        )
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    master = tmp_path / "master key"
    master.write_text(f"one:{key}\n")
    return {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")} | {
        **databases,
        "MUSTER_VAR": str(tmp_path / "var"),
        "MUSTER_PORT_BASE": str(free_ports(11)[0]),
        "MUSTER_KAFKA__BOOTSTRAP": kafka_server.bootstrap,
        "MUSTER_KEYS__MASTER_FILE": str(master),
        "MUSTER_KEYS__POSITIONS": key,
        "MUSTER_KEYS__LOOKUP": key,
    }


@pytest.fixture
def running(environment: dict[str, str]) -> Iterator[dict[str, object]]:
    """What `run.json` says of a `muster up` that is ready."""
    run = Path(environment["MUSTER_VAR"]) / "run.json"
    process = subprocess.Popen([*MUSTER, "up"], env=environment, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + START_SECONDS
    while not run.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield json.loads(run.read_text())
    process.terminate()
    process.communicate(timeout=60)


def test_the_services_run_on_servers_that_the_settings_name(
    environment: dict[str, str], running: dict[str, object]
) -> None:
    assert set(running) == {"gateway", "console", "kafka", "pids"}
    assert running["kafka"] == environment["MUSTER_KAFKA__BOOTSTRAP"]
    pids = running["pids"]
    assert isinstance(pids, dict)
    assert set(pids) == {"identity", "relay", "audit", "notifier", "gateway", "console"}

    created = subprocess.run(
        [*MUSTER, "organizations", "create", "first", "--owner", "olivia@first.example"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert created.returncode == 0, created.stderr

    stopped = subprocess.run([*MUSTER, "down"], env=environment, capture_output=True, text=True, check=False)
    assert stopped.returncode == 0, stopped.stderr
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert not (Path(environment["MUSTER_VAR"]) / "run.json").exists()
