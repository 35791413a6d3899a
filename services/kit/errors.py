"""What can be wrong with a request, told in kinds; `kit.http` alone turns a kind into a status code.

An error's docstring is its default text for the reader. Subclasses live beside the rule that raises them::

    MusterError
    ├── Unauthenticated, Forbidden, Invalid, NotFound, Conflict, Stale, Unprocessable
    └── Throttled, Unavailable
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, ClassVar


class Kind(Enum):
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    INVALID = auto()
    NOT_FOUND = auto()
    CONFLICT = auto()
    STALE = auto()
    UNPROCESSABLE = auto()
    THROTTLED = auto()
    UNAVAILABLE = auto()


class MusterError(Exception):
    """The request cannot be served."""

    kind: ClassVar[Kind]
    code: ClassVar[str]
    title: ClassVar[str] = ""

    def __init__(
        self,
        detail: str = "",
        *,
        members: dict[str, Any] | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Take the text for the reader, and what the problem document shows beside it.

        Args:
            detail: one sentence; the class docstring's first line when empty.
            members: extension members of the problem document (RFC 9457 §3.2).
            retry_after: seconds after which a repeat may succeed.
        """
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        self.members = members or {}
        self.retry_after = retry_after
        super().__init__(self.detail)


class Unauthenticated(MusterError):
    """The credential is missing, unknown, expired or ended."""

    kind = Kind.UNAUTHENTICATED
    code = "unauthenticated"


class Forbidden(MusterError):
    """A rule forbids this."""

    kind = Kind.FORBIDDEN
    code = "forbidden"


class Invalid(MusterError):
    """The request is malformed."""

    kind = Kind.INVALID
    code = "invalid_request"

    def __init__(self, detail: str = "", *, errors: list[dict[str, str]] | None = None, **more: Any) -> None:
        """Take the field errors: `pointer` (RFC 6901), `code` and `detail` each, never the rejected value."""
        super().__init__(detail, members={"errors": errors} if errors else None, **more)


class NotFound(MusterError):
    """There is no such thing here."""

    kind = Kind.NOT_FOUND
    code = "not_found"


class Conflict(MusterError):
    """The state of things does not allow this."""

    kind = Kind.CONFLICT
    code = "conflict"


class Stale(MusterError):
    """It was changed by someone else since you read it."""

    kind = Kind.STALE
    code = "version_conflict"


class Unprocessable(MusterError):
    """The request is understood and cannot be followed."""

    kind = Kind.UNPROCESSABLE
    code = "unprocessable"


class Throttled(MusterError):
    """Too many requests; try again later."""

    kind = Kind.THROTTLED
    code = "rate_limited"


class Unavailable(MusterError):
    """The service cannot answer now; try again."""

    kind = Kind.UNAVAILABLE
    code = "unavailable"
