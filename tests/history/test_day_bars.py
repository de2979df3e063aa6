"""A day from a frame: dense, sorted, and nothing contradictory gets in."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from engine.errors import DataError
from engine.history.day import DEFAULT_MINUTES, REQUIRED_COLUMNS, DayBars


def bars(**columns):
    whole = {
        "symbol": ["B", "A", "A", "C"],
        "strike": [100, 200, 200, 50],
        "option_type": ["PE", "CE", "CE", "CE"],
        "minute": [3, 0, 1, 2],
        "open": [10, 20, 21, 30],
        "high": [12, 22, 23, 32],
        "low": [9, 19, 20, 29],
        "close": [11, 21, 22, 31],
        "volume": [5, 6, 7, 0],
    }
    return pl.DataFrame({**whole, **columns})


def test_contracts_are_ordered_by_type_then_strike():
    day = DayBars.from_frame(bars(), lot_size=65)
    assert day.symbols == ("C", "A", "B")
    assert day.strike.tolist() == [50, 200, 100]
    assert day.is_call.tolist() == [True, True, False]
    assert (day.contracts, day.minutes) == (3, DEFAULT_MINUTES)


def test_a_missing_minute_is_a_hole_in_the_mask():
    day = DayBars.from_frame(bars(), lot_size=65)
    assert day.valid.sum() == 4
    assert day.valid[1, :3].tolist() == [True, True, False]
    assert day.close[1, :3].tolist() == [21, 22, 0]
    assert day.volume[0, 2] == 0
    assert day.valid[0, 2]


def test_the_order_of_rows_does_not_matter():
    one = DayBars.from_frame(bars(), lot_size=65)
    other = DayBars.from_frame(bars().reverse(), lot_size=65)
    assert one.symbols == other.symbols
    for name in ("open", "high", "low", "close", "volume", "valid", "strike", "is_call"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("column", REQUIRED_COLUMNS)
def test_a_missing_column_is_named(column):
    with pytest.raises(DataError, match=f"lacks column {column}; needed are"):
        DayBars.from_frame(bars().drop(column))


def test_a_frame_without_rows_is_refused():
    with pytest.raises(DataError, match="no rows"):
        DayBars.from_frame(bars().clear())


def test_a_doubled_minute_is_refused():
    with pytest.raises(DataError, match="A: minute 1 appears 2 times"):
        DayBars.from_frame(bars(minute=[3, 1, 1, 2]))


@pytest.mark.parametrize(("minute", "minutes"), [(-1, None), (10, 10), (400, 375)])
def test_a_minute_outside_the_session_is_refused(minute, minutes):
    with pytest.raises(DataError, match=f"C: minute {minute} is outside the session"):
        DayBars.from_frame(bars(minute=[3, 0, 1, minute]), minutes=minutes)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("low", [9, 22, 20, 29]),  # above the open
        ("low", [12, 19, 20, 29]),  # above the close
        ("high", [12, 20, 23, 32]),  # below the close
        ("high", [12, 22, 20, 32]),  # below the open
        ("low", [0, 19, 20, 29]),  # no price
        ("low", [-1, 19, 20, 29]),
        ("volume", [5, 6, -7, 0]),
    ],
)
def test_a_bar_that_contradicts_itself_is_refused(column, values):
    with pytest.raises(DataError, match="contradict each other"):
        DayBars.from_frame(bars(**{column: values}))


def test_an_unknown_option_type_is_refused():
    with pytest.raises(DataError, match="option_type 'FUT' is neither CE nor PE"):
        DayBars.from_frame(bars(option_type=["PE", "CE", "CE", "FUT"]))


@pytest.mark.parametrize(
    "change", [{"strike": [100, 200, 250, 50]}, {"option_type": ["PE", "CE", "PE", "CE"]}]
)
def test_one_symbol_is_one_contract(change):
    with pytest.raises(DataError, match="one symbol is one contract"):
        DayBars.from_frame(bars(**change))


def test_the_calendar_gives_the_minutes_of_a_dated_day():
    day = DayBars.from_frame(bars(), date=dt.date(2025, 12, 22), lot_size=65)
    assert day.minutes == 375
    later = DayBars.from_frame(bars(minute=[400, 0, 1, 2]), lot_size=65)
    assert later.minutes == 401


def test_the_lot_comes_from_the_expiry():
    old = DayBars.from_frame(bars(), date=dt.date(2025, 12, 22), expiry=dt.date(2025, 12, 23))
    new = DayBars.from_frame(bars())
    assert (old.lot_size, new.lot_size) == (75, 65)


@pytest.mark.parametrize(
    "column",
    [
        {"close": [11, None, 22, 31]},
        {"high": [12, None, 23, 32]},
        {"volume": [5, None, 7, 0]},
        {"close": [11.0, 21.6, 22.0, 31.0]},
        {"high": [12.0, float("nan"), 23.0, 32.0]},
        {"volume": [5, 2**33, 7, 0]},
        {"high": [12, 2**33, 23, 32]},
        {"symbol": ["B", None, "A", "C"]},
        {"minute": [3, None, 1, 2]},
        {"minute": [3.0, 0.7, 1.0, 2.0]},
        {"strike": [100.0, 200.5, 200.5, 50.0]},
        {"open": ["10", "20", "21", "30"]},
    ],
    ids=str,
)
def test_what_is_no_whole_number_is_refused_never_cast(column):
    with pytest.raises(DataError):
        DayBars.from_frame(bars(**column), lot_size=65)


def test_whole_floats_are_numbers():
    day = DayBars.from_frame(bars(strike=[100.0, 200.0, 200.0, 50.0]), lot_size=65)
    assert day.strike.tolist() == [50, 200, 100]
