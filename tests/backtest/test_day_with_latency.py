"""Orders that take time to arrive: what crosses on the way is still stopped, closed, counted."""

import random
from pathlib import Path

import pytest
from oracle import draws
from oracle.compare import DATE, EXPIRY, differences, engine_outcome
from oracle.market import Bar, Contract, Market, day_bars, random_market

from engine.backtest.setup import setup_for
from engine.params import load_params

PARAMS = Path(__file__).resolve().parents[2] / "params" / "swing_break.yaml"
LATENCIES_MS = (300, 1_500, 15_000, 25_000, 30_000)
TO_AN_ORDER = (
    (2400, 2420, 2360, 2380), (2380, 2390, 2300, 2320), (2320, 2360, 2280, 2340), (2340, 2420, 2330, 2410),
    (2410, 2480, 2400, 2460), (2460, 2470, 2380, 2390), (2390, 2400, 2320, 2330), (2330, 2340, 2260, 2270),
    (2270, 2360, 2264, 2350), (2350, 2380, 2340, 2370),
)  # fmt: skip
"""Bars after which a SELL stop-limit stands below the low of 2260."""
QUIET = (2370, 2375, 2365, 2370)


def market(*after, minutes=60):
    bars = [Bar(*prices, 650) for prices in (*TO_AN_ORDER, *after)]
    bars += [bars[-1]] * (minutes - len(bars))
    return Market((Contract("N24000CE", 24000, "CE", tuple(bars)),), minutes)


def play(day, **changes):
    known = {"min_vwap_premium_percent": -10, "slippage_rupees": 0, "entry_start_time": "09:25"}
    return engine_outcome(day, load_params(PARAMS, **{**known, **changes}))


def test_days_with_latency_equal_the_oracle():
    unequal = []
    for seed in range(150):
        params = draws.parameters(seed, latency_ms=random.Random(seed).choice(LATENCIES_MS))
        if differences(draws.market(seed), params):
            unequal.append(seed)
    assert unequal == []


def test_fill_while_the_cancel_at_the_end_of_entry_hours_is_on_its_way_is_closed():
    fall = ((2230, 2300, 2225, 2290), *[(2290, 2300, 2280, 2290)] * 20)
    hours = {"entry_end_time": "09:30", "forced_exit_time": "09:30"}
    done = play(market(*[QUIET] * 5, *fall), **hours, latency_ms=500)
    assert [trade.reason for trade in done.trades] == ["time"]


def test_fill_between_latch_and_cancel_is_closed():
    after = [(2380, 2390, 2370, 2380)] * 41
    ce = [*TO_AN_ORDER, QUIET, (2300, 2310, 2250, 2255), *after]
    pe = [
        *TO_AN_ORDER,
        QUIET,
        (2370, 2375, 2300, 2370),
        (2370, 2372, 2250, 2300),
        *[(2300, 2310, 2290, 2300)] * 40,
    ]
    contracts = tuple(
        Contract(f"N24000{kind}", 24000, kind, tuple(Bar(*prices, 650) for prices in bars))
        for kind, bars in (("CE", ce), ("PE", pe))
    )
    done = play(Market(contracts, len(ce)), latency_ms=30_000, daily_stop_r=0.4, entry_end_time="09:45")
    assert done.latch == "day_stop"
    assert all(trade.reason in ("day_stop", "stop") for trade in done.trades)


def test_stop_at_a_fill_counts_the_closed_bar_whose_change_is_still_on_its_way():
    done = play(market(QUIET, (2370, 2440, 2365, 2430), (2250, 2255, 2240, 2245)), latency_ms=500)
    (trade,) = done.trades
    assert trade.stop == 2460


def test_forced_exit_is_kept_in_the_last_quarter_hour():
    day = day_bars(random_market(1, contracts=2, minutes=375), DATE, EXPIRY)
    assert setup_for(day, load_params(PARAMS, forced_exit_time="15:20")).exit_minute == 365


def test_a_market_exit_cancels_its_stop_in_the_log():
    fall = ((2300, 2310, 2250, 2255), *[(2255, 2265, 2245, 2250)] * 30)
    done = play(market(QUIET, *fall), entry_end_time="09:30", forced_exit_time="09:33")
    assert ("stop", "cancelled") in [(order[3], order[4]) for order in done.orders]
    numbers = [order[2] for order in done.orders if order[4] in ("placed", "filled") and order[3] != "entry"]
    assert len(set(numbers)) == 2, "stop and exit are orders of their own"


@pytest.mark.parametrize("buffer", [0, 1])
def test_no_distance_is_no_size(buffer):
    params = load_params(
        PARAMS,
        min_stop_percent=0,
        stop_buffer_rupees=buffer,
        min_vwap_premium_percent=-50,
        min_entry_price_rupees=20,
    )
    bars = [
        (2400, 2410, 2390, 2400), (2400, 2420, 2395, 2415), (2415, 2430, 2380, 2425), (2380, 2380, 2380, 2380),
        (2380, 2380, 2380, 2380),
    ]  # fmt: skip
    padded = (*(Bar(*prices, 65) for prices in bars), *[None] * 40)
    done = engine_outcome(Market((Contract("N24000CE", 24000, "CE", padded),), 45), params)
    assert all(trade.lots > 0 for trade in done.trades)
