"""What a reader of Kafka tells of itself: which partitions are its own, and which batches were refused to it.

The product has no need to tell either. A process that is frozen leaves what it told last.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.kit.consumer import Consumer


def apply(process: str, folder: str) -> None:
    """Have a consumer of this process write `partitions/<process>` each second, and a line for each refusal."""
    _tell_partitions(Path(folder) / "partitions" / process)
    _tell_refusals(Path(folder) / "refused" / process)


def _tell_partitions(path: Path) -> None:
    tell = Consumer._tell_offsets

    async def telling(self: Consumer) -> None:
        if self._consumer is not None:
            places = [(place.topic, place.partition) for place in self._consumer.assignment()]
            unread = path.with_name(f".{path.name}")
            unread.write_text(json.dumps(places), "utf-8")
            unread.rename(path)
        await tell(self)

    Consumer._tell_offsets = telling


def _tell_refusals(path: Path) -> None:
    process = Consumer.process

    async def telling(self: Consumer, records: Sequence[Any]) -> None:
        try:
            await process(self, records)
        except Exception as error:
            with path.open("a", encoding="utf-8") as refused:
                refused.write(f"{type(error).__name__}\n")
            raise

    Consumer.process = telling
