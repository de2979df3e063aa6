"""One path for a bar."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS, PATHS, price_at

BAR = (100, 110, 95, 105)


def walked(bar, path):
    return [price_at(*bar, moment, PATHS[path]) for moment in range(MOMENTS)]


@pytest.mark.parametrize(
    ("path", "prices"),
    [
        ("worst", [100, 95, 110, 105]),
        ("high_first", [100, 110, 95, 105]),
        ("nearest_first", [100, 95, 110, 105]),
    ],
)
def test_each_path_has_its_order(path, prices):
    assert walked(BAR, path) == prices


def test_the_nearer_extreme_comes_first_and_the_low_on_a_tie():
    assert walked((100, 103, 95, 99), "nearest_first") == [100, 103, 95, 99]
    assert walked((100, 105, 95, 99), "nearest_first") == [100, 95, 105, 99]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 500), min_size=4, max_size=4), st.sampled_from(sorted(PATHS)))
def test_every_path_trades_all_four_prices(prices, path):
    low, one, two, high = sorted(prices)
    seen = walked((one, high, low, two), path)
    assert sorted(seen) == sorted((one, high, low, two))
    assert (seen[0], seen[3]) == (one, two)


def test_moments_are_inside_the_minute_and_in_order():
    assert MOMENT_MS.tolist() == sorted(set(MOMENT_MS.tolist()))
    assert MOMENT_MS[0] == 0
    assert MOMENT_MS[-1] < MINUTE_MS
