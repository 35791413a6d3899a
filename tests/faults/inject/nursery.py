"""A nursery of Muster's processes: it imports them once and forks one for each order, in milliseconds.

`python -m tests.faults.inject.nursery` reads orders (JSON lines) on its standard input and tells on its standard
output who began and who ended. What a child is to do wrong is put in here, between the fork and its `main`:
the product knows nothing of it.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import traceback
from typing import Any

from deploy.local.children import die_with_parent
from tests.faults.inject import gateways, members, mistakes, points, tuning

MODULES = {
    "identity": "services.identity.app",
    "relay": "services.identity.relay",
    "audit": "services.audit.app",
    "notifier": "services.notifier.app",
    "gateway": "services.gateway.app",
}
POLL_SECONDS = 0.02


def main() -> None:
    for module in MODULES.values():
        importlib.import_module(module)
    tell({"ready": os.getpid()})
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if readable:
            data = os.read(0, 65_536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                begin(json.loads(line))
        tell_who_ended()


def begin(order: dict[str, Any]) -> None:
    pid = os.fork()
    if pid:
        tell({"began": order["name"], "pid": pid})
        return
    try:
        run(order)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:  # noqa: BLE001 (a child must never come back into the nursery's loop)
        traceback.print_exc()
        os._exit(70)
    os._exit(0)


def run(order: dict[str, Any]) -> None:
    """What the child is: one process of Muster with its own settings and log, and its faults."""
    os.setsid()
    if ask := die_with_parent(signal.SIGKILL):
        ask()
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    for target, source in ((0, null), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(order["environment"])
    service = order["name"].partition("-")[0]
    tuning.apply()
    points.apply(order["name"], order["folder"])
    gateways.apply(order["name"])
    members.apply(order["name"], order["folder"])
    if order["mistake"]:
        mistakes.apply(order["mistake"], order["name"], order["folder"])
    importlib.import_module(MODULES[service]).main()


def tell_who_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def tell(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
