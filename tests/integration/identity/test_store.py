"""The log's writer on a real database: units are all or nothing, and one that fails fails alone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import asyncpg
import pytest
from muster_contracts.events import Change
from muster_contracts.sessions import SessionStarted
from muster_contracts.users import UserPhoneChanged, UserRenamed

from services.identity.bootstrap import Identity, open_identity, prepare
from services.identity.organizations.creation import NewOrganization, create, operator
from services.identity.projections import project
from services.identity.run import Draft, Origin
from services.identity.store import Answer, Claim, Conflict, Fact, Store, Unit, Write
from services.kit.errors import MusterError, Unavailable
from services.kit.ids import new_id
from services.kit.postgres import Connection, Database, connect
from tests.support.identity import settings_for
from tests.support.servers import PostgresServer


@dataclass
class Log:
    """A store on its own database, with one organization and its Owner in it."""

    url: str
    admin_url: str
    identity: Identity
    org: str
    owner: str

    @property
    def store(self) -> Store:
        return self.identity.store

    async def sql(self, statement: str, *args: Any) -> Any:
        async with self.identity.pool.acquire() as connection:
            return await connection.fetchval(statement, *args)

    def unit(self, **parts: Any) -> Unit:
        return Unit(org=self.org, **parts)

    async def head(self, id_: str) -> int:
        return await self.sql("SELECT version FROM heads WHERE id = $1", id_) or 0

    async def rename(self, name: str, *, identity: Identity | None = None) -> int | None:
        """The Owner gets another name, by a decision that relies on nothing else."""

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            version = await connection.fetchval("SELECT version FROM heads WHERE id = $1", self.owner)
            event = UserRenamed(user=self.owner, name=Change(old=None, new=name))
            return await self.origin(connection), Draft([event], reads={self.owner: version})

        return (await (identity or self.identity).runner.run(decide)).position

    async def origin(self, connection: Database) -> Origin:
        now = await connection.fetchval("SELECT now()")
        return Origin(self.org, operator("root"), now, new_id("req"))


@asynccontextmanager
async def open_log(postgres: PostgresServer) -> AsyncIterator[Log]:
    name = postgres.create_migrated_database("identity")
    url = postgres.url(name, "identity")
    try:
        async with open_identity(settings_for(url)) as identity:
            await prepare(identity)
            asked = NewOrganization(slug="acme", name="Acme", owner_email="o@acme.example", owner_name="Olga")
            made = await create(identity.runner, asked, operator("root"))
            yield Log(url, postgres.url(name), identity, made.organization, made.owner)
    finally:
        postgres.drop_database(name)


@pytest.fixture
async def log(postgres_server: PostgresServer) -> AsyncIterator[Log]:
    async with open_log(postgres_server) as log:
        yield log


async def together(store: Store, *units: Unit) -> list[Any]:
    """Outcomes of units that the writer takes into one batch."""
    return await asyncio.gather(*(store.commit(unit) for unit in units), return_exceptions=True)


async def test_a_unit_without_events_is_answered_with_the_head_of_the_log(log: Log):
    head = await log.sql("SELECT position FROM log_head")
    assert await log.store.commit(log.unit(claims=(Claim("slug:x", "a"),))) == head
    assert await log.sql("SELECT position FROM log_head") == head


async def test_of_units_of_one_batch_that_want_the_same_claim_one_gets_it(log: Log):
    outcomes = await together(
        log.store, *(log.unit(claims=(Claim("slug:one", f"owner{n}"),)) for n in range(5))
    )
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    conflicts = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    assert [conflict.heads for conflict in conflicts] == [frozenset({"slug:one"})] * 4
    assert await log.sql("SELECT owner FROM claims WHERE id = 'slug:one'") == "owner0"


async def test_a_unit_that_misses_a_claim_gives_back_its_other_claims_and_its_new_heads(log: Log):
    await log.store.commit(log.unit(claims=(Claim("slug:taken", "first"),)))
    unit = log.unit(
        claims=(Claim("slug:a", "me"), Claim("slug:taken", "me"), Claim("slug:z", "me")),
        reads={"owners:new": 0, "access:new": 0},
        touches=frozenset({"owners:new", "access:new"}),
    )
    with pytest.raises(Conflict) as conflict:
        await log.store.commit(unit)
    assert conflict.value.heads == {"slug:taken"}
    assert await log.sql("SELECT count(*) FROM claims WHERE owner = 'me'") == 0
    assert await log.sql("SELECT count(*) FROM heads WHERE id LIKE '%:new'") == 0
    free = replace(unit, claims=(Claim("slug:a", "me"), Claim("slug:z", "me")))
    assert isinstance(await log.store.commit(free), int)
    assert await log.head("owners:new") == 1


async def test_released_claims_are_free_for_the_next_batch_and_not_for_the_same(log: Log):
    await log.store.commit(log.unit(claims=(Claim("slug:old", "first"),)))
    release = log.unit(releases=("slug:old",), claims=(Claim("slug:new", "first"),))
    take = log.unit(claims=(Claim("slug:old", "second"),))
    released, taken = await together(log.store, release, take)
    assert isinstance(released, int)
    assert isinstance(taken, Conflict)
    assert isinstance(await log.store.commit(take), int)


async def test_a_conflict_fails_its_unit_alone(log: Log):
    def touch(guard: str, version: int) -> Unit:
        return log.unit(reads={guard: version}, touches=frozenset({guard}))

    await together(log.store, *(touch(f"g:{n}", 0) for n in range(4)))
    outcomes = await together(log.store, touch("g:0", 1), touch("g:1", 7), touch("g:2", 1), touch("g:3", 0))
    assert [isinstance(outcome, int) for outcome in outcomes] == [True, False, True, False]
    assert [outcome.heads for outcome in outcomes if isinstance(outcome, Conflict)] == [{"g:1"}, {"g:3"}]
    assert [await log.head(f"g:{n}") for n in range(4)] == [2, 1, 2, 1]


async def test_a_head_that_is_read_must_not_be_moved_by_an_earlier_unit_of_the_batch(log: Log):
    await log.store.commit(log.unit(reads={"g:0": 0}, touches=frozenset({"g:0"})))
    mover = log.unit(reads={"g:0": 1}, touches=frozenset({"g:0"}))
    reader = log.unit(reads={"g:0": 1}, claims=(Claim("slug:reader", "me"),))
    outcomes = await together(log.store, reader, mover, reader)
    assert [isinstance(outcome, int) for outcome in outcomes] == [True, True, False]


async def test_units_that_only_read_a_head_do_not_disturb_each_other(log: Log):
    readers = [log.unit(reads={log.owner: await log.head(log.owner)}) for _ in range(5)]
    assert all(isinstance(outcome, int) for outcome in await together(log.store, *readers))


@dataclass(frozen=True, slots=True)
class Fails(Write):
    """A write that the database refuses."""

    sql: ClassVar[str] = "INSERT INTO passwords VALUES ($1, $1), ($1, $1)"
    user: str


@dataclass(frozen=True, slots=True)
class CannotBeSent(Write):
    """A write that does not even get to the database."""

    sql: ClassVar[str] = "SELECT $1::int"
    number: Any


@pytest.mark.parametrize(
    ("write", "error"), [(Fails("x"), asyncpg.UniqueViolationError), (CannotBeSent("x"), asyncpg.DataError)]
)
async def test_a_unit_that_breaks_the_batch_is_found_by_trying_each_alone(
    log: Log, write: Write, error: type[Exception]
):
    units = [log.unit(claims=(Claim(f"slug:{n}", "me"),)) for n in range(5)]
    units[2] = replace(units[2], writes=(write,))
    outcomes = await together(log.store, *units)
    assert [isinstance(outcome, int) for outcome in outcomes] == [True, True, False, True, True]
    assert isinstance(outcomes[2], error)
    assert await log.sql("SELECT count(*) FROM claims WHERE owner = 'me'") == 4


async def test_a_cancelled_caller_does_not_kill_the_writer(log: Log):
    tasks = [asyncio.create_task(log.rename(f"Olga {n}")) for n in range(8)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, int) for outcome in outcomes[1::2])
    waiting = asyncio.create_task(log.store.commit(log.unit(claims=(Claim("slug:gone", "me"),))))
    await asyncio.sleep(0)
    waiting.cancel()
    assert isinstance(await log.rename("Olga at last"), int)
    assert log.store.alive
    assert await log.sql("SELECT name FROM users WHERE id = $1", log.owner) == "Olga at last"


async def test_a_unit_of_a_caller_who_left_while_it_waited_is_not_written(log: Log):
    lock = await connect(log.admin_url)
    transaction = lock.transaction()
    await transaction.start()
    await lock.execute("LOCK TABLE log_head")
    first = asyncio.create_task(log.store.commit(log.unit(claims=(Claim("slug:1", "me"),))))
    await until_blocked(log)
    second = asyncio.create_task(log.store.commit(log.unit(claims=(Claim("slug:2", "me"),))))
    await asyncio.sleep(0)
    second.cancel()
    await transaction.rollback()
    await lock.close()
    assert isinstance(await first, int)
    assert isinstance(await log.store.commit(log.unit()), int)
    assert await log.sql("SELECT array_agg(id) FROM claims WHERE owner = 'me'") == ["slug:1"]


async def until_blocked(log: Log) -> None:
    async with asyncio.timeout(5):
        while not await log.sql("SELECT count(*) FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.01)


async def test_a_lost_connection_is_told_as_unavailable_and_the_next_unit_goes_through(log: Log):
    await log.rename("before")
    async with log.identity.pool.acquire() as connection:
        own = await connection.fetchval("SELECT pg_backend_pid()")
    admin = await connect(log.admin_url)
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'identity' AND pid <> $1",
        own,
    )
    await admin.close()
    outcome = (await together(log.store, log.unit()))[0]
    assert isinstance(outcome, int | Unavailable)
    assert isinstance(await log.store.commit(log.unit()), int)


async def test_when_the_process_stops_nobody_waits_for_ever(log: Log):
    async with Store(log.url, project) as store:
        waiting = [asyncio.create_task(store.commit(log.unit())) for _ in range(300)]
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(o) for o in outcomes} <= {int, Unavailable, asyncio.CancelledError}


async def test_an_answer_gets_the_position_of_its_own_unit(log: Log):
    now = await log.sql("SELECT now()")

    async def renamed(n: int) -> int | None:
        answer = Answer(f"once:{n}", b"r", 200, b"b", now)

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            version = await connection.fetchval("SELECT version FROM heads WHERE id = $1", log.owner)
            events = [
                UserRenamed(user=log.owner, name=Change(old=None, new=f"{n}.{k}")) for k in range(n + 1)
            ]
            return await log.origin(connection), Draft(events, reads={log.owner: version})

        return (await log.identity.runner.run(decide, answer=lambda _d, _f: answer)).position

    positions = await asyncio.gather(*(renamed(n) for n in range(6)))
    for n, position in enumerate(positions):
        assert await log.sql("SELECT position FROM answers WHERE claim = $1", f"once:{n}") == position
        open_ = await log.sql(
            "SELECT version FROM events WHERE position = $1 AND stream = $2", position, log.owner
        )
        assert open_ is not None
    assert await log.sql("SELECT count(DISTINCT position) FROM answers") == 6


async def test_projections_run_inside_the_commit_and_fail_their_unit_with_it(log: Log):
    async def fails(_: Connection, facts: Sequence[tuple[str, Fact]]) -> None:
        if any(isinstance(fact.event, UserRenamed) and fact.event.name.new == "bad" for _, fact in facts):
            raise LookupError("no such thing")

    async with Store(log.url, fails) as store:
        version = await log.head(log.owner)
        log.identity.runner._store = store
        outcomes = await asyncio.gather(log.rename("good"), log.rename("bad"), return_exceptions=True)
    assert isinstance(outcomes[1], LookupError)
    assert isinstance(outcomes[0], int)
    assert await log.head(log.owner) == version + 1


async def test_two_processes_that_change_one_row_from_different_streams_lose_nothing(log: Log):
    """A rename moves the stream of the person, a sign-in that of the session: they share no head."""
    settings = settings_for(log.url, KEYS__MASTER=master_of(log))
    async with open_identity(settings) as other:

        async def sign_in() -> None:
            session = new_id("ses")

            async def decide(connection: Database) -> tuple[Origin, Draft]:
                origin = await log.origin(connection)
                started = SessionStarted(user=log.owner, session=session, amr=("pwd",), expires_at=origin.now)
                return origin, Draft([started])

            await other.runner.run(decide)

        for n in range(60):
            await asyncio.gather(log.rename(f"Olga {n}"), sign_in())
            row = await log.sql("SELECT to_jsonb(u) FROM users u WHERE id = $1", log.owner)
            last = await log.sql("SELECT max(occurred_at) FROM events WHERE type = 'session.started'")
            assert row["name"] == f"Olga {n}"
            assert row["version"] == await log.head(log.owner)
            assert await log.sql("SELECT last_sign_in_at FROM users WHERE id = $1", log.owner) == last


def master_of(log: Log) -> str:
    keys = log.identity.keys._master.keys
    return ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in keys.items())


async def test_a_right_that_goes_while_a_command_is_under_way_takes_the_command_with_it(log: Log):
    """The actor's own guard may be read again by the decision: the version that the right rested on counts."""
    await log.store.commit(log.unit(reads={"g:me": 0}, touches=frozenset({"g:me"})))
    tries = 0

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        nonlocal tries
        tries += 1
        right = await log.head("g:me")
        if tries == 1:
            await log.store.commit(log.unit(reads={"g:me": right}, touches=frozenset({"g:me"})))
        version = await connection.fetchval("SELECT version FROM heads WHERE id = $1", log.owner)
        phone = UserPhoneChanged(user=log.owner, phone=Change(old=None, new="+49301"))
        reads = {log.owner: version, "g:me": await log.head("g:me")}
        return replace(await log.origin(connection), reads={"g:me": right}), Draft([phone], reads=reads)

    await log.identity.runner.run(decide)
    assert tries == 2


async def test_what_never_gets_through_is_given_up_after_two_seconds(log: Log):
    async def decide(connection: Database) -> tuple[Origin, Draft]:
        return await log.origin(connection), Draft(reads={log.owner: 99})

    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(MusterError) as error:
        await log.identity.runner.run(decide)
    assert error.value.code == "busy"
    assert error.value.retry_after == 1
    assert 1.9 < loop.time() - before < 4


async def test_who_had_to_decide_again_is_not_overtaken_by_those_who_come_later(log: Log):
    """Else somebody who does one thing after another holds off the deactivation that ends it."""
    tries, stop = 0, False

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        version = await log.head("g:hot")
        return await log.origin(connection), Draft(reads={"g:hot": version}, touches=frozenset({"g:hot"}))

    async def decide_slowly(connection: Database) -> tuple[Origin, Draft]:
        nonlocal tries
        tries += 1
        decided, before = await decide(connection), await log.head("g:hot")
        with contextlib.suppress(TimeoutError):  # it takes so long that others get through, if they may
            async with asyncio.timeout(0.2):
                while await log.head("g:hot") < before + 3:
                    await asyncio.sleep(0.001)
        return decided

    async def hammer() -> None:
        while not stop:
            await log.identity.runner.run(decide)

    await log.store.commit(log.unit(reads={"g:hot": 0}, touches=frozenset({"g:hot"})))
    hammers = [asyncio.create_task(hammer()) for _ in range(4)]
    await log.identity.runner.run(decide_slowly)
    stop = True
    await asyncio.gather(*hammers)
    assert tries <= 3, "one may have been under way already"
