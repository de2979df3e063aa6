"""The engine's own rows of the benchmark: the year's days, and how they are run on one thread and on two."""

import datetime as dt
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from engine.backtest.outcome import DayOutcome
from engine.backtest.run import load_day, play_day
from engine.history.day import DayBars
from engine.history.lake import Lake
from engine.history.manifest import SIMULATED_SOURCE
from engine.history.simulate import ensure_simulated
from engine.market.calendar import trading_days
from engine.params import SwingBreakParams

DAYS = 250
LAST = dt.date(2026, 10, 30)
"""Last trading day of the year that is measured."""

Progress = Callable[[int, int, object], object]


def year() -> tuple[dt.date, dt.date]:
    """First and last of the 250 trading days that are measured."""
    days = trading_days(LAST - dt.timedelta(days=DAYS * 2), LAST)
    return days[-DAYS], days[-1]


def make_year(lake: Lake, params: SwingBreakParams, progress: Progress | None = None) -> None:
    """Simulate what the lake lacks of the year."""
    ensure_simulated(lake, params.underlying, *year(), progress=progress)


def load_days(
    lake: Lake, params: SwingBreakParams, start: dt.date | None = None, end: dt.date | None = None
) -> list[DayBars]:
    """Simulated days as a backtest loads them; by default the whole year."""
    first, last = year()
    entries = lake.select(params.underlying, start or first, end or last, SIMULATED_SOURCE)
    return [load_day(lake, entry, params) for entry in entries]


def bars_of(days: Sequence[DayBars]) -> int:
    """Bar-updates of a run over these days: contract-minutes that have a bar."""
    return sum(int(day.valid.sum()) for day in days)


def play(days: Sequence[DayBars], params: SwingBreakParams, threads: int = 1) -> list[DayOutcome]:
    """Run days that are already in memory."""
    if threads == 1:
        return [play_day(day, params) for day in days]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda day: play_day(day, params), days))
