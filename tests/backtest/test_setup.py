"""Hours as minutes of the session, money as paise."""

import datetime as dt
from dataclasses import replace

import pytest
from oracle.compare import DATE, EXPIRY
from oracle.market import day_bars, random_market

from engine.backtest.setup import setup_for, why_untradable
from engine.errors import DataError
from engine.params import load_params


@pytest.fixture(scope="module")
def day():
    return day_bars(random_market(1, contracts=2, minutes=375), DATE, EXPIRY)


def test_hours_become_minutes(day):
    setup = setup_for(day, load_params(entry_start_time="09:20", entry_end_time="15:00"))
    assert (setup.entry_from, setup.entry_until, setup.exit_minute) == (5, 345, 360)


def test_no_entry_outlives_the_forced_exit(day):
    setup = setup_for(day, load_params(entry_end_time="12:00", forced_exit_time="12:00"))
    assert (setup.entry_until, setup.exit_minute) == (165, 165)


def test_a_short_session_is_flat_before_its_close():
    short = day_bars(random_market(1, contracts=2, minutes=60), DATE, EXPIRY)
    setup = setup_for(short, load_params())
    assert (setup.entry_until, setup.exit_minute) == (45, 45)


def test_slippage_and_times_become_integers(day):
    setup = setup_for(
        day,
        load_params(slippage_rupees=0.15, slippage_percent=0.25, latency_ms=300, stop_unfilled_seconds=7),
    )
    assert (setup.slip_ticks, setup.slip_basis_points) == (3, 25)
    assert (setup.latency_ms, setup.stop_unfilled_ms) == (300, 7000)
    assert setup.rules.lot_size == day.lot_size


def test_a_day_of_closes_only_cannot_be_traded(day):
    closes = replace(day, quality="close_only")
    assert "high and low are unknown" in why_untradable(closes, load_params())
    with pytest.raises(DataError, match="cannot be traded: close-only"):
        setup_for(closes, load_params())


def test_a_session_after_the_forced_exit_cannot_be_traded():
    early = load_params(entry_start_time="09:00", entry_end_time="09:15", forced_exit_time="09:15")
    day = day_bars(random_market(1, contracts=2, minutes=60), dt.date(2025, 12, 22), EXPIRY)
    assert "opens after the forced exit at 09:15" in why_untradable(day, early)
