"""The whole job in vectorbt: days as column groups through `Portfolio.from_order_func`, and its trades back.

For the benchmark only. `market_of` lays the days out as vectorbt wants them (outside the clock, as loading is for
the other engines), `simulate` is what is timed, `trades_of` turns its order records into the engine's own
trades, so that both runs can be compared by one hash.

Importing this module imports vectorbt (about 9 s); its first simulation compiles (about 20 s).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import vectorbt as vbt
from vectorbt.portfolio.enums import OrderSide

from engine.backtest.outcome import DayOutcome, outcome_of
from engine.backtest.setup import setup_for
from engine.bench import vectorbt_rules as rules
from engine.bench.vectorbt_book import CONTRACT, CURSOR, NOTE, WORKING, Book
from engine.bench.vectorbt_swings import SWING_EVENT, Job, Swings, find_all_swings
from engine.errors import ParamsError
from engine.execution.decisions import DECISION
from engine.execution.ledger import NO_PRICE, TRADE, short_pnl
from engine.execution.orders import ORDER_EVENT
from engine.history.day import DayBars
from engine.params import SwingBreakParams

_CASH_TICKS = 1e12
"""Capital of each day: no short sale is refused for want of cash."""

_ORDERS_PER_DAY = 256


@dataclass(frozen=True, eq=False)
class Market:
    """
    Days laid out for vectorbt.

    Attributes
    ----------
    days : tuple of DayBars
    close : float64[R, N], ticks, NaN where a contract has no bar
    groups : int64[N], number of each column's day
    group_lens : int64[G]
    job : Job
    """

    days: tuple[DayBars, ...]
    close: npt.NDArray[np.float64]
    groups: npt.NDArray[np.int64]
    group_lens: npt.NDArray[np.int64]
    job: Job


@dataclass(frozen=True, eq=False)
class Simulation:
    """Order records of vectorbt and the note on each of them."""

    orders: npt.NDArray
    notes: npt.NDArray


def market_of(days: Sequence[DayBars], params: SwingBreakParams) -> Market:
    """
    Lay days out as columns.

    Raises
    ------
    ParamsError
        If the parameters ask for what these callbacks do not play.
    """
    if params.latency_ms or params.filters or params.same_bar_rule != "first_vote":
        raise ParamsError(
            "the benchmark plays no latency, no saved filters and no alternation_first; use the defaults"
        )
    setups = [setup_for(day, params) for day in days]
    rows = max(day.minutes for day in days)

    def stacked(name: str) -> npt.NDArray:
        return np.concatenate([np.pad(getattr(day, name), ((0, 0), (0, rows - day.minutes))) for day in days])

    def by_day(values: Sequence[int]) -> npt.NDArray[np.int64]:
        return np.array(values, np.int64)

    grids = {name: stacked(name) for name in ("open", "high", "low", "close", "volume", "valid")}
    group_lens = by_day([day.contracts for day in days])
    job = Job(
        **grids,
        strike=np.concatenate([day.strike for day in days]),
        is_call=np.concatenate([day.is_call for day in days]),
        minutes=by_day([day.minutes for day in days]),
        lot=by_day([day.lot_size for day in days]),
        entry_from=by_day([setup.entry_from for setup in setups]),
        entry_until=by_day([setup.entry_until for setup in setups]),
        exit_minute=by_day([setup.exit_minute for setup in setups]),
        rules=setups[0].rules,
        limits=setups[0].limits,
        path=setups[0].path,
        slip_ticks=setups[0].slip_ticks,
        slip_basis_points=setups[0].slip_basis_points,
        stop_unfilled_ms=setups[0].stop_unfilled_ms,
    )
    close = np.where(grids["valid"], grids["close"], np.nan).T.astype(np.float64)
    return Market(
        tuple(days), np.ascontiguousarray(close), np.repeat(np.arange(len(days)), group_lens), group_lens, job
    )


def _empty_swings(market: Market) -> Swings:
    rows, columns = market.close.shape
    return Swings(
        first=np.full((len(market.days), rows), -1, np.int32),
        events=np.zeros(columns * (rows // 2 + 1), SWING_EVENT),
        total=np.zeros(1, np.int64),
        handed=False,
    )


def find_swings(market: Market) -> Swings:
    """All judged swing lows, to be handed to `simulate`."""
    swings = _empty_swings(market)
    find_all_swings(market.job, swings, market.group_lens)
    events = swings.events[: swings.total[0]].copy()
    return swings._replace(events=events, handed=True)


def simulate(market: Market, swings: Swings | None = None) -> Simulation:
    """
    Run all days through vectorbt.

    Parameters
    ----------
    swings : Swings, optional
        From `find_swings`; left out, the search is part of the simulation.
    """
    most = _ORDERS_PER_DAY * len(market.days)
    widest = int(market.group_lens.max())
    notes = np.zeros(most, NOTE)
    book = Book(
        contracts=np.zeros(widest, CONTRACT),
        working=np.zeros(2, WORKING),
        watched=np.zeros(widest, np.int64),
        held=np.zeros(widest, np.int64),
        counts=np.zeros(3, np.int64),
        cursor=np.zeros(1, CURSOR),
        notes=notes,
    )
    portfolio: Any = vbt.Portfolio.from_order_func(
        market.close,
        rules.next_fill,
        flexible=True,
        group_by=market.groups,
        cash_sharing=True,
        init_cash=_CASH_TICKS,
        pre_group_func_nb=rules.begin_day,
        pre_group_args=(market.job, swings or _empty_swings(market), book),
        post_segment_func_nb=rules.decide,
        fill_pos_record=False,
        max_orders=most,
        max_logs=1,
    )
    return Simulation(portfolio.order_records, notes)


def trades_of(market: Market, simulation: Simulation) -> list[DayOutcome]:
    """
    The simulation's trades in the engine's own form, day by day, in the order of entry.

    Of each trade these fields are told: contract, entry and exit (minute, moment, price), quantity, stop as
    placed, reason, P&L, and whether it is invalid (never closed).
    """
    trades: list[list[npt.NDArray]] = [[] for _ in market.days]
    open_now: dict[int, npt.NDArray] = {}
    first_column = np.concatenate(([0], np.cumsum(market.group_lens)))
    for order, note in zip(simulation.orders, simulation.notes, strict=False):
        column, price = int(order["col"]), round(float(order["price"]))
        if order["side"] == OrderSide.Sell:
            day = int(market.groups[column])
            trade = np.zeros(1, TRADE)
            trade["contract"] = column - first_column[day]
            trade["quantity"] = round(float(order["size"]))
            trade["entry_minute"], trade["entry_moment"] = order["idx"], note["moment"]
            trade["entry_price"], trade["stop"] = price, note["stop"]
            trade["exit_minute"], trade["exit_moment"] = market.days[day].minutes - 1, 3
            trade["reason"], trade["invalid"] = NO_PRICE, True
            trades[day].append(trade)
            open_now[column] = trade
        else:
            trade = open_now.pop(column)
            trade["exit_minute"], trade["exit_moment"] = order["idx"], note["moment"]
            trade["exit_price"], trade["reason"], trade["invalid"] = price, note["reason"], False
            trade["pnl"] = short_pnl(int(trade["entry_price"][0]), price, int(trade["quantity"][0]))
    none = np.zeros(0, np.int64)
    return [
        outcome_of(
            day,
            np.concatenate([np.zeros(0, TRADE), *rows]),
            np.zeros(0, ORDER_EVENT),
            np.zeros(0, DECISION),
            none,
            0,
            0,
        )
        for day, rows in zip(market.days, trades, strict=True)
    ]
