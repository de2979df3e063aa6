"""Run the strategy over history: load the days, play each through the compiled loop, gather the result.

Days are independent (every position ends with its day), so threads share them freely: the kernels run
without the interpreter lock and the result is put together in the order of the calendar.
"""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from engine.backtest.day_loop import run_day
from engine.backtest.day_record import (
    AMBIGUOUS,
    COUNTS,
    DECISIONS,
    LATCH,
    ORDERS,
    TRADES,
    Record,
    Snapshot,
)
from engine.backtest.outcome import DayOutcome, SkippedDay, outcome_of
from engine.backtest.result import Result
from engine.backtest.setup import setup_for, why_untradable
from engine.errors import DataError, ParamsError
from engine.execution.decisions import DECISION
from engine.execution.ledger import TRADE
from engine.execution.orders import ORDER_EVENT
from engine.history.day import DayBars
from engine.history.lake import Lake
from engine.history.manifest import LakeDay
from engine.market.contracts import latest_lot_size
from engine.market.prices import paise_to_rupees
from engine.params import SwingBreakParams
from engine.strategy.candidates import LOW_EVENT, SLOT, level_names
from engine.strategy.predicates import FilterFailedError, Predicate, compile_all, load_filter
from engine.strategy.swing_break import kernel_day
from engine.strategy.universe import watched_strikes

Progress = Callable[[int, int, dt.date], object]
"""Called after each day with days done, days in all, and the date."""

DEFAULT_THREADS = 2


class _Room(threading.local):
    """Working arrays of one thread, made once and used for every day it runs."""

    def __init__(self) -> None:
        self.shape = (0, 0)

    def fit(self, contracts: int, minutes: int) -> None:
        if contracts <= self.shape[0] and minutes <= self.shape[1]:
            return
        self.shape = (max(contracts, self.shape[0]), max(minutes, self.shape[1]))
        contracts, minutes = self.shape
        self.events = np.zeros(contracts * (minutes // 2 + 1), LOW_EVENT)
        self.trades = np.zeros(2 * minutes + contracts, TRADE)
        self.orders = np.zeros(16 * minutes + 8 * contracts, ORDER_EVENT)
        self.decisions = np.zeros(2 * minutes + 2, DECISION)


_room = _Room()


def play_day(
    day: DayBars,
    params: SwingBreakParams,
    predicates: Sequence[Predicate] = (),
    snapshot: Snapshot | None = None,
) -> DayOutcome:
    """
    Run one day.

    Parameters
    ----------
    day : DayBars
        With date and expiry.
    predicates : sequence of Predicate
        Compiled filters, in order.
    snapshot : Snapshot, optional
        Filled with the candidates at the close of its minute.

    Raises
    ------
    DataError
        If the day cannot be traded.
    """
    setup = setup_for(day, params)
    _room.fit(day.contracts, day.minutes)
    counts = np.zeros(COUNTS, np.int64)
    funnel = np.zeros(len(level_names(tuple(p.name for p in predicates))), np.int64)
    record = Record(_room.trades, _room.orders, _room.decisions, counts, funnel)
    if snapshot is None:
        snapshot = Snapshot(-1, np.zeros(0, SLOT), np.zeros(0, np.bool_))
    addresses = np.array([p.address for p in predicates], np.int64)
    try:
        run_day(kernel_day(day), setup, addresses, _room.events, record, snapshot)
    except FilterFailedError as error:
        names = " or ".join(repr(p.name) for p in predicates)
        raise ParamsError(
            f"filter {names} raised an error on a candidate of {day.date} (an index out of range, or its own raise); "
            "it must answer True or False for every candidate"
        ) from error
    return outcome_of(
        day,
        _room.trades[: counts[TRADES]],
        _room.orders[: counts[ORDERS]],
        _room.decisions[: counts[DECISIONS]],
        funnel,
        int(counts[AMBIGUOUS]),
        int(counts[LATCH]),
    )


def load_day(lake: Lake, entry: LakeDay, params: SwingBreakParams) -> DayBars:
    """The nearest expiry of a stored day, its watched strikes only."""

    def watched(opening: int | None, listed: tuple[int, ...]) -> tuple[int, ...] | None:
        return watched_strikes(None if opening is None else paise_to_rupees(opening), listed, params)

    return lake.load(entry, strikes=watched)


def backtest(
    params: SwingBreakParams,
    lake: Lake | str,
    start: dt.date | str,
    end: dt.date | str,
    *,
    filters: Iterable[Callable[[Any], Any] | Predicate] = (),
    source: str | None = None,
    threads: int = DEFAULT_THREADS,
    progress: Progress | None = None,
) -> Result:
    """
    Run the swing-break strategy over the stored days of a range.

    Parameters
    ----------
    params : SwingBreakParams
        Its saved filters are applied first, then `filters`.
    lake : Lake or path of the data folder
    start, end : date or "YYYY-MM-DD"
        First and last trading day, both included.
    filters : iterable of functions of one candidate
        Compiled on the fly; see `engine.strategy.predicates`.
    source : str, optional
        Which source's days to use; left out, real days win over simulated ones and are never mixed with them.
    threads : int
    progress : callable, optional
        Called with (days done, days in all, date) after each day.

    Returns
    -------
    Result

    Raises
    ------
    DataError
        If the lake holds no day of the range, or none that can be traded (the reason is told).
    ParamsError
        If a filter cannot be compiled.
    """
    first, last = _date(start), _date(end)
    if first > last:
        raise DataError(f"the range {first} to {last} is empty; give the earlier date first")
    lake = lake if isinstance(lake, Lake) else Lake(lake)
    latest_lot_size(params.underlying)  # an unknown underlying is told as such, not as a lack of days
    began = time.perf_counter()
    predicates = compile_all([*(load_filter(name) for name in params.filters), *filters])
    entries = lake.select(params.underlying, first, last, source)
    outcomes: list[DayOutcome] = []
    skipped: list[SkippedDay] = []

    def one(entry: LakeDay) -> DayOutcome | SkippedDay:
        day = load_day(lake, entry, params)
        reason = why_untradable(day, params)
        return SkippedDay(entry.date, reason) if reason else play_day(day, params, predicates)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for done, (entry, outcome) in enumerate(zip(entries, pool.map(one, entries), strict=True), start=1):
            if isinstance(outcome, SkippedDay):
                skipped.append(outcome)
            else:
                outcomes.append(outcome)
            if progress is not None:
                progress(done, len(entries), entry.date)
    if not outcomes:
        raise DataError(
            f"none of the {len(skipped)} stored days of {params.underlying} {first} to {last} can be traded, "
            f"e.g. {skipped[0].date}: {skipped[0].reason}; import bars with open, high, low, close and volume"
        )
    return Result(
        params=params,
        filters=predicates,
        start=first,
        end=last,
        entries=tuple(entries),
        days=tuple(outcomes),
        skipped=tuple(skipped),
        elapsed_s=time.perf_counter() - began,
    )


def _date(value: dt.date | str) -> dt.date:
    if isinstance(value, dt.date):
        return value
    try:
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise DataError(f"{value!r} is not a date; write it as 2026-10-30") from None
