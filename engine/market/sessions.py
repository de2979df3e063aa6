"""On which days NSE F&O trades, and from when to when.

Holidays, regular hours and special sessions are dated tables. Outside the years of the holiday table the XBOM
calendar of `exchange_calendars` answers (same holidays; it knows no muhurat and no weekend session); it takes over a
second to import, so it is loaded only then. `engine.market.calendar` is the public door.
"""

import datetime as dt
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple

from engine.errors import MarketFactError
from engine.market.clock import IST
from engine.market.facts import Fact, Timeline, fact_of, plain_date, table_rows

ONE_DAY = dt.timedelta(days=1)
_LONGEST_BREAK = 15
_XBOM_START = "2007-01-01"

Hours = tuple[tuple[dt.time, dt.time], ...]


class Session(NamedTuple):
    """Opening and closing moment, aware IST; the close is the end of the last minute."""

    open: dt.datetime
    close: dt.datetime


def _by_date(name: str, column: str) -> dict[dt.date, Fact[str]]:
    return {dt.date.fromisoformat(row["date"]): fact_of(row, row[column]) for row in table_rows(name)}


_HOLIDAYS = _by_date("holidays.csv", "name")
_FIRST_DAY = dt.date(min(_HOLIDAYS).year, 1, 1)
_LAST_DAY = dt.date(max(_HOLIDAYS).year, 12, 31)
_SPECIAL_REASONS = _by_date("special_sessions.csv", "why")
unknown_sessions = MappingProxyType(_by_date("unknown_sessions.csv", "why"))
"""Announced sessions whose times are not known: closed until their times stand in the table. Date to reason."""


def _hours(text: str) -> Hours:
    pairs = (window.split("-") for window in text.split())
    return tuple((dt.time.fromisoformat(begin), dt.time.fromisoformat(end)) for begin, end in pairs)


_SPECIAL = {
    dt.date.fromisoformat(row["date"]): _hours(row["windows"]) for row in table_rows("special_sessions.csv")
}
_REGULAR: Timeline[Hours] = Timeline(
    "hours of NSE F&O",
    (
        (dt.date.fromisoformat(row["from"]), fact_of(row, _hours(f"{row['open']}-{row['close']}")))
        for row in table_rows("hours.csv")
    ),
)


@cache
def windows(date: dt.date) -> tuple[Session, ...]:
    """
    Trading windows of a day, earliest first, aware IST; empty when the market is closed.

    Disaster-recovery Saturdays have two.

    Raises
    ------
    MarketFactError
        If nobody knows whether that day is a holiday.
    """
    plain_date(date)
    if date in _SPECIAL:
        hours = _SPECIAL[date]
    elif is_closed(date):
        return ()
    else:
        hours = _REGULAR.at(date).value
    return tuple(
        Session(dt.datetime.combine(date, begin, IST), dt.datetime.combine(date, end, IST))
        for begin, end in hours
    )


def session(date: dt.date) -> Session | None:
    """
    First opening and last closing moment of a day, aware IST; None when there is no trading.

    Raises
    ------
    MarketFactError
        If nobody knows whether that day is a holiday.
    """
    parts = windows(date)
    return Session(parts[0].open, parts[-1].close) if parts else None


def session_fact(date: dt.date) -> Fact[Session | None]:
    """The session of a day with its source; a closed weekday carries the source of its holiday."""
    hours = session(date)
    if hours is None:
        known = unknown_sessions.get(date) or _HOLIDAYS.get(date)
        source, certainty = (known.source, known.certainty) if known else ("weekend or XBOM holiday", "C2")
        return Fact(None, source, certainty)
    known_hours: Fact[Any] = _SPECIAL_REASONS.get(date) or _REGULAR.at(date)
    return Fact(hours, known_hours.source, known_hours.certainty)


def open_session(date: dt.date) -> Session:
    """
    The session of a trading day.

    Raises
    ------
    MarketFactError
        If the market is closed that day, naming why and the next trading day.
    """
    hours = session(date)
    if hours is None:
        raise MarketFactError(
            f"NSE F&O does not trade on {date} ({closure(date)}); the next trading day is {next_trading_day(date)}"
        )
    return hours


def session_minutes(date: dt.date) -> int:
    """
    Minutes from the first open to the last close of a trading day, breaks included.

    375 to 2026-07-31, 385 from 2026-08-03, 60 on a muhurat day.

    Raises
    ------
    MarketFactError
        If the market is closed that day, naming the next trading day.
    """
    hours = open_session(date)
    return (hours.close - hours.open) // dt.timedelta(minutes=1)


def is_trading_day(date: dt.date) -> bool:
    """Whether there is any session that day, muhurat and special Saturdays included."""
    return bool(windows(date))


def is_closed(date: dt.date) -> bool:
    """
    Whether a day has no regular session: a weekend or a holiday, be there muhurat hours or not.

    Raises
    ------
    MarketFactError
        If the day lies outside the holiday table and outside XBOM.
    """
    if date.weekday() >= 5:
        return True
    return date in _HOLIDAYS if _FIRST_DAY <= date <= _LAST_DAY else not _xbom_is_session(date)


def closure(date: dt.date) -> str:
    """Why there is no trading on a closed day, in a few words."""
    if date in unknown_sessions:
        return f"{unknown_sessions[date].value}, session times unknown"
    if date in _HOLIDAYS:
        return _HOLIDAYS[date].value
    return f"{date:%A}" if date.weekday() >= 5 else "holiday"


def next_trading_day(date: dt.date) -> dt.date:
    """The first trading day after a date."""
    return _step(date, ONE_DAY)


def previous_trading_day(date: dt.date) -> dt.date:
    """The last trading day before a date."""
    return _step(date, -ONE_DAY)


def trading_days(start: dt.date, end: dt.date) -> list[dt.date]:
    """
    Trading days from start to end, both inclusive.

    Raises
    ------
    MarketFactError
        If start lies after end, or a holiday list is missing for the range.
    """
    check_range(start, end)
    return [day for day in days_between(start, end) if is_trading_day(day)]


def check_range(start: dt.date, end: dt.date) -> None:
    """Refuse a range of days that runs backwards or is not made of plain dates."""
    if plain_date(start) > plain_date(end):
        raise MarketFactError(f"range of days starts {start}, after its end {end}; swap them")


def days_between(start: dt.date, end: dt.date) -> list[dt.date]:
    """All calendar days from start to end, both inclusive."""
    return [start + dt.timedelta(days=count) for count in range((end - start).days + 1)]


def _step(date: dt.date, stride: dt.timedelta) -> dt.date:
    day = plain_date(date) + stride
    for _ in range(_LONGEST_BREAK):
        if is_trading_day(day):
            return day
        day += stride
    raise MarketFactError(f"no trading day within {_LONGEST_BREAK} days of {date}; mend tables/holidays.csv")


def _xbom_is_session(date: dt.date) -> bool:
    calendar = _xbom()
    first, last = calendar.first_session.date(), calendar.last_session.date()
    if not first <= date <= last:
        raise MarketFactError(
            f"holidays of {date.year} are not known, so {date} cannot be placed; the calendar covers {first} to "
            f"{max(last, _LAST_DAY)}: add that year's NSE circular to engine/market/tables/holidays.csv"
        )
    return bool(calendar.is_session(date.isoformat()))


@cache
def _xbom() -> Any:
    import exchange_calendars  # over a second; needed only outside the holiday table

    return exchange_calendars.get_calendar("XBOM", start=_XBOM_START)
