"""A run over stored days: the same on any number of threads, money exact against single bills."""

import datetime as dt
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import polars as pl
import pytest

from engine.backtest.outcome import trade_hash
from engine.backtest.run import backtest
from engine.errors import DataError
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.market.charges import contract_note, option_charges
from engine.params import load_params

FIRST, LAST = dt.date(2025, 12, 15), dt.date(2025, 12, 19)
PAISA = Decimal("0.01")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = Lake(tmp_path_factory.mktemp("run"))
    ensure_simulated(made, "NIFTY", FIRST, LAST)
    return made


@pytest.fixture(scope="module")
def params():
    return load_params("swing_break", min_vwap_premium_percent=-5)


@pytest.fixture(scope="module")
def result(lake, params):
    made = backtest(params, lake, FIRST, LAST, threads=1)
    assert made.trades.height > 10
    return made


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_do_not_change_a_trade(lake, params, result, threads):
    other = backtest(params, lake, FIRST, LAST, threads=threads)
    assert other.trade_hash == result.trade_hash
    assert other.orders.equals(result.orders)
    assert other.decisions.equals(result.decisions)


def test_a_range_is_the_sum_of_its_days(lake, params, result):
    days = [backtest(params, lake, e.date, e.date) for e in result.entries]
    assert [d.date for one in days for d in one.days] == [d.date for d in result.days]
    assert trade_hash([d for one in days for d in one.days]) == result.trade_hash
    assert pl.concat([one.trades for one in days]).equals(result.trades)


def test_the_hash_moves_with_a_price(result):
    day = next(d for d in result.days if len(d.trades))
    day.trades["exit_price"][0] += 1
    try:
        assert trade_hash(result.days) != result.trade_hash
    finally:
        day.trades["exit_price"][0] -= 1
    assert trade_hash(result.days) == result.trade_hash


def keeps_all(c):
    return True


def test_a_filter_without_effect_changes_nothing(lake, params, result):
    filtered = backtest(params, lake, FIRST, LAST, filters=[keeps_all])
    assert filtered.trade_hash == result.trade_hash
    assert (
        filtered.funnel.filter(pl.col("rule") != "filter:keeps_all")
        .select("rule", "reached")
        .equals(result.funnel.select("rule", "reached"))
    )


def bills(trade):
    entry = option_charges(trade["date"], "SELL", trade["quantity"], trade["entry_price"])
    if trade["invalid"]:
        return [entry]
    return [entry, option_charges(trade["date"], "BUY", trade["quantity"], trade["exit_price"])]


def test_charges_of_each_trade_are_those_of_its_two_orders(result):
    for trade in result.trades.iter_rows(named=True):
        exact = sum((bill.total for bill in bills(trade)), Decimal(0))
        assert trade["charges"] == exact.quantize(PAISA, ROUND_HALF_UP)


def test_pnl_of_each_trade_is_its_prices_times_its_quantity(result):
    for trade in result.trades.filter(~pl.col("invalid")).iter_rows(named=True):
        assert trade["pnl"] == (trade["entry_price"] - trade["exit_price"]) * trade["quantity"]
        assert trade["net_pnl"] == trade["pnl"] - trade["charges"]
        assert trade["risk"] == (trade["stop"] - trade["entry_price"]) * trade["quantity"]
        assert trade["planned_risk"] == (trade["planned_stop"] - trade["swing_low"]) * trade["quantity"]
        assert trade["r"] == pytest.approx(float(trade["pnl"]) / 6500)
        assert trade["own_r"] == pytest.approx(float(trade["pnl"] / trade["risk"]))


def test_a_day_is_billed_as_its_contract_note(result):
    for day in result.days:
        trades = result.trades.filter(pl.col("date") == day.date)
        if trades.is_empty():
            continue
        every = [bill for trade in trades.iter_rows(named=True) for bill in bills(trade)]
        note = contract_note(every)
        assert result.contract_notes[day.date].total == note.rounded.total
        assert note.stt == note.stt.to_integral_value()


def test_the_summary_adds_up(result):
    facts, daily = result.summary(), result.daily
    assert facts["trades"] == result.trades.filter(~pl.col("invalid")).height
    assert Decimal(facts["gross_pnl"]) == sum(result.trades["pnl"].drop_nulls(), Decimal(0))
    assert Decimal(facts["charges"]) == sum(daily["charges"], Decimal(0))
    assert Decimal(facts["net_pnl"]) == sum(daily["net_pnl"], Decimal(0))
    assert Decimal(facts["net_pnl"]) == Decimal(facts["gross_pnl"]) - Decimal(facts["charges"])
    assert facts["exit_reasons"] == dict(Counter(result.trades["exit_reason"]))
    assert facts["total_r"] == pytest.approx(float(daily["r"].sum()), abs=1e-3)
    assert facts["params_hash"] == result.params.hash
    assert facts["simulated"]


def test_trades_lie_inside_their_day(result):
    trades = result.trades.filter(~pl.col("invalid"))
    assert (trades["confirmed_at"] > trades["swing_time"]).all()
    assert (trades["entry_time"] >= trades["confirmed_at"]).all()
    assert (trades["exit_time"] >= trades["entry_time"]).all()
    assert (trades["exit_time"].dt.time() <= dt.time(15, 15)).all()
    assert (trades["entry_time"].dt.date() == trades["date"]).all()
    assert (trades["entry_time"].dt.time() < dt.time(15, 15)).all()


def test_a_text_date_is_a_date(lake, params, result):
    again = backtest(params, lake, FIRST.isoformat(), LAST.isoformat())
    assert again.trade_hash == result.trade_hash


def test_progress_is_told_after_each_day(lake, params, result):
    told = []
    backtest(params, lake, FIRST, LAST, progress=lambda *step: told.append(step))
    assert told == [(k, len(result.entries), e.date) for k, e in enumerate(result.entries, start=1)]


@pytest.mark.parametrize(
    ("start", "end", "complaint"),
    [
        ("2025-12-19", "2025-12-15", "give the earlier date first"),
        ("19.12.2025", "2025-12-19", "write it as 2026-10-30"),
        ("2024-01-01", "2024-01-31", "NIFTY"),
    ],
)
def test_a_range_without_days_is_told_plainly(lake, params, start, end, complaint):
    with pytest.raises(DataError, match=complaint):
        backtest(params, lake, start, end)
