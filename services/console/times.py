"""Times as people read them: how long ago, or to the second in a named zone."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.kit.times import rfc3339

MINUTE, HOUR, DAY, MONTH, YEAR = 60, 3600, 86_400, 2_629_800, 31_557_600
_STEPS = ((YEAR, "year"), (MONTH, "month"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))


def zone_of(name: str | None) -> ZoneInfo:
    """The zone of this name, UTC where there is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def read(text: str) -> datetime:
    return datetime.fromisoformat(text)


def counted(number: int, word: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def span(seconds: float) -> str:
    """How long, in its largest unit: `3 days`."""
    for size, word in _STEPS:
        if seconds >= size:
            return counted(int(seconds // size), word)
    return "less than a minute"


def ago(text: str, now: datetime | None = None) -> str:
    """`3 hours ago`; `just now` within the minute; `in 3 hours` for what is to come."""
    seconds = ((now or datetime.now(UTC)) - read(text)).total_seconds()
    if abs(seconds) < MINUTE:
        return "just now"
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def day(text: str, zone: ZoneInfo) -> str:
    """`24 Nov 2026`."""
    local = read(text).astimezone(zone)
    return f"{local.day} {local:%b %Y}"


def exact(text: str, zone: ZoneInfo) -> str:
    """`24 Nov 2026, 16:05:12 UTC`; the zone as its own people call it."""
    local = read(text).astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M:%S} {local.tzname()}"


def midnight(chosen: date, zone: str | None) -> str:
    """The moment, in RFC 3339, at which a day begins in a zone."""
    return rfc3339(datetime(chosen.year, chosen.month, chosen.day, tzinfo=zone_of(zone)).astimezone(UTC))
