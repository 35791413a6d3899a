"""What `make up` keeps in `var/`: secrets, pids, the sign-ins of the demo, and the lock of a run."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from deploy.local.postgres import SERVICES

MARK = "supervisor.lock"
DATA = ("postgres", "postgres.password", "kafka", "mail", "log", "secrets", "settings.json", "demo.json")
STATE = ("demo.begun", "run.json", "processes.json", MARK)
STOP_SECONDS = 15.0


class StartError(Exception):
    """`make up` cannot go on; the text is one sentence that says what to do, `code` is the exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Var:
    """The folder; every file in it is written whole or not at all, and is for its owner alone."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def open(self) -> None:
        """Make the folder, or take the one that is there if it is ours.

        Raises:
            StartError: it cannot be written, or holds files that are not Muster's.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()) and not (self / MARK).exists():
                raise StartError(
                    f"{self.folder} holds other files: set MUSTER_VAR to a folder of its own.", 2
                )
            self.folder.chmod(0o700)
            (self / MARK).touch(0o600)
            (self / "log").mkdir(exist_ok=True)
        except OSError as error:
            raise StartError(
                f"{self.folder} cannot be written ({error.strerror}): "
                "give its owner the right to, or set MUSTER_VAR to another folder.",
                2,
            ) from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the folder for as long as this process lives; says False where another one holds it."""
        with (self / MARK).open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            lock.truncate()
            lock.write(str(os.getpid()))
            lock.flush()
            yield True

    def holder(self) -> int | None:
        """The pid of the `make up` that runs on this folder."""
        try:
            with (self / MARK).open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0) or None
        except OSError:
            pass
        return None

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object of a file; {} where it is not there or not whole."""
        try:
            return json.loads((self / name).read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        partial = self / f"{name}.partial"
        partial.unlink(missing_ok=True)
        partial.touch(0o600)
        partial.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
        partial.replace(self / name)

    def remove(self, name: str) -> None:
        (self / name).unlink(missing_ok=True)

    def secrets(self) -> dict[str, str]:
        """The secrets of this installation, made on the first call and the same ever after."""
        known = self.read("secrets")
        made = {name: make() for name, make in _SECRETS.items()} | known
        if made != known:
            self.write("secrets", made)
        return made

    def delete_data(self) -> None:
        for name in (*DATA, *STATE):
            path = self / name
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _master(service: str) -> str:
    return f"{service}-1:{_key()}"  # an id of its own for each service, so that all fit into one setting


_SECRETS: dict[str, Callable[[], str]] = {
    "postgres": secrets.token_urlsafe,
    **{role: secrets.token_urlsafe for service in SERVICES for role in (service, f"{service}_owner")},
    **{f"master_{service}": partial(_master, service) for service in SERVICES},
    "positions": _key,
    "lookup": _key,
    **{
        f"key_{pair}": secrets.token_urlsafe
        for pair in (
            "gateway_identity",
            "gateway_audit",
            "gateway_notifier",
            "console_gateway",
            "audit_identity",
            "notifier_identity",
        )
    },
}


@dataclass(frozen=True, slots=True)
class Started:
    """A process as it can be recognized again: pids are used anew, pid and time of start together are not."""

    pid: int
    at: float

    @classmethod
    def of(cls, pid: int) -> Started | None:
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.at) < 1 else None
        except psutil.Error:
            return None


def end_leftovers(var: Var) -> list[str]:
    """End what an earlier run that was killed has left running, and say what that was."""
    recorded = {name: Started(**entry).find() for name, entry in var.read("processes.json").items()}
    running = {name: process for name, process in recorded.items() if process is not None}
    for name, process in running.items():
        with contextlib.suppress(psutil.Error):
            process.send_signal(2 if name == "postgres" else 15)
    _gone, alive = psutil.wait_procs(list(running.values()), timeout=STOP_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=STOP_SECONDS)
    var.remove("processes.json")
    var.remove("run.json")
    return sorted(running)


def wait_until_gone(process: psutil.Process, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
