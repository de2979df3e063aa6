"""The compiled day equals a naive one, walked tick by tick in plain Python: trades, orders, decisions, counts."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import draws
from oracle.compare import differences, engine_outcome
from oracle.market import Bar, Contract, Market

from engine.params import load_params

DAYS = 240


@pytest.mark.parametrize("block", range(8))
def test_random_days_are_equal_in_every_record(block):
    for seed in range(block * DAYS // 8, (block + 1) * DAYS // 8):
        assert differences(draws.market(seed), draws.parameters(seed)) == {}, seed


def test_the_random_days_hold_every_kind_of_ending():
    """Otherwise their equality would prove little."""
    reasons, events, latches, verdicts = Counter(), Counter(), Counter(), Counter()
    for seed in range(DAYS):
        outcome = engine_outcome(draws.market(seed), draws.parameters(seed))
        reasons.update(t.reason for t in outcome.trades)
        events.update(o[4] for o in outcome.orders)
        latches[outcome.latch] += 1
        verdicts.update(d[2] for d in outcome.decisions)
    assert min(reasons[r] for r in ("stop", "stop_gap", "day_stop", "day_target", "time")) >= 3
    assert min(events[e] for e in ("placed", "modified", "cancelled", "triggered", "filled")) >= 100
    assert min(latches[x] for x in ("", "day_stop", "day_target")) >= 5
    assert min(verdicts[v] for v in ("none_qualifies", "wanted", "no_room", "outside_hours", "day_over")) >= 5


@st.composite
def tiny_markets(draw):
    """Few bars on a coarse grid, so that a failure shrinks to something one can read."""
    contracts = []
    for n in range(draw(st.integers(1, 3))):
        level, bars = draw(st.sampled_from([2200, 3000])), []
        for move, *prices, hole in draw(
            st.lists(
                st.tuples(
                    st.integers(-6, 6),
                    st.integers(0, 8),
                    st.integers(0, 8),
                    st.integers(0, 8),
                    st.integers(0, 9),
                ),
                min_size=12,
                max_size=40,
            )
        ):
            level += 10 * move
            low, one, high = sorted(10 * p for p in prices)
            bar = Bar(level + one, level + high, level + low, level + (low, one, high)[prices[0] % 3], 65)
            bars.append(bar if hole or not bars else None)
        kind = "CE" if n < 2 else "PE"
        contracts.append(Contract(f"S{24000 + 50 * n}{kind}", 24000 + 50 * n, kind, tuple(bars)))
    longest = max(len(c.bars) for c in contracts)
    filled = [
        Contract(c.symbol, c.strike, c.option_type, c.bars + (None,) * (longest - len(c.bars)))
        for c in contracts
    ]
    return Market(tuple(filled), longest)


LIVELY = {
    "min_entry_price_rupees": 20,
    "min_vwap_premium_percent": -50,
    "min_stop_percent": 0,
    "max_stop_percent": 50,
}


@settings(deadline=None, max_examples=120)
@given(tiny_markets(), st.sampled_from(["worst", "high_first", "nearest_first"]), st.integers(0, 1000))
def test_tiny_days_are_equal_in_every_record(market, path, seed):
    params = draws.parameters(seed, bar_path=path, entry_start_time="09:15", **LIVELY)
    assert differences(market, params) == {}


def test_the_shipped_parameters_on_rising_and_falling_days():
    for seed in range(12):
        params = load_params(min_vwap_premium_percent=-20)
        assert differences(draws.market(seed), params) == {}
