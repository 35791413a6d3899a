"""Make `.venv` hold exactly what a lock file says: `python3 environment.py [--dev]`.

Runs before anything is installed, hence the standard library only. A finished installation leaves a copy of
its lock in the environment; where that copy equals the lock, the Makefile does not even start this. Without
one the environment was never finished, and is made anew: a half-written package is not worth repairing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
RUNTIME, DEV = "requirements.lock", "requirements-dev.lock"
COMMAND = '#!/bin/sh\nexec "$(dirname "$0")/python" -P -m services.cli.main "$@"\n'


def main() -> int:
    wanted = DEV if "--dev" in sys.argv[1:] else RUNTIME
    with one_at_a_time():
        try:
            return 0 if is_current(wanted) else install(wanted)
        except OSError as error:
            print(
                f"Cannot make {VENV}: {error.strerror}. Free the folder or its disk, then try again.",
                file=sys.stderr,
            )
            return 1


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait for another installation into the same environment (two `make` at once)."""
    with (ROOT / "pyproject.toml").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_current(name: str) -> bool:
    copy = VENV / name
    return copy.exists() and copy.read_bytes() == (ROOT / name).read_bytes()


def install(wanted: str) -> int:
    names = (RUNTIME, DEV) if wanted == DEV or (VENV / DEV).exists() else (RUNTIME,)
    if not (VENV / RUNTIME).exists():
        shutil.rmtree(VENV, ignore_errors=True)
        venv.create(VENV, with_pip=True)
    for name in (RUNTIME, DEV):
        (VENV / name).unlink(missing_ok=True)
    if code := run_pip(names[-1]):
        return code
    put_on_path()
    for name in names:
        shutil.copyfile(ROOT / name, VENV / name)
    return 0


def run_pip(lock: str) -> int:
    """Install with every hash checked; show one moving line on a terminal, a few lines elsewhere."""
    total = sum("==" in line for line in (ROOT / lock).read_text("utf-8").splitlines())
    command = [
        VENV / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--require-hashes",
        "--no-deps",
        "-r",
        ROOT / lock,
    ]
    options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    print(f"Installing {total} packages into .venv (hashes checked)", flush=True)
    with subprocess.Popen([*command, *options], text=True, stdout=subprocess.PIPE) as pip:
        tail = list(show(pip, total))[-15:]
    if pip.returncode:
        print(
            "\n".join(["Installation failed. Is there a network? What pip said last:", *tail]),
            file=sys.stderr,
        )
    return pip.returncode


def show(pip: subprocess.Popen[str], total: int) -> Iterator[str]:
    done = 0
    for line in pip.stdout or ():
        yield line.rstrip()
        if line.startswith(("Collecting ", "Requirement already satisfied")):
            done += 1
            if sys.stdout.isatty():
                print(f"\r\033[K  {done:3}/{total} {line.split()[1][:60]}", end="", flush=True)
            elif done % 20 == 0:
                print(f"  {done}/{total}", flush=True)
        elif line.startswith("Installing collected"):
            print(("\r\033[K" if sys.stdout.isatty() else "") + "  unpacking", flush=True)


def put_on_path() -> None:
    """Let the environment find our code, by paths relative to it, so that the checkout may be moved."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = VENV / "lib" / version / "site-packages"
    folders = (ROOT, ROOT / "contracts")
    (packages / "muster.pth").write_text(
        "".join(f"{os.path.relpath(f, packages)}\n" for f in folders), "utf-8"
    )
    command = VENV / "bin" / "muster"
    command.write_text(COMMAND, "utf-8")
    command.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main())
