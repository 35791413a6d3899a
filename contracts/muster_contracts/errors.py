"""What can be wrong with a record."""

from __future__ import annotations

from pydantic import ValidationError


class Undecodable(Exception):
    """A record that is no event of ours, however often it is read; `reason` holds no personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @classmethod
    def from_validation(cls, error: ValidationError) -> Undecodable:
        """Name the fields that are wrong, and never what was in them."""
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        places = (f"{'.'.join(map(str, each['loc'])) or 'data'}: {each['type']}" for each in wrong[:5])
        return cls("; ".join(places))


class UnknownEvent(Exception):
    """A type or version that this release does not know; the vocabulary grows, so a newer release may."""

    def __init__(self, type_: str, version: int) -> None:
        super().__init__(f"unknown event {type_} version {version}")
        self.type = type_
        self.version = version
