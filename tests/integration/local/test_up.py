"""What can keep `muster up` from starting is one sentence that says what to do."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.ports import free_ports


def muster(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MUSTER_")}
    command = [sys.executable, "-P", "-m", "services.cli.main", *arguments]
    return subprocess.run(
        command, env=clean | settings, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def taken_port() -> Iterator[int]:
    port = free_ports(1)[0]
    with socket.create_server(("127.0.0.1", port)):
        yield port


def test_a_taken_port_is_named_with_holder_and_setting(tmp_path: Path, taken_port: int) -> None:
    result = muster("up", MUSTER_VAR=str(tmp_path / "var"), MUSTER_PORT_BASE=str(taken_port - 4))

    assert result.returncode == 3
    assert f"Port {taken_port}, which kafka needs, is taken by" in result.stderr
    assert f"(pid {os.getpid()})" in result.stderr
    assert "MUSTER_PORT_BASE" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["up", "down", "reset", "doctor", "migrate"])
def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path, command: str) -> None:
    result = muster(command, MUSTER_VAR=str(tmp_path / "var"), MUSTER_PORT_BAS="1")

    assert result.returncode == (1 if command == "doctor" else 2)
    assert (
        "MUSTER_PORT_BAS is not a setting; the nearest is MUSTER_PORT_BASE" in result.stderr + result.stdout
    )


def test_a_folder_that_cannot_be_written_is_named_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    result = muster("up", MUSTER_VAR=str(tmp_path / "file" / "var"))

    assert result.returncode == 2
    assert "cannot be written" in result.stderr
    assert "MUSTER_VAR" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_down_without_a_run_is_fine(tmp_path: Path) -> None:
    result = muster("down", MUSTER_VAR=str(tmp_path / "var"))

    assert result.returncode == 0
    assert "Nothing runs here." in result.stderr


def test_reset_leaves_files_that_are_not_musters(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.txt").write_text("years of work")

    assert muster("reset", MUSTER_VAR=str(tmp_path)).returncode == 0

    assert (tmp_path / "postgres" / "thesis.txt").exists()


def test_config_show_masks_secrets() -> None:
    result = muster("config", "show", MUSTER_SMTP__PASSWORD="hunter2hunter2", MUSTER_KAFKA__BOOTSTRAP="k:1")

    assert result.returncode == 0
    assert "hunter2" not in result.stdout
    assert "MUSTER_SMTP__PASSWORD=********" in result.stdout
    assert "MUSTER_KAFKA__BOOTSTRAP=k:1" in result.stdout


def test_doctor_without_anything_fails_each_check_with_what_to_do(tmp_path: Path) -> None:
    ports = {f"MUSTER_LISTEN__{n}": str(p) for n, p in zip(("GATEWAY", "RELAY"), free_ports(2), strict=True)}

    result = muster("doctor", MUSTER_VAR=str(tmp_path), MUSTER_SMTP__PORT=str(free_ports(1)[0]), **ports)

    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert sum(line.startswith("failed") for line in lines) == 6
    assert sum("→" in line for line in lines) == 6
