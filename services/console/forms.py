"""What a page sends: small urlencoded forms, read here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request

MAX_BYTES = 65_536
MAX_FIELDS = 100


class BadForm(Exception):
    """Too large, or no form."""


@dataclass(frozen=True, slots=True)
class Form:
    """The fields; a name that comes twice counts with its last value."""

    values: dict[str, str] = field(repr=False)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """The value without blanks at its ends; "" where it is missing."""
        return self.values.get(name, "").strip()

    def secret(self, name: str) -> str:
        """The value exactly as typed: a password may begin with a blank."""
        return self.values.get(name, "")

    def is_checked(self, name: str) -> bool:
        return name in self.values


async def read(request: Request) -> Form:
    """Raises BadForm."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise BadForm
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if body and kind != "application/x-www-form-urlencoded":
        raise BadForm
    try:
        return Form(
            dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict"))
        )
    except ValueError:
        raise BadForm from None
