"""Reads that are asked together: one statement for all that wait, and none older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from services.kit.postgres import Connection, Pool, open_pool
from services.kit.together import Together


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with open_pool(database, size=2) as pool:
        await pool.execute("CREATE TABLE texts (id int PRIMARY KEY, text text NOT NULL)")
        await pool.execute("INSERT INTO texts SELECT n, 'text ' || n FROM generate_series(1, 50) n")
        yield pool


class Texts:
    """Notes each statement's keys."""

    def __init__(self) -> None:
        self.asked: list[Sequence[int]] = []

    async def __call__(self, connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        self.asked.append(ids)
        rows = await connection.fetch("SELECT id, text FROM texts WHERE id = ANY($1::int[])", ids)
        return {row["id"]: row["text"] for row in rows}


async def test_questions_that_wait_share_a_statement(pool: Pool):
    texts = Texts()
    together = Together(pool, texts)

    answers = await asyncio.gather(*(together(n) for n in range(1, 51)))

    assert answers == [f"text {n}" for n in range(1, 51)]
    assert len(texts.asked) <= 2


async def test_what_is_not_there_is_none(pool: Pool):
    assert await Together(pool, Texts())(99) is None


async def test_a_question_is_answered_by_a_statement_that_began_after_it(pool: Pool):
    began, go_on = asyncio.Event(), asyncio.Event()
    texts = Texts()

    async def slow(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        found = await texts(connection, ids)
        began.set()
        await go_on.wait()
        return found

    together = Together(pool, slow)
    first = asyncio.create_task(together(1))
    await began.wait()
    await pool.execute("UPDATE texts SET text = 'new' WHERE id = 1")
    second = asyncio.create_task(together(1))
    go_on.set()

    assert await first == "text 1"
    assert await second == "new"


async def test_an_error_reaches_all_who_asked_and_the_next_question_is_asked_again(pool: Pool):
    texts = Texts()

    async def refuse_two(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
        if 2 in ids:
            raise OSError("away")
        return await texts(connection, ids)

    together = Together(pool, refuse_two)
    failed = await asyncio.gather(together(1), together(2), return_exceptions=True)

    assert [type(error) for error in failed] == [OSError, OSError]
    assert await together(1) == "text 1"


async def test_who_is_cancelled_takes_nobody_along(pool: Pool):
    together = Together(pool, Texts())
    leaving, staying = asyncio.create_task(together(1)), asyncio.create_task(together(2))
    await asyncio.sleep(0)
    leaving.cancel()

    assert await staying == "text 2"
