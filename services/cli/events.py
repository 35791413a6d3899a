"""`muster events tail`: events as Kafka carries them, as they come."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from muster_contracts.attributes import ATTRIBUTES
from muster_contracts.envelope import Envelope, from_record
from muster_contracts.errors import Undecodable
from muster_contracts.topics import ALL, DIRECTORY

from services.kit.settings import load

app = typer.Typer(help="The events that Muster publishes.", no_args_is_help=True)

TRY_AGAIN = 3
TOPICS = tuple(topic.name for topic in ALL if topic is not DIRECTORY)
_NAMES = {attribute.field: attribute.header.removeprefix("ce_") for attribute in ATTRIBUTES}

Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type", help="Only this type, or all of a kind: user.deactivated, session. May be repeated."
    ),
]
User = Annotated[str, typer.Option("--user", help="Only events about or by the user of this id.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line: CloudEvents, structured.")]
Beginning = Annotated[bool, typer.Option("--from-beginning", help="First all that Kafka still keeps.")]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are wanted; an empty field wants all."""

    types: tuple[str, ...] = ()
    user: str = ""

    def wants(self, event: Envelope) -> bool:
        return self._wants_type(event.type) and (not self.user or self.user in _users(event))

    def _wants_type(self, type_: str) -> bool:
        return not self.types or any(type_ == t or type_.startswith(f"{t.rstrip('.')}.") for t in self.types)


@app.command()
def tail(
    types: Types = None, user: User = "", *, as_json: Json = False, from_beginning: Beginning = False
) -> None:
    """Print events as they are published, until Ctrl-C. They hold personal data."""
    wanted = Filter(tuple(types or ()), user)
    bootstrap = load().kafka.bootstrap
    try:
        asyncio.run(_tail(bootstrap, wanted, as_json=as_json, from_beginning=from_beginning))
    except KafkaError as error:
        typer.echo(f"Kafka at {bootstrap or '(not set)'} does not answer: {type(error).__name__}", err=True)
        raise typer.Exit(TRY_AGAIN) from None
    except KeyboardInterrupt:
        raise typer.Exit from None
    except BrokenPipeError:  # `muster events tail | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


async def _tail(bootstrap: str, wanted: Filter, *, as_json: bool, from_beginning: bool) -> None:
    show = structured if as_json else line
    async with _consumer(bootstrap, from_beginning=from_beginning) as records:
        typer.echo(f"Reading from {bootstrap}; Ctrl-C ends.", err=True)
        async for record in records:
            try:
                event = from_record(record.topic, record.key, record.value, record.headers)
            except Undecodable as error:
                place = f"{record.topic}, partition {record.partition}, offset {record.offset}"
                typer.echo(f"{place} is no event: {error.reason}", err=True)
                continue
            if wanted.wants(event):
                sys.stdout.write(show(event) + "\n")
                sys.stdout.flush()


@asynccontextmanager
async def _consumer(bootstrap: str, *, from_beginning: bool) -> AsyncIterator[Any]:
    """A consumer of all event topics in no group, whose place in each partition is fixed when the block begins."""
    consumer: Any = AIOKafkaConsumer(
        *TOPICS, bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        missing = [topic for topic in TOPICS if not consumer.partitions_for_topic(topic)]
        if missing:
            typer.echo(f"Kafka has no topic {missing[0]}: run `muster migrate`", err=True)
            raise typer.Exit(TRY_AGAIN)
        if not from_beginning:
            await consumer.seek_to_end()
            for partition in consumer.assignment():
                await consumer.position(partition)
        yield consumer
    finally:
        await consumer.stop()


def line(event: Envelope) -> str:
    """One line for a reader: when, what, in which stream, by whom."""
    actor = event.stamp().actor
    who = actor.name or actor.id or actor.type
    time = event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _printable(f"{time}  {event.type:<28} {event.subject} #{event.sequence}  by {who}")


def structured(event: Envelope) -> str:
    """The event in the JSON format of CloudEvents."""
    attributes = {name: getattr(event, field) for field, name in _NAMES.items()}
    attributes["time"] = event.time.isoformat().replace("+00:00", "Z")
    recorded = event.recorded_time
    attributes["recordedtime"] = recorded and recorded.isoformat().replace("+00:00", "Z")
    known = {name: value for name, value in attributes.items() if value is not None}
    known |= {
        "specversion": "1.0",
        "type": f"muster.{event.type}",
        "dataschema": f"urn:muster:schema:{event.type}:{event.version}",
    }
    return json.dumps(
        {**known, "datacontenttype": "application/json", "data": event.data}, ensure_ascii=False
    )


def _users(event: Envelope) -> set[object]:
    data = event.data
    return {event.subject, event.partition_key, data.get("user"), data.get("target"), event.auth_id}


def _printable(text: str) -> str:
    """Without control characters, which a name may hold and a terminal would obey."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
