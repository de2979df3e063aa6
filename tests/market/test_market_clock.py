from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MarketFactError
from engine.market.clock import IST, from_ns, minute_label, minute_of, minute_start, to_ns


def test_utc_nanoseconds_of_an_ist_moment():
    assert to_ns(datetime(1970, 1, 1, 5, 30, tzinfo=IST)) == 0
    assert to_ns(datetime(2026, 11, 20, 9, 15, tzinfo=IST)) == 1_795_146_300_000_000_000


def test_naive_moment_is_refused():
    with pytest.raises(MarketFactError, match="no time zone"):
        to_ns(datetime(2026, 11, 20, 9, 15))


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_conversion_and_back_changes_nothing(moment):
    back = from_ns(to_ns(moment))
    assert back == moment
    assert back.tzinfo is IST


def test_minutes_count_from_the_open():
    assert minute_label(date(2025, 6, 2), 0) == "09:15"
    assert minute_label(date(2025, 6, 2), 374) == "15:29"
    assert minute_label(date(2026, 8, 3), 384) == "15:39"
    assert minute_label(date(2025, 10, 21), 0) == "13:45"
    assert minute_start(date(2025, 6, 2), 375) == datetime(2025, 6, 2, 15, 30, tzinfo=IST)


@pytest.mark.parametrize("minute", [-1, 376])
def test_minute_outside_the_session_is_refused(minute):
    with pytest.raises(MarketFactError, match="outside its session"):
        minute_start(date(2025, 6, 2), minute)


@given(st.integers(0, 374), st.integers(0, 59))
def test_moment_finds_its_minute(minute, second):
    moment = minute_start(date(2025, 6, 2), minute).replace(second=second)
    assert minute_of(moment) == minute
    assert minute_of(moment.astimezone(UTC)) == minute


def test_the_close_is_in_no_minute():
    with pytest.raises(MarketFactError, match="15:30:00 IST is outside the session 09:15-15:30"):
        minute_of(datetime(2025, 6, 2, 15, 30, tzinfo=IST))
