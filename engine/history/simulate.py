"""Fills the lake with simulated days, so that everything above it runs where no real data lies.

Stands beside the importers: they bring prices that happened, this makes prices that did not. Every day is
stored with source "simulated" and the simulated flag, and its manifest names model version, seed and strikes.
The model itself is in `engine.history.simulated`.
"""

import datetime as dt
from collections.abc import Callable

from engine.history.check import fault_of
from engine.history.lake import Lake
from engine.history.manifest import SIMULATED_SOURCE, LakeDay
from engine.history.simulated import DEFAULT_SEED, DEFAULT_STRIKES_EACH_SIDE, MODEL_VERSION, simulate_day
from engine.market.calendar import trading_days

Progress = Callable[[int, int, dt.date], object]
"""Called after each day with days made, days to make, and the date."""


def importer_name(seed: int, strikes_each_side: int = DEFAULT_STRIKES_EACH_SIDE) -> str:
    """What the manifest of a simulated day says of its making."""
    return f"simulated/{MODEL_VERSION}/seed={seed}/strikes={strikes_each_side}"


def simulate(
    lake: Lake,
    underlying: str,
    start: dt.date,
    end: dt.date,
    *,
    seed: int = DEFAULT_SEED,
    strikes_each_side: int = DEFAULT_STRIKES_EACH_SIDE,
    progress: Progress | None = None,
) -> list[dt.date]:
    """
    Make the simulated days of a range that the lake does not hold yet.

    A day made with the same model version, seed and strikes is left alone, so a run that was cut short goes on
    where it ended. A simulated day made otherwise is replaced: two seeds in one range would not join. A day whose
    file is missing or fails its hash, or whose manifest is unreadable, is made again.

    Parameters
    ----------
    start, end : date
        First and last trading day, both included; from 2021 on.
    seed : int, >= 0
    strikes_each_side : int, >= 0
    progress : callable, optional
        Called with (days made, days to make, date) after each day.

    Returns
    -------
    list of date
        Days written, ascending.

    Raises
    ------
    DataError
        If the model does not know the underlying or the dates.
    MarketFactError
        If the calendar does not cover the dates.
    """
    importer = importer_name(seed, strikes_each_side)
    held = {
        day.date
        for day in _held(lake, underlying, start, end)
        if day.importer == importer and fault_of(day) is None
    }
    missing = [date for date in trading_days(start, end) if date not in held]
    for done, date in enumerate(missing, start=1):
        frame = simulate_day(underlying, date, seed=seed, strikes_each_side=strikes_each_side)
        lake.write_day(
            frame,
            underlying=underlying,
            date=date,
            source=SIMULATED_SOURCE,
            simulated=True,
            importer=importer,
            replace=True,
        )
        if progress is not None:
            progress(done, len(missing), date)
    return missing


def ensure_simulated(
    lake: Lake,
    underlying: str,
    start: dt.date,
    end: dt.date,
    *,
    seed: int = DEFAULT_SEED,
    strikes_each_side: int = DEFAULT_STRIKES_EACH_SIDE,
    progress: Progress | None = None,
) -> list[LakeDay]:
    """
    The simulated days of a range, made where they are missing.

    Parameters and errors as `simulate`.

    Returns
    -------
    list of LakeDay
        All simulated days of the range, ascending, ready for `Lake.load_many`.
    """
    simulate(lake, underlying, start, end, seed=seed, strikes_each_side=strikes_each_side, progress=progress)
    return _held(lake, underlying, start, end)


def _held(lake: Lake, underlying: str, start: dt.date, end: dt.date) -> list[LakeDay]:
    days, _ = lake.listing(underlying, start, end, SIMULATED_SOURCE)
    return days
