"""Times as a program outside reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, overload

from pydantic import AfterValidator, AwareDatetime, BeforeValidator


@overload
def rfc3339(time: datetime) -> str: ...
@overload
def rfc3339(time: None) -> None: ...
@overload
def rfc3339(time: datetime | None) -> str | None: ...
def rfc3339(time: datetime | None) -> str | None:
    """The time in UTC with microseconds and `Z`; None stays None."""
    if time is None:
        return None
    in_utc = time if time.tzinfo is UTC else time.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _is_written_out(value: Any) -> Any:
    if isinstance(value, str) and "-" not in value[1:]:  # else a number would count seconds since 1970
        raise ValueError("must be a time such as 2026-11-24T08:00:00Z")
    return value


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a year from 1 to 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time that a caller gives, RFC 3339: what no database takes is refused where it is read."""
QueryMoment = Annotated[Moment, BeforeValidator(_is_written_out)]
"""The same as a query parameter (a body is strict, and takes no number)."""
