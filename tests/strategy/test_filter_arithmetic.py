"""The built-in filters are exact: a boundary belongs to the side the rule says, at every price."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.params import load_params
from engine.strategy.filters import (
    affordable_lots,
    has_vwap_premium,
    in_price_range,
    rank,
    stop_distance_allowed,
)
from engine.strategy.rules import rules_for

PARAMS = load_params(
    min_entry_price_rupees=100,
    max_entry_price_rupees=300,
    min_stop_percent=2,
    max_stop_percent=10,
    min_vwap_premium_percent=4,
    r_value_rupees=6500,
    max_lots=10,
    round_strike_rupees=100,
    target_stop_points_rupees=10,
)
RULES = rules_for(PARAMS, 65)


def test_parameters_become_integers():
    assert (RULES.min_price, RULES.max_price) == (2000, 6000)
    assert (RULES.min_stop, RULES.max_stop, RULES.vwap_premium) == (200, 1000, 400)
    assert (RULES.r_value, RULES.lot_size, RULES.target_distance) == (650_000, 65, 200)
    assert (RULES.trigger_offset, RULES.entry_buffer, RULES.stop_limit_buffer) == (1, 60, 60)
    assert (RULES.stop_buffer, RULES.round_strike) == (20, 100)
    assert not RULES.updated_vwap
    assert not RULES.remove_failed


def test_variants_become_flags():
    rules = rules_for(
        PARAMS.replace(
            swing_variant="eq2",
            same_bar_rule="alternation_first",
            updated_swing_vwap="updated",
            failed_vwap_low="remove_previous",
            round_strike_rupees=None,
        ),
        75,
    )
    assert rules.swing == (True, True)
    assert (rules.updated_vwap, rules.remove_failed, rules.round_strike, rules.lot_size) == (
        True,
        True,
        0,
        75,
    )


def test_the_price_range_is_inclusive():
    assert [in_price_range(t, RULES) for t in (1999, 2000, 6000, 6001)] == [False, True, True, False]


def test_exactly_ten_and_exactly_two_percent_are_allowed_at_every_price():
    for low in range(2000, 6001):
        for percent, beyond in ((10, 1), (2, -1)):
            if low * percent % 100 == 0:
                distance = low * percent // 100
                assert stop_distance_allowed(low, distance, RULES)
                assert not stop_distance_allowed(low, distance + beyond, RULES)


@pytest.mark.parametrize(("points", "lots"), [(10, 10), (20, 5), (25, 4), (50, 2), (100, 1), (101, 0)])
def test_a_whole_number_of_lots_is_not_lost(points, lots):
    assert affordable_lots(points * 20, RULES) == lots
    if lots and lots < 10:
        assert affordable_lots(points * 20 + 1, RULES) == lots - 1


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 4000), st.integers(1, 10_000_000), st.integers(1, 1000), st.integers(1, 200))
def test_lots_never_risk_more_than_one_r_and_one_more_would(distance, r_paise, most, lot):
    rules = RULES._replace(r_value=r_paise, max_lots=most, lot_size=lot)
    lots = affordable_lots(distance, rules)
    one = distance * 5 * lot
    assert 0 <= lots <= most
    assert lots * one <= r_paise
    assert lots == most or (lots + 1) * one > r_paise


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 10_000), st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 10**8)), min_size=1, max_size=4),
    st.integers(-10_000, 10_000),
)  # fmt: skip
def test_the_premium_is_judged_as_fractions_judge_it(low, bars, points):
    rules = RULES._replace(vwap_premium=points)
    numerator, denominator = sum(3 * p * v for p, v in bars), 3 * sum(v for _, v in bars)
    exact = Fraction(low) >= Fraction(numerator, denominator) * (1 + Fraction(points, 10_000))
    assert has_vwap_premium(low, numerator, denominator, rules) == exact


def test_a_premium_of_exactly_four_percent_is_enough():
    assert has_vwap_premium(2600, 2500, 1, RULES)
    assert not has_vwap_premium(2599, 2500, 1, RULES)


candidate = st.tuples(
    st.integers(1, 8000),  # low
    st.integers(0, 3000),  # distance
    st.integers(1, 1000).map(lambda k: 50 * k),  # strike
    st.integers(0, 500),  # place in the day
)


@settings(deadline=None, max_examples=150)
@given(candidate, candidate, st.sampled_from([0, 100, 500]), st.integers(0, 400))
def test_ranking_is_nearest_then_round_then_dearest_then_first(one, other, round_strike, target):
    rules = RULES._replace(round_strike=round_strike, target_distance=target)

    def key(low, distance, strike, order):
        return abs(distance - target), bool(round_strike and strike % round_strike), -low, order

    first, second = rank(*one, rules), rank(*other, rules)
    assert (first < second) == (key(*one) < key(*other))
    assert (first == second) == (key(*one) == key(*other))


def test_at_equal_distance_on_either_side_the_round_strike_wins():
    assert rank(3000, 180, 24100, 1, RULES) < rank(5000, 220, 24050, 0, RULES)
    assert rank(3000, 219, 24050, 1, RULES) < rank(5000, 180, 24100, 0, RULES)
