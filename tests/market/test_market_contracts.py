from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import MarketFactError
from engine.market import contracts
from engine.market.calendar import expiries

LOTS = [
    ("NIFTY", "2021-06-24", 75),
    ("NIFTY", "2021-07-22", 75),
    ("NIFTY", "2021-07-29", 50),
    ("NIFTY", "2021-08-05", 50),
    ("NIFTY", "2024-04-25", 50),
    ("NIFTY", "2024-05-02", 25),
    ("NIFTY", "2024-05-30", 25),
    ("NIFTY", "2024-12-19", 25),
    ("NIFTY", "2024-12-26", 25),
    ("NIFTY", "2025-01-02", 75),
    ("NIFTY", "2025-01-23", 75),
    ("NIFTY", "2025-01-30", 25),
    ("NIFTY", "2025-02-06", 75),
    ("NIFTY", "2025-02-27", 75),
    ("NIFTY", "2025-12-23", 75),
    ("NIFTY", "2025-12-30", 75),
    ("NIFTY", "2026-01-06", 65),
    ("NIFTY", "2026-01-27", 65),
    ("NIFTY", "2026-11-23", 65),
    ("BANKNIFTY", "2023-01-05", 25),
    ("BANKNIFTY", "2023-06-28", 25),
    ("BANKNIFTY", "2023-07-20", 25),
    ("BANKNIFTY", "2023-07-27", 15),
    ("BANKNIFTY", "2023-08-03", 15),
    ("BANKNIFTY", "2024-11-13", 15),
    ("BANKNIFTY", "2024-12-24", 15),
    ("BANKNIFTY", "2025-01-30", 15),
    ("BANKNIFTY", "2025-02-27", 30),
    ("BANKNIFTY", "2025-06-26", 30),
    ("BANKNIFTY", "2025-07-31", 35),
    ("BANKNIFTY", "2025-12-30", 35),
    ("BANKNIFTY", "2026-01-27", 30),
]


@pytest.mark.parametrize(("underlying", "expiry", "lot"), LOTS)
def test_lot_belongs_to_the_contract(underlying, expiry, lot):
    assert contracts.lot_size(underlying, date.fromisoformat(expiry)) == lot


def test_every_listed_expiry_has_a_lot_with_a_source():
    for underlying in contracts.UNDERLYINGS:
        for expiry in expiries(underlying, date(2021, 1, 1), date(2026, 12, 31)):
            assert contracts.lot_size_fact(underlying, expiry).source


def test_lots_agree_with_the_exchange_bhavcopy(shared):
    rows = (
        pl.read_parquet(shared / "data" / "nse_fo_bhavcopy_2025-01_2026-01.parquet")
        .filter(pl.col("underlying").is_in(contracts.UNDERLYINGS), pl.col("option_type").is_in(["CE", "PE"]))
        .filter(pl.col("expiry") <= date(2026, 12, 31))
        .group_by("underlying", "expiry")
        .agg(pl.col("lot").unique())
    )
    checked = 0
    for underlying, expiry, lots in rows.iter_rows():
        # contracts re-dated later stand under their old day in the file
        if expiry in expiries(underlying, expiry, expiry):
            assert lots == [contracts.lot_size(underlying, expiry)], (underlying, expiry)
            checked += 1
    assert checked == 35


def test_newest_lots():
    assert contracts.latest_lot_size("NIFTY") == 65
    assert contracts.latest_lot_size("BANKNIFTY") == 30


def test_lot_after_the_last_seen_circular_is_uncertain():
    assert contracts.lot_size_fact("NIFTY", date(2026, 8, 25)).certainty == "C"
    assert contracts.lot_size_fact("NIFTY", date(2026, 11, 23)).certainty == "U"


def test_no_expiry_no_lot():
    with pytest.raises(MarketFactError, match="nearest are 2025-01-23 and 2025-01-30"):
        contracts.lot_size("NIFTY", date(2025, 1, 29))
    with pytest.raises(MarketFactError, match="did you mean NIFTY"):
        contracts.lot_size("nifty50", date(2025, 1, 30))


def test_steps_and_tick():
    assert contracts.strike_step("NIFTY", date(2026, 11, 20)) == 50
    assert contracts.strike_step("BANKNIFTY", date(2026, 11, 20)) == 100
    assert contracts.tick_size("NIFTY") == Decimal("0.05")


@pytest.mark.parametrize(
    ("day", "units", "certainty"),
    [
        (date(2025, 7, 15), 600, "C"),
        (date(2025, 8, 15), 600, "U"),
        (date(2025, 9, 30), 900, "C"),
        (date(2026, 2, 28), 600, "C"),
        (date(2026, 4, 1), 900, "C"),
        (date(2026, 8, 31), 600, "C"),
        (date(2026, 11, 20), 600, "U"),
    ],
)
def test_banknifty_freeze_flips_by_month(day, units, certainty):
    fact = contracts.freeze_quantity_fact("BANKNIFTY", day)
    assert (fact.value, fact.certainty) == (units, certainty)


def test_freeze_in_lots():
    assert contracts.freeze_quantity("NIFTY", date(2026, 8, 3)) == 1800
    assert contracts.max_order_lots("NIFTY", date(2026, 11, 23), date(2026, 11, 20)) == 27
    assert contracts.max_order_lots("BANKNIFTY", date(2025, 9, 30), date(2025, 9, 15)) == 25


def test_facts_before_the_tables_name_the_first_date():
    for ask in (contracts.freeze_quantity, contracts.strike_step):
        with pytest.raises(MarketFactError, match="begins at 2021-01-01"):
            ask("NIFTY", date(2020, 12, 31))
    with pytest.raises(MarketFactError, match="begins at 2022-10-31"):
        contracts.price_band(1000, date(2022, 10, 28))


@pytest.mark.parametrize(
    ("reference", "low", "high"),
    [
        (1, 1, 401),
        (400, 1, 800),
        (401, 1, 801),
        (1000, 600, 1400),
        (1001, 601, 1401),
        (2000, 1200, 2800),
        (2003, 1202, 2804),
    ],
)
def test_price_band(reference, low, high):
    assert contracts.price_band(reference, date(2026, 11, 20)) == (low, high)


@given(st.integers(1, 1_000_000))
def test_price_band_never_exceeds_the_rule(reference):
    low, high = contracts.price_band(reference, date(2022, 10, 31))
    width = 400 * 100 if reference <= 1000 else 40 * reference
    assert 1 <= low <= reference <= high
    assert 100 * (high - reference) <= width
    assert 100 * (reference - low) <= width


def test_price_band_needs_a_price():
    with pytest.raises(MarketFactError, match="at least 1 tick"):
        contracts.price_band(0, date(2026, 11, 20))
