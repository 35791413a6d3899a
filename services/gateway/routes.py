"""Which service answers which path, and which paths nobody answers.

Upstream gets the path as the client wrote it. What two parsers could read in two ways is refused here: dot
segments, empty segments, encoded slashes and control characters.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote_to_bytes

from services.kit.errors import Invalid
from services.kit.ids import is_id

Service = Literal["identity", "audit", "notifier"]

_ROUTES: dict[str, Service] = {
    "audit": "audit", "session-kills": "notifier", "undelivered-messages": "notifier",
}  # fmt: skip
"""By the word after `/v1/`; every other one is identity's."""
UNLIMITED = "/v1/introspect"

_PATH = re.compile(r"/v1(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+)+/?")
_QUERY = re.compile(r"[\x21\x22\x24-\x7e]*")
_AMBIGUOUS = re.compile(rb"[\x00-\x1f\x7f/\\%]")
_WORD = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LOGGABLE = re.compile(rf"(?:/(?:{_WORD.pattern}|[a-z]{{3}}_[0-7][0-9a-z]{{25}})){{1,8}}")
_REFUSED = 400


def service_of(path: str) -> Service:
    """The service that answers a path under `/v1/`."""
    first = path.split("/", 3)[2]
    return _ROUTES.get(first, "identity")


def check(path: str, query: str) -> None:
    """Let pass only what every parser reads alike.

    Raises:
        Invalid: anything else.
    """
    is_suspect = "%" in path or "/." in path
    if not _PATH.fullmatch(path) or (is_suspect and not all(map(_is_plain, path.split("/")))):
        raise Invalid("The path is malformed.")
    if not _QUERY.fullmatch(query):
        raise Invalid("The query is malformed.")


def _is_plain(segment: str) -> bool:
    if "%" not in segment:
        return segment not in (".", "..")
    raw = unquote_to_bytes(segment)
    try:
        return raw.decode() not in (".", "..") and not _AMBIGUOUS.search(raw)
    except UnicodeDecodeError:
        return False


def for_log(path: str, status: int) -> str:
    """The path without what may be personal: ids stay, and words that a route is made of.

    Someone may look for `/v1/users/bob`. A call that succeeded met a route; of others the first two words
    are kept and those after an id.
    """
    if status < _REFUSED and _LOGGABLE.fullmatch(path):
        return path
    segments = path.split("/")[1:9]
    kept = [
        segment if is_id(segment, segment[:3]) or (_WORD.fullmatch(segment) and is_known) else "*"
        for segment, is_known in zip(segments, _known(segments, status), strict=True)
    ]
    return "/" + "/".join(kept)


def _known(segments: list[str], status: int) -> list[bool]:
    after_id = [False, *(is_id(segment, segment[:3]) for segment in segments)]
    return [status < _REFUSED or index < 2 or after_id[index] for index in range(len(segments))]  # noqa: PLR2004
