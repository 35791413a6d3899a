"""Free ports, and who holds a taken one."""

from __future__ import annotations

import contextlib
import os
import socket
import time

import psutil

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 32_700
"""Below 32768: above, the system gives ports to outgoing connections."""


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; a different place to look at each call keeps parallel runs apart."""
    start = FIRST + (os.getpid() * 37 + time.monotonic_ns() // 1000) % 10_000
    found: list[int] = []
    for port in range(start, LAST):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"there are no {count} free ports from {start} to {LAST}")


def holder(port: int) -> str:
    """Name the program that listens there, as far as this user may see it."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "another program"
