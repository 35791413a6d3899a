"""What the gateway reads of a request's head, and what of it goes on to a service."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256

from starlette.types import Scope

from services.kit.addresses import Address, Addresses, neighborhood, read_address
from services.kit.errors import Invalid
from services.kit.noise import noise
from services.kit.tokens import is_token

# Nothing else that a client sends goes on: no cookie, no `Muster-…`, no `Forwarded`, no `X-…`.
_FORWARDED = frozenset(
    {b"authorization", b"content-type", b"idempotency-key", b"if-match", b"if-none-match", b"user-agent",
     b"accept", b"accept-language"}
)  # fmt: skip
_ONCE = _FORWARDED - {b"accept", b"accept-language"}
_READ = frozenset(
    {
        b"content-length",
        b"transfer-encoding",
        b"x-request-id",
        b"traceparent",
        b"muster-service-key",
        b"muster-client-address",
    }
)
# Where the client says nothing, aiohttp would say something of its own. An empty value counts as none.
_ABSENT = (
    (b"user-agent", ("user-agent", "")),
    (b"content-type", ("content-type", "")),
    (b"accept", ("accept", "*/*")),
    (b"accept-encoding", ("accept-encoding", "identity")),
)
_KINDS = {"mus": "session", "muk": "api_key"}
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_PRINTABLE = re.compile(rb"[\x20-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one request."""

    request_id: str
    method: str
    path: str
    """As the client wrote it, percent-encoding included."""
    query: str
    address: Address | None
    credential: str
    """`session`, `api_key`, `other` or `none`."""
    bucket: bytes
    content_length: int | None
    """0 where there is no body, None where its size is not announced."""
    headers: list[tuple[str, str]] = field(repr=False)
    """For the service, without its key."""


class Reader:
    """Reads heads.

    Args:
        addresses: how to work out the client's address.
        console_keys: who shows one of them is the console, and believed on its client's address.
    """

    def __init__(self, addresses: Addresses, console_keys: Iterable[str]) -> None:
        self._addresses = addresses
        self._console_keys = [key.encode() for key in console_keys if key]

    def read(self, scope: Scope, request_id: str) -> Head:
        """Source: the `scope` of ASGI.

        Raises:
            Invalid: a header that may be there once is there twice.
        """
        seen, forwarded_for = _collect(scope["headers"])
        address = self._address(scope, seen, forwarded_for)
        credential, bucket = _credential(seen.get(b"authorization", b""), address)
        return Head(
            request_id=request_id,
            method=scope["method"],
            path=scope["raw_path"].decode("ascii"),
            query=scope["query_string"].decode("latin-1"),
            address=address,
            credential=credential,
            bucket=bucket,
            content_length=None if b"transfer-encoding" in seen else int(seen.get(b"content-length", b"0")),
            headers=_headers(seen, request_id, address),
        )

    def _address(self, scope: Scope, seen: dict[bytes, bytes], forwarded_for: list[bytes]) -> Address | None:
        if self._is_console(seen.get(b"muster-service-key")):
            told = read_address(seen.get(b"muster-client-address", b"").decode("latin-1"))
            if told is not None:
                return told
        peer = scope.get("client")
        return self._addresses.of(peer[0] if peer else None, [v.decode("latin-1") for v in forwarded_for])

    def _is_console(self, shown: bytes | None) -> bool:
        if shown is None:
            return False
        return any([hmac.compare_digest(shown, key) for key in self._console_keys])  # noqa: C419 (asks all)


def _collect(headers: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], list[bytes]]:
    seen: dict[bytes, bytes] = {}
    forwarded_for: list[bytes] = []
    for name, value in headers:
        if name in _FORWARDED or name in _READ:
            if name in seen and name in _ONCE:
                raise Invalid(f"The header {name.decode()} may be sent once.")
            seen[name] = value
        elif name == b"x-forwarded-for":
            forwarded_for.append(value)
    return seen, forwarded_for


def _credential(authorization: bytes, address: Address | None) -> tuple[str, bytes]:
    """Kind of the credential and key of its bucket; what is no token of ours counts for the address.

    The key comes from the token alone: spelling `Bearer` differently buys no second bucket.
    """
    if not authorization:
        return "none", neighborhood(address)
    _, _, token = authorization.decode("latin-1").partition(" ")
    token = token.strip()
    prefix = token[:3]
    if prefix in _KINDS and is_token(token, prefix):
        return _KINDS[prefix], sha256(token.encode()).digest()
    return "other", neighborhood(address)


def _headers(seen: dict[bytes, bytes], request_id: str, address: Address | None) -> list[tuple[str, str]]:
    headers = [
        (name.decode(), value.decode("utf-8", "replace"))
        for name, value in seen.items()
        if name in _FORWARDED
    ]
    headers += [pair for name, pair in _ABSENT if name not in seen]
    headers.append(("muster-request-id", request_id))
    if address is not None:
        headers.append(("muster-client-address", str(address)))
    trace = (noise() + noise()).hex()
    headers.append(("traceparent", f"00-{trace[:32]}-{trace[32:]}-01"))
    client_trace, client_id = seen.get(b"traceparent", b""), seen.get(b"x-request-id", b"")
    if _TRACEPARENT.fullmatch(client_trace):
        headers.append(("muster-client-traceparent", client_trace.decode()))
    if _PRINTABLE.fullmatch(client_id):
        headers.append(("muster-client-request-id", client_id.decode()))
    return headers
