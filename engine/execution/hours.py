"""Hours of a run as minutes of the session: when entries may stand, when everything is bought back."""

import datetime as dt
from typing import NamedTuple

from engine.params import SwingBreakParams

EXIT_BEFORE_CLOSE = 15
"""Minutes before the close at which a session that ends before the forced exit time is flat."""


class Hours(NamedTuple):
    """Minutes of the session, 0 = the first."""

    entry_from: int  # first minute in which an entry order may stand
    entry_until: int  # first minute in which none may
    exit_minute: int  # at its first moment every position is bought back


def minute_of(moment: dt.time, open_minute: int) -> int:
    """Minute of the session at a time of day (IST); `open_minute` is the minute of the day of the open."""
    return moment.hour * 60 + moment.minute - open_minute


def trading_hours(params: SwingBreakParams, open_minute: int, minutes: int) -> Hours:
    """
    Hours of a session.

    Parameters
    ----------
    open_minute : int
        Minute of the day (IST) of the open, 555 for 09:15.
    minutes : int
        Length of the session.
    """
    forced = minute_of(params.forced_exit_time, open_minute)
    exit_minute = forced if forced < minutes else max(minutes - EXIT_BEFORE_CLOSE, 1)
    return Hours(
        entry_from=minute_of(params.entry_start_time, open_minute),
        entry_until=min(minute_of(params.entry_end_time, open_minute), exit_minute),
        exit_minute=exit_minute,
    )
