"""One mend of aiokafka, in force wherever `kit.broker` is imported.

It takes a write to a broken connection for an `OSError`. uvloop says RuntimeError where it has closed the connection
already, which a broker that is killed brings about now and then. That ends aiokafka's task that renews the metadata,
and whoever waits for metadata then waits forever: a consumer that reads nothing any more and says nothing.
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send: Any = vars(AIOKafkaConnection)["send"]


def _send_or_break(self: Any, request: Any, expect_response: bool = True) -> Any:
    try:
        return _send(self, request, expect_response)
    except RuntimeError as error:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken: {error}") from error


def mend() -> None:
    """Let a write to a closed connection be what it is: a broken connection."""
    AIOKafkaConnection.send = _send_or_break
