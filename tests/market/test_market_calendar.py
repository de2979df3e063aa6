import subprocess
import sys
from datetime import date, datetime, time, timedelta

import polars as pl
import pytest

from engine.errors import MarketFactError
from engine.market.calendar import (
    is_trading_day,
    next_trading_day,
    previous_trading_day,
    session,
    session_fact,
    session_minutes,
    trading_days,
    unknown_sessions,
    windows,
)
from engine.market.clock import IST
from engine.market.sessions import is_closed

YEARS = [date(2021, 1, 1) + timedelta(days=count) for count in range(6 * 365 + 1)]


def at(day, clock):
    return datetime.combine(day, time.fromisoformat(clock), IST)


def test_holiday_table_equals_xbom_from_2021_to_2026():
    import exchange_calendars

    xbom = exchange_calendars.get_calendar("XBOM", start="2021-01-01", end="2026-12-31")
    sessions = {stamp.date() for stamp in xbom.sessions}
    assert YEARS[-1] == date(2026, 12, 31)
    assert [day for day in YEARS if is_closed(day) == (day in sessions)] == []


def test_regular_day():
    day = date(2025, 6, 2)
    assert session(day) == (at(day, "09:15"), at(day, "15:30"))
    assert session(day).open.utcoffset() == timedelta(hours=5, minutes=30)
    assert windows(day) == (session(day),)
    assert session_minutes(day) == 375


def test_close_moves_to_1540_on_3_august_2026():
    assert session_minutes(date(2026, 7, 31)) == 375
    assert session_minutes(date(2026, 8, 3)) == 385
    assert session_minutes(date(2026, 11, 20)) == 385


@pytest.mark.parametrize(
    ("day", "begin", "end"),
    [
        (date(2021, 11, 4), "18:15", "19:15"),
        (date(2022, 10, 24), "18:15", "19:15"),
        (date(2023, 11, 12), "18:15", "19:15"),
        (date(2024, 11, 1), "18:00", "19:00"),
        (date(2025, 10, 21), "13:45", "14:45"),
    ],
)
def test_muhurat_day_has_one_hour(day, begin, end):
    assert session(day) == (at(day, begin), at(day, end))
    assert session_minutes(day) == 60
    assert is_trading_day(day)


@pytest.mark.parametrize("day", [date(2024, 1, 20), date(2025, 2, 1), date(2026, 2, 1)])
def test_full_weekend_session(day):
    assert day.weekday() >= 5
    assert session_minutes(day) == 375


def test_drill_saturdays_have_two_windows():
    day = date(2024, 3, 2)
    assert windows(day) == ((at(day, "09:15"), at(day, "10:00")), (at(day, "11:30"), at(day, "12:30")))
    assert session_minutes(day) == 195
    assert session_minutes(date(2024, 5, 18)) == 205


def test_outage_of_february_2021_extended_the_day():
    day = date(2021, 2, 24)
    assert len(windows(day)) == 2
    assert session(day) == (at(day, "09:15"), at(day, "17:00"))


def test_muhurat_without_known_times_counts_as_closed_and_says_so():
    day = date(2026, 11, 8)
    assert session(day) is None
    assert day in unknown_sessions
    with pytest.raises(MarketFactError, match=r"2026-11-08 .*times unknown.*2026-11-09"):
        session_minutes(day)


def test_closed_day_names_its_holiday_and_the_next_trading_day():
    with pytest.raises(MarketFactError, match=r"2025-10-02 \(Gandhi Jayanti and Dussehra\).*2025-10-03"):
        session_minutes(date(2025, 10, 2))
    with pytest.raises(MarketFactError, match=r"2025-06-07 \(Saturday\).*2025-06-09"):
        session_minutes(date(2025, 6, 7))


def test_neighbouring_trading_days():
    assert next_trading_day(date(2021, 11, 3)) == date(2021, 11, 4)
    assert next_trading_day(date(2021, 11, 4)) == date(2021, 11, 8)
    assert previous_trading_day(date(2024, 1, 23)) == date(2024, 1, 20)
    assert previous_trading_day(date(2026, 11, 9)) == date(2026, 11, 6)


def test_trading_days_include_both_ends():
    week = trading_days(date(2025, 6, 2), date(2025, 6, 9))
    assert week == [date(2025, 6, day) for day in (2, 3, 4, 5, 6, 9)]
    assert trading_days(date(2025, 6, 7), date(2025, 6, 7)) == []
    with pytest.raises(MarketFactError, match="swap them"):
        trading_days(date(2025, 6, 9), date(2025, 6, 2))


def test_days_before_the_table_come_from_xbom():
    assert session(date(2019, 10, 2)) is None
    assert session_minutes(date(2019, 10, 3)) == 375
    assert previous_trading_day(date(2021, 1, 1)) == date(2020, 12, 31)


def test_days_nobody_knows_are_an_error_with_a_remedy():
    with pytest.raises(MarketFactError, match=r"2031 are not known.*holidays\.csv"):
        session(date(2031, 1, 6))
    with pytest.raises(MarketFactError, match="begins at 2010-10-18"):
        session(date(2009, 1, 5))


def test_a_moment_is_no_day():
    with pytest.raises(MarketFactError, match="no plain day"):
        session(datetime(2025, 6, 2, 9, 15))


def test_sessions_tell_their_source():
    assert session_fact(date(2026, 8, 3)).source == "NSE/FAOP/74467"
    assert session_fact(date(2024, 5, 18)).certainty == "U"
    assert session_fact(date(2026, 11, 8)).certainty == "U"
    assert session_fact(date(2025, 10, 2)).value is None


def test_lookups_need_neither_pandas_nor_exchange_calendars():
    code = (
        "import sys; from datetime import date; from engine.market import calendar, charges, contracts;"
        "calendar.trading_days(date(2021, 1, 1), date(2026, 12, 31));"
        "contracts.lot_size('NIFTY', calendar.nearest_expiry('NIFTY', date(2026, 11, 20)));"
        "sys.exit(bool({'pandas', 'exchange_calendars'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_calendar_agrees_with_the_bars_of_the_spot_index(shared):
    bars = pl.read_parquet(shared / "data" / "nifty_5m_2023_2025.parquet")
    spans = bars.group_by(pl.col("ts").dt.date().alias("day")).agg(
        pl.col("ts").min().dt.time().alias("first"), pl.col("ts").max().dt.time().alias("last")
    )
    seen = {day: (first, last) for day, first, last in spans.iter_rows()}
    for day, (first, last) in seen.items():
        hours = session(day)
        assert hours, day
        assert first == hours.open.time(), day
        assert datetime.combine(day, last, IST) + timedelta(minutes=5) == hours.close, day
    regular = [day for day in trading_days(min(seen), max(seen)) if not is_closed(day)]
    assert [day for day in regular if day not in seen] == []
