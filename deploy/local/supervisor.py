"""Start processes, watch them, start again what dies, and stop all in reverse order.

A process counts as up when its own check answers. One that dies is started again at once, then after a pause
that doubles up to 10 s; a life of 10 s clears the count. On Linux the children are told by the kernel when
this process is gone, however it went; elsewhere the next start ends what `var/processes.json` names.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from deploy.local.children import die_with_parent
from deploy.local.state import STOP_SECONDS, Started, StartError, Var

FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS = 0.1, 10.0, 10.0
START_SECONDS = 90.0
DEATHS = 3
"""A process that dies this often before it was ever ready ends the start."""
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Spec:
    """How to run one process."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], Awaitable[bool]]
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    spec: Spec
    process: asyncio.subprocess.Process | None = None
    deaths: int = 0
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Keeps the processes of one run; every change of a pid is written before anything else happens."""

    def __init__(self, var: Var) -> None:
        self._var = var
        self._stages: list[list[Child]] = []
        self._stopping = False
        self.published: dict[str, Any] | None = None
        """What `run.json` holds besides `pids`; nothing is written before it is set."""

    async def start(self, *specs: Spec) -> None:
        """Start these together and wait until all are ready; they are one stage of the stop.

        Raises:
            StartError: one of them does not come up; the text ends with what it wrote last.
        """
        stage = [Child(spec) for spec in specs]
        self._stages.append(stage)
        for child in stage:
            child.task = asyncio.create_task(self._keep(child))
        await asyncio.gather(*(self._until_ready(child) for child in stage))

    async def stop(self) -> None:
        """Stop the stages in reverse order, each process with its own signal, after 15 s with SIGKILL."""
        self._stopping = True
        for stage in reversed(self._stages):
            await asyncio.gather(*(self._end(child) for child in stage))
        self._var.remove("run.json")
        self._var.remove("processes.json")

    def publish(self, values: dict[str, Any]) -> None:
        self.published = values
        self._record()

    @property
    def pids(self) -> dict[str, int]:
        return {c.spec.name: c.process.pid for c in self._children() if c.process is not None}

    async def _keep(self, child: Child) -> None:
        pause = FIRST_PAUSE
        while not self._stopping:
            born = time.monotonic()
            child.process = await self._spawn(child.spec)
            self._record()
            code = await child.process.wait()
            if self._stopping:
                return
            child.deaths += 1
            pause = FIRST_PAUSE if time.monotonic() - born > STEADY_SECONDS else pause
            self._note(child.spec.name, f"ended with {code}, starting again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _spawn(self, spec: Spec) -> asyncio.subprocess.Process:
        with self.log(spec.name) as log:
            return await asyncio.create_subprocess_exec(
                *spec.command,
                env=dict(spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us alone, we stop them in order
                preexec_fn=die_with_parent(spec.stop_signal),
            )

    async def _until_ready(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await child.spec.is_ready():
            if child.deaths >= DEATHS or time.monotonic() > deadline:
                raise StartError(self._why(child.spec.name))
            await asyncio.sleep(POLL_SECONDS)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is not None and process.returncode is None:
            process.send_signal(child.spec.stop_signal)
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()
        if child.task is not None:
            child.task.cancel()
            await asyncio.gather(child.task, return_exceptions=True)

    def _record(self) -> None:
        started = {name: Started.of(pid) for name, pid in self.pids.items()}
        self._var.write("processes.json", {name: asdict(s) for name, s in started.items() if s is not None})
        if self.published is not None and not self._stopping:
            self._var.write("run.json", self.published | {"pids": self.pids})

    def log(self, name: str) -> IO[bytes]:
        return (self._var / "log" / f"{name}.log").open("ab")

    def _note(self, name: str, text: str) -> None:
        with self.log("supervisor") as log:
            log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {name} {text}\n".encode())

    def _why(self, name: str) -> str:
        path = self._var / "log" / f"{name}.log"
        tail = path.read_text("utf-8", "replace").splitlines()[-12:]
        return "\n".join([f"{name} does not start; {path} ends with:", *(line[:400] for line in tail)])

    def _children(self) -> list[Child]:
        return [child for stage in self._stages for child in stage]


async def http_ready(port: int, path: str = "/ready") -> bool:
    """Whether a process of ours answers 200 there within 3 s."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
            )
            return b" 200 " in await reader.readline()
    except (OSError, TimeoutError, ValueError):
        return False
    finally:
        if writer is not None:
            writer.close()
