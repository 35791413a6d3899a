"""Which events begin a session."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from muster_contracts.sessions import IpRuleGranted, IpRuleRevoked, SessionEnded, SessionStarted

from services.identity.sessions.decider import MOST, Start, start
from services.identity.sessions.networks import network_of
from services.identity.users.situation import LiveSession, Rule

END = datetime(2026, 12, 24, tzinfo=UTC)
COMMAND = Start("usr_1", "ses_new", ("pwd",), END, "ipr_new", "203.0.113.7/32", "kil_1")
STARTED = SessionStarted(user="usr_1", session="ses_new", amr=("pwd",), expires_at=END)
GRANTED = IpRuleGranted(
    user="usr_1", session="ses_new", id="ipr_new", network="203.0.113.7/32", expires_at=END
)


def live(count: int) -> list[LiveSession]:
    return [LiveSession(f"ses_{n}", 2, Rule(f"ipr_{n}", None) if n else None) for n in range(count)]


def test_a_session_begins_with_its_ip_rule() -> None:
    assert start([], COMMAND) == [STARTED, GRANTED]


def test_without_an_address_there_is_no_rule() -> None:
    assert start([], replace(COMMAND, network=None)) == [STARTED]


def test_the_hundredth_session_ends_none() -> None:
    assert start(live(MOST - 1), COMMAND) == [STARTED, GRANTED]


def test_the_oldest_give_way_first_and_the_first_event_names_their_kill() -> None:
    first = SessionEnded(user="usr_1", session="ses_0", cause="replaced", kill="kil_1")
    second = SessionEnded(user="usr_1", session="ses_1", cause="replaced", kill="kil_1")
    revoked = IpRuleRevoked(user="usr_1", session="ses_1", id="ipr_1", network=None)
    assert start(live(MOST), COMMAND) == [first, STARTED, GRANTED]
    assert start(live(MOST + 1), COMMAND) == [first, second, revoked, STARTED, GRANTED]


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        (None, None),
        ("203.0.113.7", "203.0.113.7/32"),
        ("::ffff:203.0.113.7", "203.0.113.7/32"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_stands_for_itself_and_an_ipv6_one_for_its_site(
    ip: str | None, network: str | None
) -> None:
    assert network_of(ip) == network
