"""The running Muster under test: what `make up` wrote into `run.json`, and ways to hurt its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deploy.local.ports import is_free
from tests.e2e.client import wait_until

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "bin" / "python"
START_SECONDS, STOP_SECONDS = 300, 90
PORTS = 16


@dataclass(frozen=True)
class Place:
    run_file: Path

    def read(self) -> dict[str, Any]:
        return json.loads(self.run_file.read_text("utf-8"))

    @property
    def gateway(self) -> str:
        return self.read()["gateway"]

    def pid(self, name: str) -> int:
        return self.read()["pids"][name]

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop a process and its children where they stand, and let them go on afterwards."""
        process = psutil.Process(self.pid(name))
        stopped = [process, *process.children(recursive=True)]
        for each in stopped:
            each.suspend()
        try:
            yield
        finally:
            for each in stopped:
                with suppress(psutil.NoSuchProcess):
                    each.resume()

    def kill(self, name: str) -> int:
        """Kill a process as the machine would, and return the pid of the one that took its place."""
        old = self.pid(name)
        os.kill(old, signal.SIGKILL)
        return self.wait_for_another(name, old)

    def wait_for_another(self, name: str, old: int) -> int:
        def another() -> int | None:
            pid = self.pid(name)
            return pid if pid != old and Path(f"/proc/{pid}").exists() else None

        return wait_until(another, f"another {name} than pid {old}", 30)

    def muster(self, *arguments: str, status: int = 0) -> Any:
        """Run the `muster` command with `--json`, and return what it printed."""
        done = subprocess.run(
            [PYTHON, "-P", "-m", "services.cli.main", *arguments, "--json"],
            cwd=ROOT,
            env=environ(MUSTER_VAR=self.run_file.parent),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, f"muster {arguments}: {done.returncode} {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None


def environ(**settings: object) -> dict[str, str]:
    """Our environment without what belongs to an outer `make` or to other settings, and with these."""
    left_out = ("MAKE", "MFLAGS", "MUSTER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {name: str(value) for name, value in settings.items()}


def make(target: str, var: Path, base: int) -> None:
    """`make up DETACH=1` or `make down` on a folder and ports of its own."""
    command = ["make", target, *(["DETACH=1"] if target == "up" else [])]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ(MUSTER_VAR=var, MUSTER_PORT_BASE=base),
        stdout=sys.stderr,
        stderr=subprocess.STDOUT,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"make {target} ended with {done.returncode}"


def free_base() -> int:
    """A number with free ports after it, in a range that no other test takes ports from: who is down needs its own
    again. Runs beside each other begin to look at different places."""
    bases = range(11_000 + os.getpid() % 80 * 50, 19_900, 50)
    return next(base for base in bases if all(map(is_free, range(base, base + PORTS))))
