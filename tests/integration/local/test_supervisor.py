"""The supervisor keeps processes alive, knows their pids, and leaves none behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from deploy.local.ports import free_ports
from deploy.local.state import StartError, Var, end_leftovers
from deploy.local.supervisor import Spec, Supervisor, http_ready

WAIT_SECONDS = 10.0
SERVER = (
    "import sys, http.server as h;"
    "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
)
DIES = "import sys; sys.exit('no such flag')"


@pytest.fixture
def var(tmp_path: Path) -> Var:
    var = Var(tmp_path / "var with space")
    var.open()
    return var


@pytest.fixture
async def supervisor(var: Var) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(var)
    yield supervisor
    await supervisor.stop()


def spec(name: str, code: str = SERVER) -> Spec:
    port = free_ports(1)[0]
    command = [sys.executable, "-c", code, str(port)]
    return Spec(name, command, dict(os.environ), partial(http_ready, port, "/"))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition was never met"
        await asyncio.sleep(0.02)


async def test_a_killed_process_is_started_again_and_its_pid_is_published(
    supervisor: Supervisor, var: Var
) -> None:
    served = spec("server")
    await supervisor.start(served)
    supervisor.publish({"gateway": "somewhere"})
    first = var.read("run.json")["pids"]["server"]

    os.kill(first, signal.SIGKILL)

    await until(lambda: var.read("run.json")["pids"]["server"] != first)
    assert psutil.pid_exists(var.read("run.json")["pids"]["server"])
    assert var.read("run.json")["gateway"] == "somewhere"
    while not await served.is_ready():
        await asyncio.sleep(0.02)


async def test_a_process_that_never_comes_up_ends_the_start_with_what_it_said(supervisor: Supervisor) -> None:
    with pytest.raises(StartError, match=r"(?s)broken does not start.*no such flag"):
        await supervisor.start(spec("broken", DIES))


async def test_stop_ends_later_stages_first_and_removes_what_it_published(var: Var) -> None:
    supervisor = Supervisor(var)
    await supervisor.start(spec("first"))
    await supervisor.start(spec("second"))
    supervisor.publish({})
    pids = supervisor.pids

    await supervisor.stop()

    assert list(pids) == ["first", "second"]
    assert not any(psutil.pid_exists(pid) for pid in pids.values())
    assert not (var / "run.json").exists()
    assert not (var / "processes.json").exists()


async def test_a_process_that_ignores_its_signal_is_killed(var: Var, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.local.supervisor.STOP_SECONDS", 0.5)
    supervisor = Supervisor(var)
    await supervisor.start(spec("deaf", "import signal; signal.signal(15, signal.SIG_IGN);" + SERVER))
    pid = supervisor.pids["deaf"]

    await supervisor.stop()

    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_no_process_outlives_a_killed_supervisor(var: Var) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from deploy.local.state import Var;"
        "from deploy.local.supervisor import Supervisor, Spec\n"
        "async def yes(): return True\n"
        "async def main():\n"
        "    s = Supervisor(Var(Path(sys.argv[1]))); e = {}\n"
        "    await s.start(Spec('sleep', ['sleep', '60'], e, yes)); s.publish({}); await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(var.folder)])
    while not (pid := var.read("run.json").get("pids", {}).get("sleep")):
        assert parent.poll() is None
        time.sleep(0.02)
    child = psutil.Process(pid)

    parent.kill()
    parent.wait()

    child.wait(WAIT_SECONDS)


def test_the_next_start_ends_what_is_left_of_the_last_one(var: Var) -> None:
    left = subprocess.Popen(["sleep", "60"])
    at = psutil.Process(left.pid).create_time()
    var.write(
        "processes.json", {"old": {"pid": left.pid, "at": at}, "gone": {"pid": left.pid, "at": at - 100}}
    )

    assert end_leftovers(var) == ["old"]
    assert left.poll() is not None


def test_a_folder_with_other_files_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(StartError, match="holds other files"):
        Var(tmp_path).open()


def test_files_are_for_their_owner_alone(var: Var) -> None:
    var.secrets()
    var.write("run.json", {})

    assert {oct((var / name).stat().st_mode & 0o777) for name in ("secrets", "run.json")} == {"0o600"}
    assert oct(var.folder.stat().st_mode & 0o777) == "0o700"


def test_secrets_are_made_once(var: Var) -> None:
    assert var.secrets() == var.secrets()
    assert len(set(var.secrets().values())) == len(var.secrets())


def test_only_one_run_holds_the_folder(var: Var) -> None:
    with var.locked() as ours:
        assert ours
        assert var.holder() == os.getpid()
        with var.locked() as another:
            assert not another
    assert var.holder() is None
