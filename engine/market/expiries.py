"""When index options expire: dated weekday rules, moved to the previous trading day when the market is closed.

`expiry_rules.csv` says which weekday a series expires on and from when to when. Everything here is computed from
it and from the holidays. `engine.market.calendar` is the public door.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal, cast

from engine.errors import MarketFactError
from engine.market.facts import known_name, plain_date, table_rows
from engine.market.sessions import ONE_DAY, check_range, days_between, is_closed

Series = Literal["weekly", "monthly"]
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_LONGEST_SHIFT = 4  # no chain of closed days at NSE has been longer
_SEARCH = dt.timedelta(days=60)  # every underlying has a monthly expiry within it


@dataclass(frozen=True)
class _Rule:
    first: dt.date
    last: dt.date
    weekday: int

    def covers(self, date: dt.date) -> bool:
        return self.first <= date <= self.last


def _read_rules() -> dict[tuple[str, Series], tuple[_Rule, ...]]:
    rules: dict[tuple[str, Series], tuple[_Rule, ...]] = {}
    for row in table_rows("expiry_rules.csv"):
        key = (row["underlying"], cast("Series", row["series"]))
        last = dt.date.fromisoformat(row["last"]) if row["last"] else dt.date.max
        rule = _Rule(dt.date.fromisoformat(row["first"]), last, _WEEKDAYS.index(row["weekday"]))
        rules[key] = (*rules.get(key, ()), rule)
    return rules


_RULES = _read_rules()
UNDERLYINGS = tuple(dict.fromkeys(underlying for underlying, _ in _RULES))
"""Underlyings whose contracts are known."""


def expiries(underlying: str, start: dt.date, end: dt.date) -> list[dt.date]:
    """
    Expiries of an index's options from start to end, both inclusive, weekly and monthly as they were listed.

    NIFTY has both throughout; BANKNIFTY has weeklies until 2024-11-13 and monthlies throughout. A nominal day
    without a regular session moves to the previous trading day.

    Raises
    ------
    MarketFactError
        If the underlying is unknown, the range is reversed, starts before the rules or needs unknown holidays.
    """
    check_range(start, end)
    _check_covered(underlying, start)
    return [expiry for expiry, _ in _listed(underlying, start, end)]


@cache
def expiry_kind(underlying: str, date: dt.date) -> Series:
    """
    Whether an expiry is the weekly or the monthly one.

    Raises
    ------
    MarketFactError
        If nothing of that underlying expires on that day, naming the nearest expiries.
    """
    _check_covered(underlying, date)
    for expiry, series in _listed(underlying, date, date):
        if expiry == date:
            return series
    following = nearest_expiry(underlying, date)
    earlier = _previous_expiry(underlying, date)
    before = f"{earlier} and " if earlier else ""
    raise MarketFactError(f"{date} is no {underlying} expiry; the nearest are {before}{following}")


def nearest_expiry(underlying: str, date: dt.date) -> dt.date:
    """
    The first expiry on or after a date.

    Raises
    ------
    MarketFactError
        If the underlying is unknown, the date lies before the rules or needs unknown holidays.
    """
    _check_covered(underlying, date)
    return next(expiry for expiry, _ in _listed(underlying, date, date + _SEARCH))


def _previous_expiry(underlying: str, date: dt.date) -> dt.date | None:
    start = max(date - _SEARCH, _first_day(underlying))
    before = [expiry for expiry, _ in _listed(underlying, start, date) if expiry < date]
    return before[-1] if before else None


def _check_covered(underlying: str, date: dt.date) -> None:
    known_name("underlying", underlying, UNDERLYINGS)
    first = _first_day(underlying)
    if plain_date(date) < first:
        raise MarketFactError(f"{underlying} expiries are not known on {date}; they begin at {first}")


def _first_day(underlying: str) -> dt.date:
    return min(rule.first for key, rules in _RULES.items() if key[0] == underlying for rule in rules)


def _listed(underlying: str, start: dt.date, end: dt.date) -> Iterator[tuple[dt.date, Series]]:
    """Expiries within [start, end] with their series, in order, found one by one as they are asked for."""
    for nominal in days_between(start, end + dt.timedelta(days=_LONGEST_SHIFT)):
        series = _nominal_series(underlying, nominal)
        if series is None:
            continue
        expiry = nominal
        while is_closed(expiry):
            expiry -= ONE_DAY
        if start <= expiry <= end:
            yield expiry, series


@cache
def _nominal_series(underlying: str, date: dt.date) -> Series | None:
    """The series whose rule names this day, before any move for a holiday."""
    monthly = _monthly_nominal(underlying, date.year, date.month)
    if date == monthly:
        return "monthly"
    rules = _RULES.get((underlying, "weekly"), ())
    if not any(rule.covers(date) and rule.weekday == date.weekday() for rule in rules):
        return None
    # a Wednesday weekly beside a Thursday monthly was not listed (BANKNIFTY, September 2023 to February 2024)
    return None if monthly and monthly.isocalendar()[:2] == date.isocalendar()[:2] else "weekly"


@cache
def _monthly_nominal(underlying: str, year: int, month: int) -> dt.date | None:
    after = dt.date(year + month // 12, month % 12 + 1, 1)
    for rule in _RULES[underlying, "monthly"]:
        last = after - dt.timedelta(days=(after.weekday() - rule.weekday - 1) % 7 + 1)
        if rule.covers(last):
            return last
    return None
