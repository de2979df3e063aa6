"""A session fed moment by moment decides and trades what the backtest does, row for row."""

import datetime as dt

import pytest
from exchange_for_session import MS, OPEN_NS, Exchange
from oracle import draws
from oracle.compare import DATE, EXPIRY
from oracle.market import day_bars

from engine.backtest.run import load_day, play_day
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS
from engine.execution.decisions import VERDICTS
from engine.execution.ledger import EXIT_REASONS
from engine.history.importers import import_file
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.log.events import DecisionMade
from engine.params import load_params
from engine.strategy.predicates import compile_all

FIRST, LAST = dt.date(2026, 9, 1), dt.date(2026, 9, 8)


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("session-days"))
    ensure_simulated(lake, "NIFTY", FIRST, LAST, strikes_each_side=5)
    return lake


def settings(**changes):
    changes = {"slippage_rupees": 0.25, "min_vwap_premium_percent": -10, "latency_ms": 0, **changes}
    return load_params("swing_break", strikes_each_side=5, **changes)


def decisions_of(outcome):
    """The backtest's DECISION lines as the session writes them."""
    made = []
    for line in outcome.decisions:
        order = line["order"]
        wanted = order["contract"] >= 0
        names = ("conf_minute", "swing_index", "swing_minute", "swing_low", "highest_high", "bars_after",
                 "trigger", "limit", "lots", "stop")  # fmt: skip
        made.append(
            DecisionMade(
                minute=int(line["minute"]),
                slot="PE" if line["kind"] else "CE",
                verdict=VERDICTS[line["verdict"]],
                candidates=int(line["candidates"]),
                qualified=int(line["qualified"]),
                symbol=outcome.symbols[order["contract"]] if wanted else "",
                **{name: int(order[name]) if wanted else 0 for name in names},
            )
        )
    return made


def trades_of(outcome):
    def ns(minute, moment):
        return OPEN_NS + (int(minute) * MINUTE_MS + int(MOMENT_MS[moment])) * MS

    return sorted(
        (
            outcome.symbols[t["contract"]], int(t["conf_minute"]), ns(t["entry_minute"], t["entry_moment"]),
            int(t["entry_price"]), int(t["quantity"]), int(t["stop"]), ns(t["exit_minute"], t["exit_moment"]),
            int(t["exit_price"]), EXIT_REASONS[t["reason"]], int(t["pnl"]),
        )
        for t in outcome.trades
        if not t["invalid"]
    )  # fmt: skip


def trades_in(state):
    return sorted(
        (
            t.symbol, t.conf_minute, t.entry_ns, t.entry_value // t.quantity, t.quantity, t.stop, t.exit_ns,
            t.exit_value // t.quantity, t.reason, t.pnl,
        )
        for t in state.trades.values()
    )  # fmt: skip


def compare(bars, params, filters=()):
    filters = compile_all(filters)
    outcome = play_day(bars, params, filters)
    run = Exchange(bars, params, filters).play()
    assert run.decisions == decisions_of(outcome)
    assert trades_in(run.state) == trades_of(outcome)
    assert len(run.latched) == (outcome.latch != 0)
    assert run.alerts == []
    return outcome, run


def compare_days(lake, params, filters=()):
    reasons, rows = set(), 0
    for entry in lake.select("NIFTY", FIRST, LAST):
        outcome, _ = compare(load_day(lake, entry, params), params, filters)
        reasons |= {EXIT_REASONS[t["reason"]] for t in outcome.trades}
        rows += len(outcome.decisions)
    assert rows > 100
    return reasons


def test_simulated_days_decide_and_trade_as_in_the_backtest(days):
    assert compare_days(days, settings()) == {"stop", "day_stop", "day_target"}


def test_positions_held_to_the_forced_exit_equal_the_backtest(days):
    loose = settings(daily_stop_r=None, daily_target_r=None, max_positions=None, max_ce_positions=None,
                     max_pe_positions=None, slippage_percent=0.2)  # fmt: skip
    assert compare_days(days, loose) >= {"stop", "time"}


@pytest.mark.parametrize("path", ["high_first", "nearest_first"])
def test_other_paths_and_tight_rails_equal_the_backtest(days, path):
    compare_days(days, settings(bar_path=path, daily_target_r=1, daily_stop_r=1, max_positions=2,
                                swing_variant="eq2", failed_vwap_low="remove_previous",
                                updated_swing_vwap="updated"))  # fmt: skip


def test_a_user_filter_decides_as_in_the_backtest(days):
    compare_days(days, settings(), (lambda c: c.stop_points < 14,))


def test_the_real_day_decides_and_trades_as_in_the_backtest(shared, tmp_path):
    lake = Lake(tmp_path)
    import_file(shared / "data" / "banknifty_1m_20221230.parquet", lake)
    params = load_params("swing_break_banknifty", min_vwap_premium_percent=-10, latency_ms=0)
    outcome, _ = compare(load_day(lake, lake.entries()[0], params), params)
    assert len(outcome.trades) > 5


def test_wild_little_days_decide_and_trade_as_in_the_backtest():
    unequal, reasons = [], set()
    for seed in range(150):
        params = draws.parameters(seed, latency_ms=0)
        bars = day_bars(draws.market(seed), DATE, EXPIRY)
        outcome = play_day(bars, params)
        run = Exchange(bars, params).play()
        same = run.decisions == decisions_of(outcome) and trades_in(run.state) == trades_of(outcome)
        if not same or run.alerts or len(run.latched) != (outcome.latch != 0):
            unequal.append(seed)
        reasons |= {EXIT_REASONS[t["reason"]] for t in outcome.trades}
    assert unequal == []
    assert reasons >= {"stop", "stop_gap", "day_stop", "day_target", "time"}
