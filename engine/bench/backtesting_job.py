"""What backtesting.py can do of the job: one contract-day at a time, in Python.

For the benchmark only. It knows one instrument per run, so there is no choice among contracts, no position limit
and no day limit, and its bar has no path: the entry is a stop-limit, the stop a plain one. The swing lows are
handed to it, found by the compiled search outside Python. Its figure is therefore generous to it.
"""

import contextlib
import io
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from engine.backtest.setup import setup_for
from engine.bench.vectorbt_swings import literal_lows
from engine.history.day import DayBars
from engine.history.vwap import session_vwap
from engine.params import SwingBreakParams
from engine.strategy.filters import (
    affordable_lots,
    has_vwap_premium,
    in_price_range,
    stop_distance_allowed,
)
from engine.strategy.rules import Rules

NOTE = (
    "one contract-day at a time: no choice among contracts, no position or day limits, no path inside a bar; "
    "swing lows handed to it"
)
_CASH = 1e9


@dataclass(frozen=True, eq=False)
class ContractDay:
    """One contract's bars without holes and what is known of them beforehand."""

    frame: pd.DataFrame
    lows: dict[int, tuple[int, int]]  # confirming bar -> extreme bar, its low in ticks; stage 1 passed
    rules: Rules
    exit_bar: int


def sample(days: Sequence[DayBars], params: SwingBreakParams, size: int) -> list[ContractDay]:
    """So many contract-days, evenly spread over the days and over their contracts."""
    picked = []
    for k in range(size):
        day = days[(2 * k + 1) * len(days) // (2 * size)]
        picked.append(_contract_day(day, (k * 5 + 2) % day.contracts, params))
    return picked


def _contract_day(day: DayBars, contract: int, params: SwingBreakParams) -> ContractDay:
    setup = setup_for(day, params)
    keep = day.valid[contract]
    bars = {name: getattr(day, name)[contract][keep] for name in ("open", "high", "low", "close", "volume")}
    one = slice(contract, contract + 1)
    above, below = session_vwap(day.high[one], day.low[one], day.close[one], day.volume[one], day.valid[one])
    assert day.date is not None
    index = pd.date_range(pd.Timestamp(day.date), periods=len(bars["close"]), freq="min")
    frame = pd.DataFrame({name.title(): values for name, values in bars.items()}, index=index)
    lows = _lows(bars, above[0][keep], below[0][keep], setup.rules)
    return ContractDay(frame, lows, setup.rules, int(np.count_nonzero(keep[: setup.exit_minute])))


def _lows(
    bars: dict[str, npt.NDArray], above: npt.NDArray, below: npt.NDArray, rules: Rules
) -> dict[int, tuple[int, int]]:
    n = len(bars["close"])
    found = np.empty((n, 3), np.int32)
    votes = np.empty((2, n), np.int32)
    count = literal_lows(
        bars["high"], bars["low"], bars["close"], n, rules.swing.exact_second_vote, votes[0], votes[1], found
    )
    lows, origin = {}, 0
    for conf, base, new in found[:count].tolist():
        origin = base if new else origin
        low = int(bars["low"][base])
        if in_price_range(low, rules) and has_vwap_premium(
            low, int(above[origin]), int(below[origin]), rules
        ):
            lows[conf] = (base, low)
    return lows


def _strategy() -> Any:
    from backtesting import Strategy

    class SwingBreak(Strategy):  # type: ignore[misc]
        """Short one contract where its swing low breaks."""

        day: ContractDay

        def init(self) -> None:
            self.candidate: tuple[int, int] | None = None
            self.highest = 0
            self.standing: tuple[int, int, int] | None = None

        def next(self) -> None:
            bar = len(self.data) - 1
            high, low = int(self.data.High[-1]), int(self.data.Low[-1])
            if bar in self.day.lows:
                self.candidate = self.day.lows[bar]
                base = self.candidate[0]
                self.highest = int(self.data.High[min(base + 1, bar) :].max())
            elif self.candidate is not None:
                self.highest = max(self.highest, high)
                if low < self.candidate[1]:
                    self.candidate = None
            if bar >= self.day.exit_bar:
                self.position.close()
            wanted = None if self.position or bar >= self.day.exit_bar else self.wanted()
            if wanted != self.standing:
                for order in self.orders:
                    if not order.is_contingent:
                        order.cancel()
                self.standing = wanted
                if wanted is not None:
                    self.place(*wanted)

        def wanted(self) -> tuple[int, int, int] | None:
            if self.candidate is None:
                return None
            rules, low = self.day.rules, self.candidate[1]
            distance = self.highest + rules.stop_buffer - low
            if not stop_distance_allowed(low, distance, rules):
                return None
            lots = affordable_lots(distance, rules)
            return (low, low + distance, int(lots)) if lots else None

        def place(self, low: int, stop: int, lots: int) -> None:
            rules = self.day.rules
            trigger = low - rules.trigger_offset
            self.sell(
                size=lots * rules.lot_size,
                stop=trigger,
                limit=max(trigger - rules.entry_buffer, 1),
                sl=stop,
            )

    return SwingBreak


def run_sample(days: Sequence[ContractDay]) -> tuple[float, int, int]:
    """
    Run the contract-days.

    Returns
    -------
    seconds : float
        Of `Backtest(...).run()` alone, statistics included; data and swing lows were made before.
    bars : int
    trades : int
    """
    from backtesting import Backtest

    strategy = _strategy()
    seconds, bars, trades = 0.0, 0, 0
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for day in days:
            strategy.day = day
            began = time.perf_counter()
            stats = Backtest(day.frame, strategy, cash=_CASH, finalize_trades=True).run()
            seconds += time.perf_counter() - began
            bars += len(day.frame)
            trades += int(stats["# Trades"])
    return seconds, bars, trades
