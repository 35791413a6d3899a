"""Where a call comes from: the socket's address, or what a trusted proxy says of it, in one normal form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Addresses:
    """Works out client addresses; only peers within `trusted` are believed on `X-Forwarded-For`."""

    trusted: tuple[Network, ...]

    def of(self, peer: str | None, forwarded: Sequence[str]) -> Address | None:
        """The client's address, None where the socket has none.

        Args:
            peer: address at the other end of the socket.
            forwarded: values of the `X-Forwarded-For` lines, in the order in which they arrived.
        """
        found = read_address(peer or "")
        if not self.trusted or not forwarded or not self._is_trusted(found):
            return found
        for entry in reversed(",".join(forwarded).split(",")):
            if (hop := read_address(entry)) is None:
                break  # whoever wrote this is not to be believed on what stands before it
            found = hop
            if not self._is_trusted(hop):
                break
        return found

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self.trusted)


def read_address(text: str) -> Address | None:
    """The address in `text`, which may be in brackets, have a port or a zone; v4 in v6 becomes v4."""
    text = text.strip()
    return _parse(text) if len(text) <= _LONGEST else None


@lru_cache(4096)
def _parse(text: str) -> Address | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def neighborhood(address: Address | None) -> bytes:
    """What one anonymous client holds at most: an IPv4 address, a /64 of IPv6."""
    if address is None:
        return b""
    return address.packed if isinstance(address, IPv4Address) else address.packed[:8]
