"""How a resting order fills against moves, jumps and quotes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.execution.matching import (
    BUY,
    SELL,
    UNFILLED,
    inside_bar,
    limit_fill,
    quote_fill,
    reached,
    slipped,
    stop_limit_fill,
)

sides = st.sampled_from([BUY, SELL])
price = st.integers(50, 400)


def stop_limit(side, trigger, limit, previous, now, *, triggered=False, jump=False, ticks=0, points=0):
    return stop_limit_fill(side, trigger, limit, triggered, previous, now, jump, ticks, points)


def tick_by_tick(side, trigger, limit, previous, now, jump, ticks, points):
    """A dormant stop-limit shown every traded tick; previous has not reached the trigger yet."""
    way = 1 if now >= previous else -1
    for traded in [now] if jump else range(previous, now + way, way):
        if side * traded >= side * trigger:
            if side * traded > side * limit:
                return True, UNFILLED
            worse = max(traded + side * (ticks + -(-traded * points // 10_000)), 1)
            return True, (min if side == BUY else max)(worse, limit)
    return False, UNFILLED


@settings(deadline=None, max_examples=150)
@given(sides, price, st.integers(0, 60), price, price, st.booleans(), st.integers(0, 9), st.integers(0, 300))
def test_a_dormant_stop_limit_fills_as_if_shown_every_tick(
    side, trigger, buffer, previous, now, jump, ticks, points
):
    if side * previous >= side * trigger and not jump:
        return  # it would have been triggered before
    limit = max(trigger + side * buffer, 1)
    got = stop_limit(side, trigger, limit, previous, now, jump=jump, ticks=ticks, points=points)
    assert got == tick_by_tick(side, trigger, limit, previous, now, jump, ticks, points)


@settings(deadline=None, max_examples=150)
@given(
    sides, price, st.integers(0, 60), price, price, st.booleans(), st.booleans(), st.integers(0, 9), st.integers(0, 300)
)  # fmt: skip
def test_a_fill_is_never_beyond_the_limit(side, trigger, buffer, previous, now, jump, was, ticks, points):
    limit = max(trigger + side * buffer, 1)
    triggered, fill = stop_limit(
        side, trigger, limit, previous, now, triggered=was, jump=jump, ticks=ticks, points=points
    )
    assert triggered or (not was and fill == UNFILLED)
    if fill != UNFILLED:
        assert side * fill <= side * limit
        assert triggered


@settings(deadline=None, max_examples=100)
@given(sides, price, st.integers(0, 60), price, price, st.booleans(), st.integers(0, 9), st.integers(0, 9))
def test_more_slippage_is_never_better(side, trigger, buffer, previous, now, jump, ticks, more):
    limit = max(trigger + side * buffer, 1)
    one = stop_limit(side, trigger, limit, previous, now, jump=jump, ticks=ticks)
    other = stop_limit(side, trigger, limit, previous, now, jump=jump, ticks=ticks + more)
    assert one[0] == other[0]
    assert side * other[1] >= side * one[1]


def test_a_sell_stop_sleeps_above_its_trigger():
    assert stop_limit(SELL, 100, 40, 120, 101) == (False, UNFILLED)


def test_a_touch_of_the_trigger_wakes_it():
    assert stop_limit(SELL, 100, 40, 120, 100) == (True, 100)
    assert stop_limit(BUY, 100, 160, 80, 100) == (True, 100)


def test_a_move_through_the_trigger_fills_at_the_trigger():
    assert stop_limit(SELL, 100, 40, 120, 60) == (True, 100)
    assert stop_limit(SELL, 100, 40, 120, 60, ticks=2) == (True, 98)
    assert stop_limit(BUY, 100, 160, 80, 140, ticks=2) == (True, 102)


def test_a_jump_to_between_trigger_and_limit_fills_at_the_jump():
    assert stop_limit(SELL, 100, 40, 120, 60, jump=True) == (True, 60)
    assert stop_limit(BUY, 100, 160, 80, 140, jump=True) == (True, 140)


def test_a_jump_through_the_limit_rests():
    assert stop_limit(SELL, 100, 40, 120, 39, jump=True) == (True, UNFILLED)
    assert stop_limit(BUY, 100, 160, 80, 161, jump=True) == (True, UNFILLED)


def test_what_rests_fills_at_its_limit_when_the_market_comes_back():
    assert stop_limit(SELL, 100, 40, 30, 50, triggered=True) == (True, 40)
    assert stop_limit(BUY, 100, 160, 170, 120, triggered=True) == (True, 160)
    assert stop_limit(BUY, 100, 160, 170, 161, triggered=True) == (True, UNFILLED)


def test_slippage_stops_at_the_limit():
    assert stop_limit(SELL, 100, 98, 120, 60, ticks=10) == (True, 98)
    assert stop_limit(BUY, 100, 102, 80, 140, points=1000) == (True, 102)


def test_slippage_counts_a_begun_tick_whole_and_leaves_a_price():
    assert slipped(1000, BUY, 2, 1) == 1003
    assert slipped(1000, SELL, 2, 1) == 997
    assert slipped(1000, SELL, 0, 0) == 1000
    assert slipped(3, SELL, 10, 0) == 1


def test_reached_is_at_or_through():
    assert [reached(BUY, 100, p) for p in (99, 100, 101)] == [False, True, True]
    assert [reached(SELL, 100, p) for p in (99, 100, 101)] == [True, True, False]


@pytest.mark.parametrize(
    ("side", "now", "fresh", "fill"),
    [
        (SELL, 99, True, UNFILLED),
        (SELL, 100, True, 100),
        (SELL, 105, True, 105),
        (SELL, 105, False, 100),
        (BUY, 101, True, UNFILLED),
        (BUY, 95, True, 95),
        (BUY, 95, False, 100),
    ],
)
def test_a_limit_order_takes_a_better_price_only_when_it_is_fresh(side, now, fresh, fill):
    assert limit_fill(side, 100, now, fresh) == fill


def test_quotes_fill_what_they_offer():
    assert quote_fill(SELL, 100, 650, 101, 130, 102, 999) == (101, 130)
    assert quote_fill(SELL, 100, 65, 101, 130, 102, 999) == (101, 65)
    assert quote_fill(SELL, 100, 65, 99, 130, 102, 999) == (UNFILLED, 0)
    assert quote_fill(BUY, 100, 65, 98, 130, 99, 65) == (99, 65)
    assert quote_fill(BUY, 100, 65, 98, 130, 0, 0) == (UNFILLED, 0)
    assert quote_fill(BUY, 100, 65, 98, 130, 99, 0) == (UNFILLED, 0)


def test_a_fill_is_moved_into_the_bar():
    assert [inside_bar(p, 10, 20) for p in (5, 10, 15, 20, 25)] == [10, 10, 15, 20, 20]
    assert inside_bar(UNFILLED, 10, 20) == UNFILLED
