import csv
from datetime import date
from pathlib import Path

import pytest

from engine.errors import MarketFactError
from engine.market.calendar import expiries, expiry_kind, is_trading_day, nearest_expiry

with (Path(__file__).parent / "expiries_by_hand.csv").open() as file:
    BY_HAND = list(csv.DictReader(line for line in file if not line.startswith("#")))


@pytest.mark.parametrize("row", BY_HAND, ids=lambda row: f"{row['underlying']}-{row['expiry']}")
def test_expiry_known_by_hand(row):
    day = date.fromisoformat(row["expiry"])
    assert expiries(row["underlying"], day, day) == [day]
    assert expiry_kind(row["underlying"], day) == row["kind"]


def test_every_nifty_expiry_equals_the_answer_file(shared):
    with (shared / "reference" / "nifty_expiries_2021_2026.csv").open() as answers:
        wanted = [(row["expiry"], row["kind"]) for row in csv.DictReader(answers)]
    listed = expiries("NIFTY", date(2021, 1, 1), date(2026, 12, 31))
    computed = [(day.isoformat(), expiry_kind("NIFTY", day)[0].upper()) for day in listed]
    assert len(wanted) == 313
    assert computed == wanted


def test_banknifty_has_no_wednesday_weekly_beside_a_thursday_monthly():
    october = expiries("BANKNIFTY", date(2023, 10, 1), date(2023, 10, 31))
    assert october == [date(2023, 10, day) for day in (4, 11, 18, 26)]


def test_banknifty_is_monthly_only_after_its_last_weekly():
    later = expiries("BANKNIFTY", date(2024, 11, 14), date(2026, 12, 31))
    assert {expiry_kind("BANKNIFTY", day) for day in later} == {"monthly"}
    assert [(day.year, day.month) for day in later][:3] == [(2024, 11), (2024, 12), (2025, 1)]
    assert len(later) == 26


@pytest.mark.parametrize("underlying", ["NIFTY", "BANKNIFTY"])
def test_expiries_are_ordered_trading_days_with_one_monthly_a_month(underlying):
    listed = expiries(underlying, date(2021, 1, 1), date(2026, 12, 31))
    assert listed == sorted(set(listed))
    assert all(is_trading_day(day) for day in listed)
    monthly = [(day.year, day.month) for day in listed if expiry_kind(underlying, day) == "monthly"]
    assert monthly == [(year, month) for year in range(2021, 2027) for month in range(1, 13)]


def test_range_holds_both_ends_and_a_shift_across_its_end():
    assert expiries("NIFTY", date(2026, 11, 9), date(2026, 11, 9)) == [date(2026, 11, 9)]
    assert expiries("NIFTY", date(2026, 11, 10), date(2026, 11, 16)) == []


def test_nearest_expiry_is_today_on_expiry_day():
    assert nearest_expiry("NIFTY", date(2026, 11, 20)) == date(2026, 11, 23)
    assert nearest_expiry("NIFTY", date(2026, 11, 23)) == date(2026, 11, 23)
    assert nearest_expiry("NIFTY", date(2026, 11, 24)) == date(2026, 12, 1)
    assert nearest_expiry("BANKNIFTY", date(2024, 11, 14)) == date(2024, 11, 27)
    assert nearest_expiry("NIFTY", date(2026, 12, 27)) == date(2026, 12, 29)


def test_a_day_that_is_no_expiry_names_its_neighbours():
    with pytest.raises(
        MarketFactError, match="2026-11-24 is no NIFTY expiry; the nearest are 2026-11-23 and 2026-12-01"
    ):
        expiry_kind("NIFTY", date(2026, 11, 24))


def test_days_before_the_rules_name_the_first_day():
    with pytest.raises(MarketFactError, match="begin at 2021-01-01"):
        nearest_expiry("NIFTY", date(2020, 12, 31))


def test_unknown_underlying_is_told_its_nearest_name():
    with pytest.raises(MarketFactError, match=r"NIFTY, BANKNIFTY; did you mean BANKNIFTY\?"):
        expiries("BANKNFTY", date(2025, 1, 1), date(2025, 2, 1))
