"""A write to a connection that uvloop has closed is a broken connection, not the end of aiokafka's tasks."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from services.kit import broker


def test_a_write_to_a_closed_connection_says_that_it_is_broken() -> None:
    assert broker  # which mends it

    async def write(port: int) -> AIOKafkaConnection:
        connection: Any = AIOKafkaConnection("127.0.0.1", port)
        connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        connection._read_task = asyncio.ensure_future(asyncio.sleep(0))
        connection._versions = {MetadataRequest.API_KEY: (0, 5)}
        connection._writer.transport.abort()
        await asyncio.sleep(0.05)  # uvloop has no call that waits for it
        with pytest.raises(KafkaConnectionError, match="handler is closed"):
            connection.send(MetadataRequest([]))
        return connection

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not uvloop.run(write(listener.getsockname()[1])).connected()
