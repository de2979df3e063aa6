"""Whole days through the session: without delay equal to the backtest, with delay every difference has a cause."""

import datetime as dt
from collections import Counter

import pytest
from live.exchange_for_session import OPEN_NS
from logged_exchange import LoggedExchange

from engine.backtest.run import load_day, play_day
from engine.desk.parity import compare_day, session_day
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.params import load_params

FIRST, LAST = dt.date(2026, 9, 1), dt.date(2026, 9, 4)
PARAMS = load_params(
    "swing_break", strikes_each_side=5, slippage_rupees=0.25, min_vwap_premium_percent=-10, latency_ms=0
)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("parity-days"))
    ensure_simulated(lake, "NIFTY", FIRST, LAST, strikes_each_side=5)
    return [load_day(lake, entry, PARAMS) for entry in lake.select("NIFTY", FIRST, LAST)]


def compared(bars, params, delay_ms=0, latency_ms=None):
    run = LoggedExchange(bars, params, delay_ms).play()
    ours = session_day(run.events, bars.date, open_ns=OPEN_NS)
    told = delay_ms if latency_ms is None else latency_ms
    return compare_day(ours, play_day(bars, params.replace(latency_ms=told)), latency_ms=told)


def test_days_without_delay_are_equal_and_hash_equal(days):
    for bars in days:
        found = compared(bars, PARAMS)
        assert found.equal, found.differences
        assert found.trade_hash == found.backtest_trade_hash
        assert found.trades > 0
        assert found.decisions > 20
        assert found.pnl == found.backtest_pnl


@pytest.mark.parametrize("delay_ms", [300, 5000, 25_000])
@pytest.mark.parametrize("both", [True, False])
def test_days_with_a_delay_have_a_cause_for_every_difference(days, delay_ms, both):
    causes = Counter()
    for bars in days:
        found = compared(bars, PARAMS, delay_ms, delay_ms if both else 0)
        assert found.is_accounted_for(exact=False), [d for d in found.differences if d.cause == "unexplained"]
        causes.update(found.causes)
    assert causes or (not both and delay_ms == 300)  # the moments of a bar are further apart than that
