"""Prints who was deactivated, as it happens: `python subscriber.py 127.0.0.1:8804` (needs aiokafka)."""
# ruff: noqa: INP001, T201 - a script that prints
# pyright: basic

import asyncio
import sys

from aiokafka import AIOKafkaConsumer
from muster_contracts.errors import Undecodable
from muster_contracts.subscriber import Deduplicator, decode
from muster_contracts.topics import USERS


async def main(bootstrap: str) -> None:
    seen = Deduplicator()
    async with AIOKafkaConsumer(
        USERS.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest"
    ) as records:
        async for record in records:
            try:
                event = decode(record)
            except Undecodable as error:
                print(f"offset {record.offset} put aside: {error.reason}", file=sys.stderr)
                continue
            if event.type == "user.deactivated" and seen.first(event):
                print(f"{event.subject} was deactivated by {event.stamp().actor.name}", flush=True)


asyncio.run(main(sys.argv[1]))
