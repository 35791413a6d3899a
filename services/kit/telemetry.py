"""Structured logs: one JSON object a line on standard error, from our code and from the libraries alike.

A log line holds ids and codes. It never holds a secret or a person's data: what is logged is named field by
field, and fields whose names say that they are personal or secret are dropped on the way out.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from typing import Any, cast

import structlog

MOST_CAUSES, MOST_FRAMES = 5, 20
_NEVER = frozenset(
    {"email", "login", "name", "password", "token", "authorization", "ip", "user_agent", "phone", "username",
     "reason", "code", "secret", "body", "cookie"}
)  # fmt: skip


def _drop_personal(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for field in _NEVER & event.keys():
        del event[field]
    return event


def _tell_exception(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Say an exception by types and places: the texts of drivers quote the values that they choked on."""
    given: Any = event.pop("exc_info", None)
    error: Any = sys.exc_info()[1] if given is True else given
    if isinstance(given, tuple):  # (type, exception, traceback), as the standard library has it
        _, error, _ = cast("tuple[Any, Any, Any]", given)
    if isinstance(error, BaseException):
        event["exception"] = [
            {
                "type": type(each).__qualname__,
                "at": [f"{f.filename}:{f.lineno} {f.name}" for f in _frames(each)],
            }
            for each in _chain(error)
        ]
    return event


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and what led to it, newest first; bounded, a chain may be a loop."""
    for _ in range(MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__, limit=-MOST_FRAMES))


def configure(process: str, level: str = "info") -> None:
    """Set up logging of this process; call once, at its start."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _tell_exception,
        _drop_personal,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    structlog.contextvars.bind_contextvars(process=process)
    for noisy in ("aiokafka", "uvicorn.access", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Make the logger of a module, for example `log`; then `log.info("unit committed", position=17)`."""
    return structlog.stdlib.get_logger(name)
