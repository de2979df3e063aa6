"""The other engines do the same job; nothing here is timed. Slow: vectorbt is imported and compiled (about 30 s)."""

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from engine.backtest.outcome import trade_hash
from engine.backtest.run import load_day, play_day
from engine.bench import backtesting_job, live, pairs, render, run
from engine.bench.alone import ENGINES, measure
from engine.bench.ours import DAYS, bars_of, play, year
from engine.bench.vectorbt_swings import literal_lows
from engine.errors import ParamsError
from engine.history.lake import Lake
from engine.history.manifest import SIMULATED_SOURCE
from engine.history.simulate import ensure_simulated
from engine.market.calendar import trading_days
from engine.params import load_params
from engine.strategy.swing import LOW, detect

FIRST, LAST = dt.date(2026, 7, 29), dt.date(2026, 8, 5)  # 375 minutes a day in July, 385 from August on


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = Lake(tmp_path_factory.mktemp("bench"))
    ensure_simulated(made, "NIFTY", FIRST, LAST)
    return made


@pytest.fixture(scope="module")
def params():
    return load_params("swing_break")


@pytest.fixture(scope="module")
def days(lake, params):
    return [load_day(lake, entry, params) for entry in lake.select("NIFTY", FIRST, LAST, SIMULATED_SOURCE)]


def with_holes(day, seed):
    """The day with one minute in eight missing."""
    lost = np.random.default_rng(seed).random(day.valid.shape) < 0.12
    return replace(day, valid=day.valid & ~lost)


def test_vectorbt_does_the_whole_job_with_the_same_trades(days, params):
    from engine.bench.vectorbt_job import market_of, simulate, trades_of

    market = market_of(days, params)
    ours = play(days, params)
    theirs = trades_of(market, simulate(market))
    assert sum(len(day.trades) for day in ours) > 10
    assert {day.minutes for day in days} == {375, 385}
    assert trade_hash(theirs) == trade_hash(ours)


def test_handing_vectorbt_the_swings_changes_no_trade(days, params):
    from engine.bench.vectorbt_job import find_swings, market_of, simulate, trades_of

    market = market_of(days, params)
    handed = find_swings(market)
    assert handed.handed
    assert trade_hash(trades_of(market, simulate(market, handed))) == trade_hash(play(days, params))


@pytest.mark.parametrize(
    "changes",
    [
        {"min_vwap_premium_percent": -20, "daily_stop_r": 1, "daily_target_r": 1},
        {
            "min_vwap_premium_percent": -20,
            "max_positions": 2,
            "max_ce_positions": 1,
            "bar_path": "high_first",
        },
        {"swing_variant": "eq2", "updated_swing_vwap": "updated", "failed_vwap_low": "remove_previous"},
        {"stop_limit_buffer_rupees": 0, "entry_limit_buffer_rupees": 0, "slippage_percent": 1},
    ],
)
def test_vectorbt_agrees_under_other_rules_and_on_days_with_holes(days, params, changes):
    from engine.bench.vectorbt_job import market_of, simulate, trades_of

    changed = params.replace(**changes)
    holed = [with_holes(day, seed) for seed, day in enumerate(days)]
    market = market_of(holed, changed)
    ours = [play_day(day, changed) for day in holed]
    assert sum(len(day.trades) for day in ours) > 5
    assert trade_hash(trades_of(market, simulate(market))) == trade_hash(ours)


def test_rules_that_the_callbacks_do_not_play_are_refused(days, params):
    from engine.bench.vectorbt_job import market_of

    with pytest.raises(ParamsError, match="latency"):
        market_of(days, params.replace(latency_ms=500))


def test_the_literal_search_finds_the_swing_lows_of_the_engine(days):
    day = days[0]
    n = day.minutes
    votes, found = np.empty((2, n), np.int32), np.empty((n, 3), np.int32)
    for contract in range(0, day.contracts, 5):
        high, low, close = day.high[contract], day.low[contract], day.close[contract]
        count = literal_lows(high, low, close, n, False, votes[0], votes[1], found)
        lows = [s for s in detect(high, low, close) if s["kind"] == LOW]
        told = [(s["conf"], s["index"], not s["update"]) for s in lows]
        assert [(conf, base, bool(new)) for conf, base, new in found[:count].tolist()] == told


def test_backtesting_py_trades_its_sample(days, params):
    picked = backtesting_job.sample(days, params.replace(min_vwap_premium_percent=-90), 12)
    _, bars, trades = backtesting_job.run_sample(picked)
    assert bars == sum(len(one.frame) for one in picked)
    assert trades > 0


def test_the_measured_year_has_250_days():
    first, last = year()
    assert len(trading_days(first, last)) == DAYS


def test_pairs_tell_rows_ratios_and_equal_trades(lake, days, params):
    told = pairs.run_pairs(days, params, lake, pairs=3, sample_size=2)
    keys = {row["key"] for row in told.rows}
    assert {
        "ours",
        "ours_2_threads",
        "vectorbt_whole_job",
        "vectorbt_handed_swings",
        "backtesting_py",
    } <= keys
    assert set(told.ratios) == {"vectorbt_whole_job", "vectorbt_handed_swings", "backtesting_py"}
    for key, ratio in told.ratios.items():
        assert told.spread[key]["min"] <= ratio <= told.spread[key]["max"]
        assert told.spread[key]["pairs"] == 3
    assert told.trades["equal"]
    assert told.trades["in_common_with_vectorbt"] == told.trades["count"]
    assert all(row["bars_per_s"] > 0 and row["wall_s"] > 0 for row in told.rows)


def test_trades_that_differ_are_told(days, params):
    ours = play(days, params)
    other = play(days, params.replace(daily_target_r=1))
    told = pairs._compare(ours, ours, other, ours)
    assert not told["equal"]
    assert told["in_common_with_vectorbt"] < told["count"]


def test_run_bench_gives_what_the_command_line_prints(monkeypatch, lake, days):
    monkeypatch.setattr(run, "make_year", lambda *_: None)
    monkeypatch.setattr(run, "load_days", lambda *_: list(days))
    figures = {"rss_mb": 300.0, "import_s": 1.0, "first_s": 2.0}
    monkeypatch.setattr(run, "alone", lambda *_: figures)
    monkeypatch.setattr(run, "measure_start", lambda *_: {"help_s": 0.1, "cold_compile_s": 20.0})
    monkeypatch.setattr(live, "SECONDS", 1.0)
    monkeypatch.setattr(live, "QUICK_SECONDS", 1.0)
    steps = []
    told = run.run_bench(quick=True, progress=lambda *step: steps.append(step), lake=lake)
    assert json.loads(json.dumps(told)) == told
    assert told["days"] == len(days)
    assert told["bars"] == bars_of(days)
    assert told["start"]["year_rss_mb"] == 300.0
    assert {"cores", "cpu", "python", "versions", "load_before", "load_after"} <= set(told["machine"])
    assert steps[-1][0] == steps[-1][1] - 1
    console = Console(width=200)
    with console.capture() as shown:
        console.print(render(told))
    assert "vectorbt, whole job" in shown.get()
    assert "equal on 1 and 2 threads" in shown.get()
    assert "SIMULATED" in shown.get()
    assert "decision to durable intent" in shown.get()
    assert told["live"]["ticks_8400"]["sent"] == 42 * 200
    assert told["live"]["ticks_20000"]["sent"] == 1000 * 20
    assert told["live"]["goals"]["lost_ticks"]["measured"] == 0


def test_an_engine_alone_tells_its_memory(monkeypatch, lake, days):
    monkeypatch.setattr("engine.bench.ours.load_days", lambda *_: list(days))
    told = measure("ours", str(lake.root), 2)
    assert set(told) == {"import_s", "first_s", "warm_s", "rss_mb"}
    assert told["rss_mb"] > 50
    assert "backtesting_py" in ENGINES
