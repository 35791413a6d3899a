"""What there is afterwards, read from where it lies: log, tables, audit, Kafka, mail queue and mail server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from muster_contracts.envelope import Envelope
from muster_contracts.topics import ALL

from services.identity import log
from services.kit.persons import PersonKeys
from services.kit.postgres import connect
from services.kit.sealing import MasterKeys
from services.notifier import log as notifier_log
from tests.faults.ground import Ground
from tests.faults.mail_server import Delivery, Outage
from tests.support.plain_kafka import Read, _read

REST_SECONDS, READ_AT_MOST = 90.0, 5
Row = Mapping[str, Any]
Findings = Iterator[str]
"""What is wrong, one sentence each."""


@dataclass
class Evidence:
    log: list[Envelope]
    head: int
    heads: dict[str, int]
    claims: dict[str, str]
    users: dict[str, Row]
    roles: dict[str, str]
    """Built-in roles by id."""
    sessions: dict[str, str]
    with_password: set[str]
    kafka: dict[str, list[Read]]
    audit: list[Row]
    parked: list[Row]
    messages: list[Row]
    told: list[Row]
    """The notifier's own log."""
    kills: list[Row]
    deliveries: list[Delivery]
    told_events: list[Envelope] = field(default_factory=list)
    """The same, as it is published."""
    unrest: list[str] = field(default_factory=list)
    """What had not come to an end when the time was over."""
    outages: list[Outage] = field(default_factory=list)
    """When a notifier or PostgreSQL was away, so that an answer of the mail server may not have been written down."""
    asked: set[str] = field(default_factory=set)
    """Request ids of every history on this ground."""
    by_hand: set[str] = field(default_factory=set)
    """Request ids of what the tests themselves made, without asking over HTTP."""
    disordered: bool = False
    """Whether a test made the relay swap records on purpose: then Kafka's order proves nothing."""
    foreign: set[str] = field(default_factory=set)
    """Events on Kafka that a test put there itself."""

    def units(self) -> dict[str, list[Envelope]]:
        """By action: the events of one commit, in order."""
        found: dict[str, list[Envelope]] = {}
        for envelope in self.log:
            found.setdefault(envelope.action or "", []).append(envelope)
        return found


@asynccontextmanager
async def _open(ground: Ground, service: str) -> AsyncIterator[Any]:
    connection = await connect(ground.url(service, admin=True))
    try:
        yield connection
    finally:
        await connection.close()


async def gather(ground: Ground, seconds: float = REST_SECONDS) -> Evidence:
    """Wait until nothing is under way any more, and read everything; anew where something came meanwhile.

    Something does without being asked: a session kill whose receipt is missing is told again when its time comes.
    """
    for _ in range(READ_AT_MOST):
        unrest = await _until_at_rest(ground, seconds)
        before = await _heads(ground)
        evidence = await _read_everything(ground, unrest)
        if await _heads(ground) == before:
            return evidence
    raise AssertionError(f"something came each of the {READ_AT_MOST} times that everything was read")


async def _heads(ground: Ground) -> list[int]:
    found: list[int] = []
    for service in ("identity", "notifier"):
        async with _open(ground, service) as db:
            found.append(await db.fetchval("SELECT position FROM log_head"))
    return found


async def _read_everything(ground: Ground, unrest: list[str]) -> Evidence:
    async with (
        _open(ground, "identity") as identity,
        _open(ground, "audit") as audit,
        _open(ground, "notifier") as notifier,
    ):
        return Evidence(
            log=await _read_log(ground, identity),
            head=await identity.fetchval("SELECT position FROM log_head"),
            heads=dict(await identity.fetch("SELECT id, version FROM heads")),
            claims=dict(await identity.fetch("SELECT id, owner FROM claims WHERE id LIKE 'login:%'")),
            users={row["id"]: row for row in await identity.fetch("SELECT * FROM users")},
            roles=dict(await identity.fetch("SELECT id, builtin FROM roles")),
            sessions=dict(await identity.fetch('SELECT id, "user" FROM sessions')),
            with_password={row[0] for row in await identity.fetch('SELECT "user" FROM passwords')},
            kafka=await _read_kafka(ground.servers.bootstrap),
            audit=await audit.fetch(
                "SELECT org, seq, id, position, type, outcome, actor, target, occurred_at"
                " FROM records LEFT JOIN lookup USING (org, seq) ORDER BY org, seq"
            ),
            parked=[
                {"service": name, **dict(row)}
                for name, db in (("audit", audit), ("notifier", notifier))
                for row in await db.fetch("SELECT * FROM parked")
            ],
            messages=await notifier.fetch("SELECT * FROM messages"),
            told=await notifier.fetch("SELECT * FROM log ORDER BY position"),
            told_events=await _read_told(ground, notifier),
            kills=await notifier.fetch("SELECT * FROM kills"),
            deliveries=list(ground.mail.deliveries),
            unrest=unrest,
            asked=set[str]().union(*(history.requests() for history in ground.histories)),
            by_hand=ground.place.by_hand,
            outages=list(ground.mail.outages),
        )


async def _until_at_rest(ground: Ground, seconds: float) -> list[str]:
    deadline, unrest = time.monotonic() + seconds, ["nothing was asked"]
    while unrest and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        try:
            unrest = await _unrest(ground)
        except (OSError, asyncpg.PostgresError) as error:
            unrest = [f"a database cannot be asked: {type(error).__name__}"]
    return unrest


async def _unrest(ground: Ground) -> list[str]:
    """What is still under way, in words."""
    found = [  # one that was frozen has told where it stood before it stands by
        f"{name} is not ready"
        for name in ground.names
        if name.startswith("relay") and not await ground.is_ready(name)
    ]
    async with _open(ground, "identity") as db:
        head, cursor, overtaken = await db.fetchrow(
            "SELECT h.position, c.position, c.overtaken FROM log_head h, relay_cursor c"
        )
        if head != cursor:
            found.append(f"the relay is at {cursor} of {head}")
        if overtaken is not None:
            found.append(f"the relay has to write again what follows {overtaken}")
    async with _open(ground, "audit") as db:
        position = await db.fetchval("SELECT position FROM progress")
        records = await db.fetchval("SELECT count(*) FROM records WHERE position IS NULL")
        if position != head:
            found.append(f"audit is at {position} of {head}")
    async with _open(ground, "notifier") as db:
        found += [  # first: what is taken in meanwhile is seen below as not finished
            f"the notifier has not taken in {missing} causes of a {name}"
            for name in CAUSES
            if (missing := await _not_taken_in(ground, db, name))
        ]
        told, published, gaps, messages, kills = await db.fetchrow(
            "SELECT (SELECT position FROM log_head), (SELECT coalesce(max(position), 0) FROM relay_cursor),"
            " (SELECT count(*) FROM streams WHERE missing_to IS NOT NULL),"
            " (SELECT count(*) FROM messages WHERE finished_at IS NULL),"
            " (SELECT count(*) FROM kills WHERE ordered_at IS NULL)"
        )
        if told != published:
            found.append(f"the notifier's relay is at {published} of {told}")
        if records < told:
            found.append(f"audit has {records} of {told} events of the notifier")
        counts = {"streams have a gap": gaps, "mails are waiting": messages, "kills are not ordered": kills}
        found += [f"{count} {what}" for what, count in counts.items() if count]
    return found


CAUSES = {
    "message": (
        """
        SELECT id FROM events
        WHERE type IN ('invitation.sent', 'mfa.reset', 'password.reset_requested', 'password.reset_completed',
                       'user.email_changed')
           OR type = 'password.changed' AND open->>'kill' IS NOT NULL
        """,
        "SELECT event_id FROM messages",
    ),
    "kill": (
        "SELECT DISTINCT open->>'kill' FROM events WHERE open->>'kill' IS NOT NULL",
        "SELECT id FROM kills",
    ),
}


async def _not_taken_in(ground: Ground, notifier: Any, what: str) -> int:
    causes, taken = CAUSES[what]
    async with _open(ground, "identity") as identity:
        wanted = {row[0] for row in await identity.fetch(causes)}
    return len(wanted - {row[0] for row in await notifier.fetch(taken)})


async def _read_log(ground: Ground, connection: Any) -> list[Envelope]:
    found: list[Envelope] = []
    keys = ground.place.identity.keys
    while page := await log.read(connection, keys, found[-1].position or 0 if found else 0, 1000):
        found += page
    return found


async def _read_told(ground: Ground, connection: Any) -> list[Envelope]:
    rows = await connection.fetch("SELECT * FROM log ORDER BY position")
    keys = PersonKeys(MasterKeys.parse(ground.settings.keys.master.get_secret_value()))
    sealers = await keys.fetch(connection, {row["user"] for row in rows})
    return [notifier_log.envelope(row, sealers) for row in rows]


async def _read_kafka(bootstrap: str) -> dict[str, list[Read]]:
    """Every record of every topic, in the order of its partition."""
    consumer: Any = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    found: dict[str, list[Read]] = {topic.name: [] for topic in ALL}
    await consumer.start()
    try:
        await consumer._client.set_topics(list(found))
        places = [TopicPartition(topic.name, n) for topic in ALL for n in range(topic.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found[place.topic] += [_lenient(record) for record in records]
    finally:
        await consumer.stop()
    return found


def _lenient(record: Any) -> Read:
    """A record as text; poison that a test has put there need not be."""
    try:
        return _read(record)
    except (UnicodeDecodeError, AttributeError):
        return Read(record.topic, record.partition, record.offset, record.timestamp, "", None, {})
