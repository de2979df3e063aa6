"""Moments: the one place that converts between UTC nanoseconds, IST and minutes of a session.

Inside the engine a moment is an int64 of nanoseconds since 1970-01-01 UTC; at the edges it is an aware datetime in
India Standard Time. Minute 0 of a day is the first minute of its session; a bar of minute m covers
[open + m, open + m + 1).
"""

import datetime as dt
from zoneinfo import ZoneInfo

from engine.errors import MarketFactError

IST = ZoneInfo("Asia/Kolkata")
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def to_ns(moment: dt.datetime) -> int:
    """
    An aware moment as UTC nanoseconds since 1970, exact.

    Raises
    ------
    MarketFactError
        If the datetime is naive: its time zone would be a guess.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise MarketFactError(f"{moment.isoformat()} has no time zone; attach one, e.g. replace(tzinfo=IST)")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * NS_PER_SECOND + since.microseconds * 1_000


def from_ns(ns: int) -> dt.datetime:
    """UTC nanoseconds as an aware IST moment; what is finer than a microsecond is cut off."""
    return (_EPOCH + dt.timedelta(microseconds=int(ns) // 1_000)).astimezone(IST)


def minute_start(date: dt.date, minute: int) -> dt.datetime:
    """
    When a minute of a day's session begins, aware IST.

    Parameters
    ----------
    date : date
        A trading day.
    minute : int
        0 for the first minute of the session; the number of minutes of the session gives its close. Minutes are
        counted through the break of a day with two windows.

    Raises
    ------
    MarketFactError
        If the market is closed on that day or the minute lies outside the session.
    """
    from engine.market.sessions import open_session  # sessions stand on this module's IST

    hours = open_session(date)
    begin = hours.open + dt.timedelta(minutes=int(minute))
    if not hours.open <= begin <= hours.close:
        last = (hours.close - hours.open) // dt.timedelta(minutes=1)
        raise MarketFactError(
            f"minute {minute} of {date} is outside its session; give 0 to {last} (the close)"
        )
    return begin


def minute_label(date: dt.date, minute: int) -> str:
    """When a minute of a day's session begins, as "HH:MM" IST; errors as `minute_start`."""
    return f"{minute_start(date, minute):%H:%M}"


def minute_of(moment: dt.datetime) -> int:
    """
    Index of the minute of its session that holds an aware moment.

    Raises
    ------
    MarketFactError
        If the moment is naive, on a closed day or outside the session (the close itself is outside).
    """
    from engine.market.sessions import open_session  # sessions stand on this module's IST

    ns = to_ns(moment)
    hours = open_session(moment.astimezone(IST).date())
    if not hours.open <= moment < hours.close:
        raise MarketFactError(
            f"{moment.astimezone(IST):%Y-%m-%d %H:%M:%S} IST is outside the session "
            f"{hours.open:%H:%M}-{hours.close:%H:%M}; give a moment within it"
        )
    return (ns - to_ns(hours.open)) // NS_PER_MINUTE
