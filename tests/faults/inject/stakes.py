"""What is at stake where a process is made to die: asked with what a method brought and what it was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from services.audit import recorder
from services.identity.relay import IdentityLog, _user
from services.identity.store import Store, _Batch
from services.kit.broker import Publisher
from services.kit.consumer import Consumer
from services.kit.relay import Cursor
from services.notifier.intake import Intake
from services.notifier.kills import Kills
from services.notifier.log import Log
from services.notifier.outbox import Outbox

Owner = type | ModuleType
NEWS = ContextVar("news", default=False)
"""Whether something new was written since the outermost of `WORKS` began in this task: repeats write nothing."""
WORKS: dict[str, tuple[tuple[Owner, str], ...]] = {
    "audit": ((Consumer, "process"),),
    "notifier": ((Consumer, "process"), (Kills, "_write_order")),
}
NEWS_FROM: dict[str, tuple[tuple[Owner, str, Callable[..., Any]], ...]] = {
    "audit": ((recorder, "_store", lambda *_: True),),
    "notifier": (
        (Intake, "_never_seen", lambda new, *_: new),
        (Log, "append", lambda _, _log, _db, entries: entries),
    ),
}


def always(*_: Any) -> bool:
    return True


def something(result: Any, *_: Any) -> bool:
    return bool(result)


def news(*_: Any) -> bool:
    return NEWS.get()


def news_from_kafka(_: None, _consumer: Consumer, records: Sequence[Any]) -> bool:
    return NEWS.get() and records[0].partition is not None


def events(_: Any, batch: _Batch, *_project: Any) -> bool:
    return any(unit.facts for unit in batch._surviving())


def claims(_: Any, batch: _Batch) -> bool:
    return any(unit.claims for unit in batch._surviving())


def committed(outcomes: Sequence[Any], _: Store, units: Sequence[Any]) -> bool:
    return any(isinstance(o, int) and unit.facts for o, unit in zip(outcomes, units, strict=True))


def done(done: Any, *_: Any) -> bool:
    return done.position is not None and bool(done.facts)


def records(_: None, _publisher: Publisher, records: Sequence[Any]) -> bool:
    return bool(records)


def users(_: None, _log: IdentityLog, _db: Any, page: Sequence[Any]) -> bool:
    return any(_user(record) for _, record in page)


def forward(_: None, cursor: Cursor, _db: Any, position: int) -> bool:
    return position > cursor.position


def moved(_: None, _cursor: Cursor, _db: Any, position: int) -> bool:
    return position > 0


def sent(is_mine: bool | None, _: Outbox, _message: Any, outcome: Any) -> bool:
    return is_mine is not False and outcome.state == "sent"


def unordered(_: None, _kills: Kills, row: Any, _sessions: Any) -> bool:
    return row["ordered_at"] is None


def watch(service: str) -> None:
    """Have this process note what is new."""
    for owner, method, brought in NEWS_FROM.get(service, ()):
        _tell_news(owner, method, brought)
    for owner, method in WORKS.get(service, ()):
        _begin_without_news(owner, method)


def _tell_news(owner: Owner, method: str, brought: Callable[..., Any]) -> None:
    original = getattr(owner, method)

    async def telling(*args: Any) -> Any:
        result = await original(*args)
        if brought(result, *args):
            NEWS.set(True)
        return result

    setattr(owner, method, telling)


def _begin_without_news(owner: Owner, method: str) -> None:
    original = getattr(owner, method)

    async def beginning(*args: Any) -> Any:
        NEWS.set(False)
        return await original(*args)

    setattr(owner, method, beginning)
