"""The network that an address stands for: itself, or the /64 that one IPv6 customer has."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

SITE_BITS = 64


def network_of(ip: str | None) -> str | None:
    """The source network of a session's IP rule: `203.0.113.7/32` or `2001:db8::/64`; None without an address."""
    if ip is None:
        return None
    address = ip_address(ip)
    if isinstance(address, IPv6Address):
        if not address.ipv4_mapped:
            return str(IPv6Network((int(address), SITE_BITS), strict=False))
        address = address.ipv4_mapped
    return str(IPv4Network(address))
