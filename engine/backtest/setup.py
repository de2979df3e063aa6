"""From parameters and a day to what the day loop is run with: hours as minutes, money as paise."""

from engine.backtest.day_record import Setup
from engine.errors import DataError
from engine.execution.bar_path import PATHS
from engine.execution.hours import minute_of, trading_hours
from engine.execution.risk import limits_for
from engine.history.day import DayBars
from engine.market.prices import to_ticks
from engine.params import SwingBreakParams
from engine.strategy.rules import rules_for


def why_untradable(day: DayBars, params: SwingBreakParams) -> str | None:
    """
    Why the strategy cannot be run on a day, or None when it can.

    Unknown is not zero: where range or volume is missing nothing is traded and the reason is told.
    """
    if day.quality == "close_only":
        return (
            "close-only: high and low are unknown (no swings, no stops, no fills), volume is unknown "
            "(no VWAP premium)"
        )
    if minute_of(params.forced_exit_time, day.open_minute) <= 0:
        return f"the session opens after the forced exit at {params.forced_exit_time:%H:%M}"
    return None


def setup_for(day: DayBars, params: SwingBreakParams) -> Setup:
    """
    What a day is run with.

    Raises
    ------
    DataError
        If the day cannot be traded (see `why_untradable`).
    """
    reason = why_untradable(day, params)
    if reason:
        raise DataError(f"{day.underlying} {day.date} cannot be traded: {reason}")
    hours = trading_hours(params, day.open_minute, day.minutes)
    return Setup(
        rules=rules_for(params, day.lot_size),
        limits=limits_for(params),
        path=PATHS[params.bar_path],
        slip_ticks=to_ticks(params.slippage_rupees),
        slip_basis_points=int(params.slippage_percent * 100),
        latency_ms=params.latency_ms,
        stop_unfilled_ms=params.stop_unfilled_seconds * 1000,
        entry_from=hours.entry_from,
        entry_until=hours.entry_until,
        exit_minute=hours.exit_minute,
    )
