"""What one day of a backtest left behind, in the kernels' own integers."""

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.execution.bar_path import MINUTE_MS, MOMENT_MS
from engine.history.day import DayBars


@dataclass(frozen=True, eq=False)
class DayOutcome:
    """
    Outcome of one traded day.

    Attributes
    ----------
    date, expiry : date
    symbols, strike, is_call
        Contracts of the day, as in DayBars.
    trades : TRADE[n]
    orders : ORDER_EVENT[k]
    decisions : DECISION[d]
        One line whenever what is wanted of a slot changed.
    funnel : int64[levels]
    ambiguous_bars : int
    latch : int
        Place in `fills.LATCHES`.
    """

    date: dt.date
    expiry: dt.date
    source: str
    simulated: bool
    open_minute: int
    minutes: int
    bars: int
    symbols: tuple[str, ...]
    strike: npt.NDArray[np.int32]
    is_call: npt.NDArray[np.bool_]
    trades: npt.NDArray
    orders: npt.NDArray
    decisions: npt.NDArray
    funnel: npt.NDArray[np.int64]
    ambiguous_bars: int
    latch: int


@dataclass(frozen=True)
class SkippedDay:
    """A day of the range that was not traded, and why."""

    date: dt.date
    reason: str


def moment_ms(minute: npt.NDArray, moment: npt.NDArray) -> npt.NDArray[np.int64]:
    """Milliseconds after the open of moments of minutes."""
    return np.asarray(minute, np.int64) * MINUTE_MS + MOMENT_MS[np.asarray(moment)]


def trade_hash(days: Iterable[DayOutcome]) -> str:
    """
    Sixteen hex digits over every trade: date, symbol, entry and exit time, price, quantity, stop and reason.

    Equal hashes mean equal trades; a speed change must not move it.
    """
    digest = hashlib.sha256()
    for day in days:
        entry = moment_ms(day.trades["entry_minute"], day.trades["entry_moment"])
        exit_ = moment_ms(day.trades["exit_minute"], day.trades["exit_moment"])
        for k, trade in enumerate(day.trades):
            line = (
                day.date.isoformat(),
                day.symbols[trade["contract"]],
                int(entry[k]),
                int(trade["entry_price"]),
                int(trade["quantity"]),
                int(trade["stop"]),
                int(exit_[k]),
                int(trade["exit_price"]),
                int(trade["reason"]),
            )
            digest.update(repr(line).encode())
    return digest.hexdigest()[:16]


def outcome_of(
    day: DayBars, trades: npt.NDArray, orders: npt.NDArray, decisions: npt.NDArray, funnel: npt.NDArray[np.int64],
    ambiguous_bars: int, latch: int,
) -> DayOutcome:  # fmt: skip
    """Copy a day's record out of the working room."""
    assert day.date is not None
    assert day.expiry is not None
    return DayOutcome(
        date=day.date,
        expiry=day.expiry,
        source=day.source,
        simulated=day.simulated,
        open_minute=day.open_minute,
        minutes=day.minutes,
        bars=int(day.valid.sum()),
        symbols=day.symbols,
        strike=day.strike,
        is_call=day.is_call,
        trades=trades.copy(),
        orders=orders.copy(),
        decisions=decisions.copy(),
        funnel=funnel,
        ambiguous_bars=ambiguous_bars,
        latch=latch,
    )
