from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.gateway.buckets import Buckets


def test_one_seconds_worth_may_come_at_once_and_no_more() -> None:
    buckets = Buckets(200)
    taken = [buckets.take(b"a", 1000.0) for _ in range(201)]
    assert [one.granted for one in taken] == [True] * 200 + [False]
    assert [one.remaining for one in taken] == [*range(199, -1, -1), 0]


def test_a_refused_call_costs_nothing() -> None:
    buckets = Buckets(2)
    for _ in range(10):
        buckets.take(b"a", 5.0)
    assert buckets.take(b"a", 5.5).granted


def test_a_bucket_fills_as_time_goes_and_holds_one_second_at_most() -> None:
    buckets = Buckets(10)
    for _ in range(10):
        buckets.take(b"a", 0.0)
    assert not buckets.take(b"a", 0.05).granted
    assert buckets.take(b"a", 0.1).granted
    assert not buckets.take(b"a", 0.1).granted
    assert sum(buckets.take(b"a", 3600.0).granted for _ in range(20)) == 10


def test_buckets_are_apart() -> None:
    buckets = Buckets(1)
    assert buckets.take(b"a", 0.0).granted
    assert buckets.take(b"b", 0.0).granted
    assert not buckets.take(b"a", 0.0).granted


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    buckets = Buckets(1, capacity=2)
    buckets.take(b"a", 0.0)
    buckets.take(b"b", 0.0)
    buckets.take(b"a", 0.0)
    buckets.take(b"c", 0.0)
    assert len(buckets) == 2
    assert not buckets.take(b"a", 0.0).granted
    assert buckets.take(b"b", 0.0).granted


@given(
    rate=st.integers(1, 1000),
    gaps=st.lists(st.floats(0, 0.5, allow_nan=False), min_size=1, max_size=300),
)
def test_never_more_than_the_rate_and_one_burst(rate: int, gaps: list[float]) -> None:
    buckets, now, granted = Buckets(rate), 0.0, 0
    for gap in gaps:
        now += gap
        granted += buckets.take(b"a", now).granted
    assert granted <= rate * (1 + now) + 1e-3
