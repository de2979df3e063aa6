"""vectorbt must agree on every trade. Slow: importing it and compiling its kernels takes 10 to 20 s a process."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from engine.backtest.crosscheck import crosscheck
from engine.backtest.run import backtest
from engine.execution.ledger import NO_PRICE
from engine.execution.orders import ENTRY, FILLED
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.params import load_params

FIRST, LAST = dt.date(2026, 3, 2), dt.date(2026, 3, 6)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("crosscheck"))
    ensure_simulated(lake, "NIFTY", FIRST, LAST)
    made = backtest(load_params("swing_break"), lake, FIRST, LAST)
    assert made.trades.height > 5
    return made


def changed(result, day, **parts):
    """The result with some of one day's records replaced."""
    days = list(result.days)
    days[day] = replace(days[day], **parts)
    return replace(result, days=tuple(days))


def day_with_trades(result):
    return next(k for k, day in enumerate(result.days) if len(day.trades))


def test_vectorbt_books_the_same_pnl_to_the_paisa(result):
    check = crosscheck(result)
    assert check.equal
    assert check.trades == result.trades.height
    assert check.ours == check.vectorbt == Decimal(result.summary()["gross_pnl"])
    assert check.differences.is_empty()


def test_a_falsified_exit_price_of_a_trade_is_caught(result):
    day = day_with_trades(result)
    trades = result.days[day].trades.copy()
    trades["exit_price"][0] += 1
    check = crosscheck(changed(result, day, trades=trades))
    assert not check.equal
    row = check.differences.row(0, named=True)
    assert check.differences.height == 1
    assert row["exit_price"] - row["exit_price_vectorbt"] == Decimal("0.05")
    assert row["date"] == result.days[day].date


def test_a_falsified_fill_in_the_order_log_is_caught(result):
    day = day_with_trades(result)
    orders = result.days[day].orders.copy()
    first = int(np.flatnonzero((orders["event"] == FILLED) & (orders["role"] == ENTRY))[0])
    orders["price"][first] += 1
    check = crosscheck(changed(result, day, orders=orders))
    assert not check.equal
    assert check.vectorbt - check.ours == Decimal("0.05") * int(orders["quantity"][first])


def test_a_falsified_pnl_is_caught_even_when_the_total_stays(result):
    day = next(k for k, d in enumerate(result.days) if len(d.trades) > 1)
    trades = result.days[day].trades.copy()
    trades["pnl"][0] += 1
    trades["pnl"][1] -= 1
    check = crosscheck(changed(result, day, trades=trades))
    assert check.ours == check.vectorbt
    assert not check.equal
    assert check.differences.height == 2


def test_a_missing_exit_fill_is_caught(result):
    day = day_with_trades(result)
    orders = result.days[day].orders
    last_exit = int(np.flatnonzero((orders["event"] == FILLED) & (orders["role"] != ENTRY))[-1])
    check = crosscheck(changed(result, day, orders=np.delete(orders, last_exit)))
    assert not check.equal


def test_invalid_trades_are_left_out_and_counted(result):
    day = day_with_trades(result)
    trades, orders = result.days[day].trades.copy(), result.days[day].orders
    last = len(trades) - 1
    contract = trades["contract"][last]
    trades["invalid"][last], trades["reason"][last] = True, NO_PRICE
    trades["exit_price"][last], trades["pnl"][last] = 0, 0
    its_exit = np.flatnonzero(
        (orders["event"] == FILLED) & (orders["role"] != ENTRY) & (orders["contract"] == contract)
    )[-1]
    check = crosscheck(changed(result, day, trades=trades, orders=np.delete(orders, its_exit)))
    assert check.equal
    assert check.invalid == 1
    assert check.trades == result.trades.height - 1


def test_an_entry_fill_that_no_trade_tells_of_is_caught(result):
    day = day_with_trades(result)
    orders = result.days[day].orders
    stray = orders[(orders["event"] == FILLED) & (orders["role"] == ENTRY)][:1].copy()
    stray["contract"] = next(
        c for c in range(len(result.days[day].symbols)) if c not in result.days[day].trades["contract"]
    )
    check = crosscheck(changed(result, day, orders=np.concatenate((orders, stray))))
    assert not check.equal


def test_a_result_without_trades_is_equal(result):
    check = crosscheck(
        replace(
            result,
            days=tuple(replace(day, trades=day.trades[:0], orders=day.orders[:0]) for day in result.days),
        )
    )
    assert check.equal
    assert check.trades == 0
    assert check.vectorbt == Decimal("0.00")
