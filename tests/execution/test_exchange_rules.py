"""Refusals, margins and resting orders as practice exchange and paper broker share them."""

import datetime as dt
from types import SimpleNamespace

import pytest

from engine.execution import exchange_rules as rules
from engine.execution.margins import OptionLeg, need_of_legs
from engine.execution.matching import BUY, SELL, UNFILLED
from engine.execution.resting import Step, bar_price, quote_price

DATE = dt.date(2026, 9, 1)


@pytest.mark.parametrize(
    ("last", "limit"),
    [(200, 210), (201, 207), (2000, 2060), (2020, 2060), (10_000, 10_200), (10_020, 10_120)],
)
def test_automatic_protection_narrows_as_prices_rise(last, limit):
    assert rules.protected_limit(BUY, last, -1) == limit


def test_protection_in_per_cent_never_falls_below_a_tick():
    assert rules.protected_limit(SELL, 2000, 5) == 1900
    assert rules.protected_limit(SELL, 3, 100) == 1


def test_a_trigger_that_is_reached_is_on_the_wrong_side():
    assert rules.wrong_side(SELL, 99, 100) is None
    assert "lower than the last traded price (Rs. 5.00)" in rules.wrong_side(SELL, 100, 100)
    assert "higher than the last traded price" in rules.wrong_side(BUY, 100, 100)
    assert rules.wrong_side(BUY, 100, 0) is None  # nothing has traded: nothing is judged


def test_the_band_binds_a_sell_below_and_a_buy_above():
    assert rules.outside_band(SELL, 1_000_000, 2000, DATE) is None
    assert rules.outside_band(BUY, 1, 2000, DATE) is None
    assert "lower circuit limit" in rules.outside_band(SELL, 1, 2000, DATE)
    assert "upper circuit limit" in rules.outside_band(BUY, 1_000_000, 2000, DATE)
    assert rules.outside_band(BUY, 1_000_000, 0, DATE) is None


def test_lots_and_freeze():
    assert rules.off_the_lot("X", 130, 65) is None
    assert "multiples of 65" in rules.off_the_lot("X", 100, 65)
    assert rules.above_freeze("X", 1800, 1800) is None
    assert "freeze limit of 1800" in rules.above_freeze("X", 1801, 1800)


def leg(side, strike, quantity=65, kind="CE", expiry=dt.date(2026, 9, 8)):
    return OptionLeg(kind, strike, expiry, side, quantity, 400)


def test_a_short_blocks_span_and_exposure_of_its_notional():
    need = need_of_legs([leg(SELL, 25000)], DATE, 25000.0)
    assert (need.span, need.exposure, need.premium) == (65 * 232_500, 65 * 50_000, 0)
    assert need_of_legs([leg(SELL, 25000, expiry=DATE)], DATE, 25000.0).exposure == 65 * 100_000
    assert need_of_legs([leg(SELL, 25000)], DATE, None) == need


def test_a_hedge_of_the_same_kind_caps_the_span_at_the_distance_of_the_strikes():
    hedged = need_of_legs([leg(BUY, 25100), leg(SELL, 25000)], DATE, 25000.0)
    assert (hedged.span, hedged.premium) == (65 * 100 * 100, 65 * 400 * 5)
    other = need_of_legs([leg(BUY, 25100, kind="PE"), leg(SELL, 25000)], DATE, 25000.0)
    assert other.span == 65 * 232_500


def order(side, kind, limit, trigger=0, triggered=False, fresh=True, pending=65):
    return SimpleNamespace(
        side=side, order_type=kind, limit=limit, trigger=trigger, triggered=triggered, fresh=fresh, pending=pending,
        is_stop=kind == "SL" and not triggered,
    )  # fmt: skip


def test_a_stop_fills_at_its_trigger_when_the_price_moves_and_at_the_price_when_it_jumps():
    stop = order(SELL, "SL", 80, 95)
    assert bar_price(stop, Step(100, 90, False, 1, 999), 1, 0) == (True, 94)
    assert bar_price(stop, Step(100, 90, True, 1, 999), 1, 0) == (True, 89)
    assert bar_price(stop, Step(100, 90, True, 90, 999), 1, 0) == (True, 90)  # never outside the bar
    assert bar_price(stop, Step(100, 96, False, 1, 999), 1, 0) == (False, UNFILLED)


def test_a_new_limit_takes_the_price_with_slippage_and_a_rested_one_its_limit():
    assert bar_price(order(BUY, "LIMIT", 110), Step(100, 100, True, 1, 999), 2, 0) == (False, 102)
    assert bar_price(order(BUY, "LIMIT", 101), Step(100, 100, True, 1, 999), 2, 0) == (False, 101)
    assert bar_price(order(BUY, "LIMIT", 101, fresh=False), Step(100, 90, True, 1, 999), 2, 0) == (False, 101)


def test_a_quote_fills_what_it_offers_and_is_used_up():
    left = [40, 40]
    assert quote_price(order(SELL, "LIMIT", 99), 100, (99, 101), left) == (False, 99, 40)
    assert left == [0, 40]
    assert quote_price(order(SELL, "LIMIT", 99), 100, (99, 101), left) == (False, UNFILLED, 0)
    assert quote_price(order(SELL, "SL", 90, 95), 100, (99, 101), left)[0] is False
