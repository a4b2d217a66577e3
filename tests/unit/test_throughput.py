"""The rate of what arrived: right at any rate and any phase, and low where nothing came for a while."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.probes.throughput import Arrivals


def steady(rate_bit: float, size: int, seconds: float, start: float = 1000.0) -> Arrivals:
    found, gap = Arrivals(), 8 * size / rate_bit
    for number in range(int(seconds / gap) + 1):
        found.add(start + number * gap, size)
    return found


@given(st.floats(50_000, 5_000_000), st.integers(200, 1500), st.floats(0, 1e9))
def test_a_steady_rate_is_told_exactly(rate_bit: float, size: int, start: float) -> None:
    assert steady(rate_bit, size, 2.5, start).rate(0.5, 2.0) == pytest.approx(rate_bit, rel=1e-3)


def test_what_fills_a_bucket_first_does_not_count() -> None:
    found = Arrivals()
    for number in range(400):
        found.add(10 + number * 0.001, 1500)
    for number in range(200):
        found.add(10.4 + number * 0.01, 1500)
    assert found.rate(0.5, 2.0) == pytest.approx(1_200_000, rel=0.01)


def test_what_comes_after_the_time_does_not_count() -> None:
    found = steady(1_000_000, 1250, 2.0)
    for number in range(1000):
        found.add(1002.1 + number * 1e-4, 1250)
    assert found.rate(0.5, 2.0) == pytest.approx(1_000_000, rel=0.01)


@pytest.mark.parametrize(("begin", "end"), [(1.2, 2.0), (0.5, 0.9), (1.0, 1.3)])
def test_a_time_in_which_nothing_came_counts(begin: float, end: float) -> None:
    whole, found = steady(10_000_000, 1250, 2.0), Arrivals()
    for at, size in zip(whole.times, whole.sizes, strict=True):
        if not begin <= at - 1000 <= end:
            found.add(at, size)
    lost = (end - begin) / 1.5
    assert found.rate(0.5, 2.0) == pytest.approx(10_000_000 * (1 - lost), rel=0.02)


def test_bursts_are_told_by_their_mean() -> None:
    found = Arrivals()
    for number in range(2500):
        found.add(5 + number // 10 * 0.01, 1250)
    assert found.rate(0.5, 2.0) == pytest.approx(10_000_000, rel=0.01)


def test_nothing_is_no_rate_and_one_packet_hardly_any() -> None:
    assert Arrivals().rate(0.5, 2.0) == 0.0
    assert steady(1.0, 1250, 2.0).rate(0.5, 2.0) == 0.0
    found = Arrivals()
    for at in (0.0, 1.0):
        found.add(at, 1250)
    assert found.rate(0.5, 2.0) == pytest.approx(10_000 / 1.5)


def test_a_pause_counts_as_far_as_it_lies_in_the_time_asked_about() -> None:
    found = Arrivals()
    for at in (1.0, 1.01, 1.02, 1.52, 1.53, 1.83, 1.84):
        found.add(at, 1)
    assert found.silent(0.0, 9.0, 0.05) == pytest.approx(0.8)
    assert found.silent(1.2, 1.4, 0.05) == pytest.approx(0.2)
    assert found.silent(1.4, 1.6, 0.05) == pytest.approx(0.19)
    assert found.silent(1.0, 1.6, 0.6) == 0.0
    assert Arrivals().silent(0.0, 9.0, 0.05) == 0.0
