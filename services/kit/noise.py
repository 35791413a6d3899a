"""Random bytes of the system, drawn many at a time: a system call for each id and nonce costs more than the rest
of making it. Keys and tokens ask the system itself.
"""

from __future__ import annotations

import os

SIZE = 12
_AT_ONCE = 256
_pieces: list[bytes] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pieces.clear)  # else two processes would hand out the same


def noise() -> bytes:
    """Twelve bytes that nobody else gets; from any thread, for taking from a list is one step."""
    while True:
        try:
            return _pieces.pop()
        except IndexError:
            drawn = os.urandom(SIZE * _AT_ONCE)
            _pieces.extend(drawn[at : at + SIZE] for at in range(0, len(drawn), SIZE))
