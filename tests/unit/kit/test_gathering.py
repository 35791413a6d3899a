"""How long the relay lets events gather before the next page (decision 0014)."""

from __future__ import annotations

from services.kit.relay import GATHER_AT_MOST_SECONDS, GATHER_SECONDS, gathering_seconds


def test_a_quick_page_is_followed_after_the_shortest_time() -> None:
    assert gathering_seconds(0.001) == GATHER_SECONDS


def test_the_longer_a_page_took_the_longer_the_next_one_gathers() -> None:
    assert gathering_seconds(0.03) == 4 * 0.03


def test_nothing_gathers_longer_than_the_longest_time() -> None:
    assert gathering_seconds(5.0) == GATHER_AT_MOST_SECONDS
