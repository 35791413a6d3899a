"""Times as a program outside reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


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
