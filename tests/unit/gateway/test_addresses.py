from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.addresses import Addresses, neighborhood, read_address

PROXIES = Addresses((ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48")))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:8080 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
    ],
)
def test_an_address_has_one_form(text: str, address: str) -> None:
    assert str(read_address(text)) == address


@pytest.mark.parametrize(
    "text", ["", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "evil.example", "[::1", "0x7f.1", "01.2.3.4"]
)
def test_anything_else_is_no_address(text: str) -> None:
    assert read_address(text) is None or text == "[::1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["6.6.6.6"], "203.0.113.9"),
        ("10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["6.6.6.6", "203.0.113.9", "10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["6.6.6.6, "], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8:1::5, 2001:db8:ffff::1"], "2001:db8:1::5"),
    ],
)
def test_only_what_trusted_proxies_added_is_believed(peer: str, forwarded: list[str], client: str) -> None:
    assert str(PROXIES.of(peer, forwarded)) == client


def test_without_trusted_proxies_the_socket_decides() -> None:
    assert str(Addresses(()).of("10.0.0.1", ["203.0.113.9"])) == "10.0.0.1"
    assert Addresses(()).of(None, []) is None


def test_an_ipv6_client_is_counted_as_its_network() -> None:
    one, two, other = map(read_address, ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"))
    assert neighborhood(one) == neighborhood(two) != neighborhood(other)
    assert neighborhood(read_address("192.0.2.1")) != neighborhood(read_address("192.0.2.2"))


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=4))
def test_no_text_breaks_it(peer: str, forwarded: list[str]) -> None:
    PROXIES.of(peer, forwarded)
    PROXIES.of("10.0.0.1", forwarded)
