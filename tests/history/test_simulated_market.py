"""The simulated market: reproducible, labelled, consistent, and inside bands measured on real files."""

import datetime as dt
import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from engine.errors import DataError, MarketFactError
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated, importer_name, simulate
from engine.history.simulated import MODEL_VERSION, simulate_day
from engine.history.simulated.compare import COMPARISONS
from engine.history.simulated.levels import day_level
from engine.history.simulated.options import years_to_expiry
from engine.market.calendar import session_minutes, trading_days

ORDINARY = dt.date(2025, 8, 29)
EXPIRY_DAY = dt.date(2025, 9, 2)


@pytest.fixture(scope="module")
def ordinary() -> pl.DataFrame:
    return simulate_day("NIFTY", ORDINARY)


@pytest.fixture(scope="module")
def expiry_day() -> pl.DataFrame:
    return simulate_day("NIFTY", EXPIRY_DAY)


def options_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("option_type") != "SPOT")


def spot_of(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("option_type") == "SPOT")


# --- reproducible


def test_same_seed_gives_the_same_day(ordinary):
    assert simulate_day("NIFTY", ORDINARY).equals(ordinary)


def test_day_is_the_same_in_a_fresh_process(ordinary):
    code = (
        "import datetime as dt; from engine.history.simulated import simulate_day;"
        "print(simulate_day('NIFTY', dt.date(2025, 8, 29)).drop_nulls().select(pl.col(pl.Int32).cast(pl.Int64).sum()).row(0))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", "import polars as pl;" + code], capture_output=True, text=True, check=True
    )
    here = ordinary.drop_nulls().select(pl.col(pl.Int32).cast(pl.Int64).sum()).row(0)
    assert answer.stdout.strip() == str(here)


def test_another_seed_gives_another_day(ordinary):
    assert not simulate_day("NIFTY", ORDINARY, seed=8).equals(ordinary)


def test_a_contract_does_not_depend_on_how_many_others_are_made(ordinary):
    wide = simulate_day("NIFTY", ORDINARY, strikes_each_side=14)
    kept = wide.filter(pl.col("symbol").is_in(ordinary["symbol"].unique().implode()))
    order = ["symbol", "minute"]
    assert kept.sort(order).equals(ordinary.sort(order))


def test_a_day_does_not_depend_on_the_range_it_is_made_in(tmp_path):
    days = trading_days(dt.date(2024, 12, 30), dt.date(2025, 1, 3))
    whole, alone = Lake(tmp_path / "whole"), Lake(tmp_path / "alone")
    simulate(whole, "NIFTY", days[0], days[-1], strikes_each_side=1)
    simulate(alone, "NIFTY", days[-1], days[-1], strikes_each_side=1)
    assert whole.entries()[-1].content == alone.entries()[-1].content


def test_underlyings_have_different_paths():
    nifty, bank = (day_level(name, ORDINARY, 7) for name in ("NIFTY", "BANKNIFTY"))
    assert np.log(nifty.close / nifty.open) != pytest.approx(np.log(bank.close / bank.open))


def test_one_day_closes_where_its_level_says_and_the_next_opens_near(ordinary):
    level, after = day_level("NIFTY", ORDINARY, 7), day_level("NIFTY", dt.date(2025, 9, 1), 7)
    assert spot_of(ordinary)["close"][-1] * 0.05 == pytest.approx(level.close, abs=0.05)
    assert spot_of(ordinary)["open"][0] * 0.05 == pytest.approx(level.open, abs=0.05)
    assert after.open == pytest.approx(level.close, rel=0.05)
    assert after.implied_open == pytest.approx(level.implied_close, rel=0.25)


# --- the shape of a day


def test_default_day_has_42_contracts_and_the_index(ordinary):
    assert options_of(ordinary)["symbol"].n_unique() == 42
    assert spot_of(ordinary).height == session_minutes(ORDINARY)


def test_symbols_follow_underlying_expiry_strike_type(ordinary):
    row = options_of(ordinary).row(0, named=True)
    assert row["symbol"] == f"NIFTY02SEP25{row['strike']}{row['option_type']}"


def test_open_high_low_close_are_consistent_down_to_the_last_tick(ordinary):
    for day in (ordinary, simulate_day("NIFTY", EXPIRY_DAY, strikes_each_side=25)):
        assert day.filter(
            (pl.col("high") < pl.max_horizontal("open", "close"))
            | (pl.col("low") > pl.min_horizontal("open", "close"))
        ).is_empty()


def test_prices_are_whole_positive_ticks(ordinary, expiry_day):
    for day in (ordinary, expiry_day):
        assert all(day.schema[name] == pl.Int32 for name in ("open", "high", "low", "close", "bid", "ask"))
        assert day.select(pl.min_horizontal("open", "high", "low", "close").min()).item() >= 1


def test_quotes_are_at_least_a_tick_apart_and_trades_near_them(ordinary):
    rows = options_of(ordinary)
    assert (rows["ask"] > rows["bid"]).all()
    inside = rows.select((pl.col("close").is_between("bid", "ask")).mean()).item()
    assert inside > 0.9  # the last trade may be some seconds older than the minute's last quote


def test_volume_is_positive_in_whole_lots(ordinary):
    rows = options_of(ordinary)
    assert (rows["volume"] > 0).all()
    assert (rows["volume"] % 75 == 0).all()
    assert (rows["oi"] % 75 == 0).all()


def test_strikes_around_the_money_are_dense(ordinary):
    assert options_of(ordinary).height / (42 * 375) > 0.97


def test_contracts_do_not_reach_their_highs_together(ordinary):
    calls = options_of(ordinary).filter(pl.col("option_type") == "CE").sort("symbol", "minute")
    at = calls.group_by("symbol").agg(pl.col("minute").gather(pl.col("high").arg_max()).first())
    assert at["minute"].n_unique() > 1


@pytest.mark.parametrize(
    ("underlying", "date", "minutes"),
    [
        ("NIFTY", dt.date(2026, 7, 31), 375),
        ("NIFTY", dt.date(2026, 8, 3), 385),
        ("BANKNIFTY", dt.date(2026, 8, 3), 385),
        ("NIFTY", dt.date(2025, 10, 21), 60),
        ("BANKNIFTY", dt.date(2021, 1, 1), 375),
    ],
)
def test_minutes_lie_within_the_session_of_the_date(underlying, date, minutes):
    day = simulate_day(underlying, date, strikes_each_side=2)
    assert (day["minute"].min(), day["minute"].max()) == (0, minutes - 1)


def test_nothing_trades_in_the_break_of_a_special_session():
    day = simulate_day("NIFTY", dt.date(2021, 2, 24), strikes_each_side=1)  # 09:15-11:40 and 15:45-17:00
    assert day.filter(pl.col("minute").is_between(145, 389)).is_empty()
    assert day["minute"].max() == 464


# --- option theory


def test_put_call_parity_holds_within_spread_and_carry(ordinary):
    rows = options_of(ordinary).with_columns(mid=(pl.col("bid") + pl.col("ask")) / 2)
    call = rows.filter(pl.col("option_type") == "CE").select("strike", "minute", call="mid")
    put = rows.filter(pl.col("option_type") == "PE").select("strike", "minute", put="mid")
    spot = spot_of(ordinary).select("minute", spot="close")
    both = call.join(put, on=["strike", "minute"]).join(spot, on="minute")
    off = both.select(points=(pl.col("call") - pl.col("put") - pl.col("spot")) * 0.05 + pl.col("strike"))[
        "points"
    ]
    carry = day_level("NIFTY", ORDINARY, 7).open * 0.05 * 4 / 365
    assert off.median() == pytest.approx(carry, abs=1.0)
    assert off.std() < 4.0


def test_time_runs_down_to_zero_at_the_close_of_the_expiry_day():
    years = years_to_expiry(EXPIRY_DAY, EXPIRY_DAY, 375).ravel()
    assert years[-1] == 0.0
    assert (np.diff(years) < 0).all()
    assert years_to_expiry(ORDINARY, EXPIRY_DAY, 375).min() > years.max()


def test_options_end_at_their_intrinsic_value_on_expiry(expiry_day):
    settled = spot_of(expiry_day)["close"][-1]
    last = options_of(expiry_day).filter(pl.col("minute") == 374)
    worth = (settled - last["strike"].cast(pl.Int64) * 20) * pl.Series(
        np.where(last["option_type"] == "CE", 1, -1)
    )
    mid = (last["bid"] + last["ask"]) / 2
    room = (last["ask"] - last["bid"]) / 2 + 1.5
    assert ((mid - worth.clip(1, None)).abs() <= room).all()


def test_an_option_at_the_money_loses_most_of_its_value_on_the_expiry_day(expiry_day):
    rows = options_of(expiry_day).join(spot_of(expiry_day).select("minute", at="close"), on="minute")
    near = rows.filter((pl.col("strike") * 20 - pl.col("at")).abs() <= 25 * 20)
    morning = near.filter(pl.col("minute").is_between(10, 40))["close"].mean()
    end = near.filter(pl.col("minute") > 364)["close"].mean()
    assert end < 0.35 * morning


def test_premiums_of_100_to_300_rupees_are_there_every_day():
    for date in trading_days(dt.date(2025, 3, 3), dt.date(2025, 3, 14)):
        day = options_of(simulate_day("NIFTY", date))
        start = day.filter((pl.col("minute") == 5) & pl.col("close").is_between(2000, 6000))
        assert set(start["option_type"]) == {"CE", "PE"}


# --- the lake


def test_days_are_labelled_simulated_with_version_and_seed(tmp_path):
    lake = Lake(tmp_path)
    (day,) = ensure_simulated(lake, "NIFTY", ORDINARY, ORDINARY, seed=3, strikes_each_side=1)
    assert day.simulated
    assert day.source == "simulated"
    assert day.importer == f"simulated/{MODEL_VERSION}/seed=3/strikes=1" == importer_name(3, 1)
    assert lake.load(day).simulated
    assert lake.check() == []


def test_a_second_run_makes_only_what_is_missing(tmp_path):
    lake = Lake(tmp_path)
    days = trading_days(dt.date(2025, 8, 25), ORDINARY)
    made = []
    assert simulate(lake, "NIFTY", days[0], days[1], strikes_each_side=0) == days[:2]
    written = simulate(
        lake, "NIFTY", days[0], days[-1], strikes_each_side=0, progress=lambda *told: made.append(told)
    )
    assert written == days[2:]
    assert made == [(n, len(written), date) for n, date in enumerate(written, start=1)]
    assert simulate(lake, "NIFTY", days[0], days[-1], strikes_each_side=0) == []
    assert [
        day.date for day in ensure_simulated(lake, "NIFTY", days[0], days[-1], strikes_each_side=0)
    ] == days


def test_a_simulated_day_with_an_unreadable_manifest_is_made_again(tmp_path):
    lake = Lake(tmp_path)
    simulate(lake, "NIFTY", ORDINARY, ORDINARY, strikes_each_side=1)
    (manifest,) = (tmp_path / "lake/manifest").glob("*.json")
    manifest.write_text("nonsense")
    (problem,) = lake.check()
    assert f"workbench data simulate -u NIFTY --date {ORDINARY}" in problem.remedy
    assert "import" not in str(problem)
    assert simulate(lake, "NIFTY", ORDINARY, ORDINARY, strikes_each_side=1) == [ORDINARY]
    assert lake.check() == []


@pytest.mark.parametrize("damage", ["missing", "unreadable", "changed"])
def test_a_damaged_simulated_day_is_made_again(tmp_path, damage):
    lake = Lake(tmp_path)
    (day,) = ensure_simulated(lake, "NIFTY", ORDINARY, ORDINARY, seed=3, strikes_each_side=1)
    sound = day.path.read_bytes()
    if damage == "missing":
        day.path.unlink()
    else:
        day.path.write_bytes(b"nonsense" if damage == "unreadable" else sound[:8] + b"x" + sound[9:])
    remedy = f"workbench data simulate -u NIFTY --date {ORDINARY} --seed 3 --strikes 1`"
    if damage != "changed":
        with pytest.raises(DataError, match=re.escape(remedy)):
            lake.load(day)
    (problem,) = lake.check()
    assert remedy in problem.remedy
    assert simulate(lake, "NIFTY", ORDINARY, ORDINARY, seed=3, strikes_each_side=1) == [ORDINARY]
    assert day.path.read_bytes() == sound
    assert lake.check() == []
    assert simulate(lake, "NIFTY", ORDINARY, ORDINARY, seed=3, strikes_each_side=1) == []


def test_a_day_of_another_seed_is_replaced_not_mixed(tmp_path):
    lake = Lake(tmp_path)
    simulate(lake, "NIFTY", ORDINARY, ORDINARY, seed=1, strikes_each_side=0)
    assert simulate(lake, "NIFTY", ORDINARY, ORDINARY, seed=2, strikes_each_side=0) == [ORDINARY]
    assert [day.importer for day in lake.entries()] == [importer_name(2, 0)]


@pytest.mark.parametrize(
    ("underlying", "date", "words"),
    [
        ("FINNIFTY", ORDINARY, "choose one of NIFTY, BANKNIFTY"),
        ("NIFTY", dt.date(2020, 12, 31), "2021-01-01"),
        ("NIFTY", dt.date(2025, 8, 30), "no trading day"),
    ],
)
def test_impossible_days_are_refused_in_one_line(underlying, date, words):
    with pytest.raises(DataError, match=words) as caught:
        simulate_day(underlying, date)
    assert "\n" not in str(caught.value)


def test_a_year_without_known_holidays_is_refused():
    with pytest.raises(MarketFactError, match="holidays of 2027 are not known"):
        simulate_day("NIFTY", dt.date(2030, 1, 2))


# --- bands: the real value lies inside each, as measured on the file named in COMPARISONS; the model must too

INDEX_BANDS = {
    "5-minute return, standard deviation, bp": (5.0, 8.5),
    "5-minute return, median size, bp": (2.3, 4.0),
    "5-minute return, excess kurtosis": (6.0, 30.0),
    "5-minute return, share of zeros, %": (0.05, 0.5),
    "5-minute return, autocorrelation lag 1": (-0.05, 0.05),
    "size of 5-minute return within the day, autocorrelation lag 1": (0.02, 0.12),
    "size of 5-minute return within the day, autocorrelation lag 12": (-0.02, 0.05),
    "size of return, 09:20-09:45 / day": (1.4, 1.8),
    "size of return, 12:00-13:00 / day": (0.75, 0.95),
    "size of return, 14:45-15:25 / day": (0.9, 1.15),
    "bar range / size of bar return": (1.9, 2.1),
    "day range, median, %": (0.6, 1.0),
    "close-to-close return, standard deviation, %": (0.55, 0.95),
    "overnight gap, median size, %": (0.15, 0.30),
    "overnight gap, standard deviation, %": (0.28, 0.60),
    "day's volatility, spread of its log": (0.28, 0.48),
    "day's volatility, autocorrelation 1 day": (0.25, 0.70),
}
CLOSE_BANDS = {
    "1-minute return, standard deviation, %": (2.0, 4.0),
    "1-minute return, median size, %": (1.0, 2.0),
    "1-minute return, share of zeros, %": (0.3, 1.5),
    "1-minute return, excess kurtosis": (3.0, 30.0),
    "premium at the money, median, 1 trading days left, to 14:30, Rs": (55.0, 115.0),
    "premium at the money, median, 4 trading days left, to 14:30, Rs": (110.0, 240.0),
    "1-minute return, 1 trading days left, to 14:30, %": (2.7, 5.5),
    "1-minute return, 4 trading days left, to 14:30, %": (1.6, 3.5),
}
BAR_BANDS = {
    "1-minute return at the money, standard deviation, %": (1.5, 4.0),
    "1-minute return at the money, excess kurtosis": (2.0, 20.0),
    "share of zero changes at the money, %": (0.1, 0.8),
    "minute range, premium 100-300, median, ticks": (60.0, 190.0),
    "minute range / size of change, premium 100-300": (1.55, 1.95),
    "open or close at an extreme, premium 100-300, %": (20.0, 40.0),
    "correlation of call and put changes, same strike": (-0.95, -0.80),
    "parity of neighbouring strikes apart, spread, % of premium": (0.30, 0.60),
    "day's high / low of a contract at the money, median": (1.4, 3.0),
    "spread of log volume of a minute at the money": (0.5, 0.9),
    "volume at the money, first 30 minutes / day": (1.4, 2.4),
    "volume at the money, 12:00-13:00 / day": (0.5, 0.95),
    "minutes with trades, -10 to -8 strikes out of the money, %": (60.0, 95.0),
    "minutes with trades, -7 to -4 strikes out of the money, %": (92.0, 100.0),
    "minutes with trades, -3 to 3 strikes out of the money, %": (99.0, 100.0),
    "minutes with trades, 4 to 10 strikes out of the money, %": (99.0, 100.0),
    "median lots a minute at the money": (1500.0, 9000.0),
}
QUOTE_BANDS = {
    "spread at the money, median, Rs": (0.15, 0.30),
    "spread at the money, median, %": (0.15, 0.30),
    "spread, premium 0-20, median, Rs": (0.05, 0.10),
    "spread, premium 20-50, median, Rs": (0.05, 0.15),
    "spread, premium 50-100, median, Rs": (0.10, 0.25),
    "spread, premium 100-200, median, Rs": (0.20, 0.40),
    "spread, premium 200-300, median, Rs": (0.40, 0.65),
    "spread, premium 300-500, median, Rs": (0.70, 1.60),
    "spread, premium 500-1000, median, Rs": (1.20, 2.60),
    "share of the day's volume, 09:15-09:45, %": (10.0, 19.0),
    "share of the day's volume, 12:00-13:00, %": (9.0, 15.0),
    "share of the day's volume, 14:45-15:30, %": (9.0, 19.0),
}
BANDS = dict(zip(COMPARISONS, (INDEX_BANDS, CLOSE_BANDS, BAR_BANDS, QUOTE_BANDS), strict=True))


def outside(measured: dict[str, float], bands: dict[str, tuple[float, float]]) -> list[str]:
    return [
        f"{name}: {measured[name]:.4g} not in {band}"
        for name, band in bands.items()
        if not band[0] - 1e-9 <= measured[name] <= band[1] + 1e-9
    ]


@pytest.mark.parametrize("file", list(COMPARISONS))
def test_the_model_lies_within_bands_around_the_real_file(file):
    assert outside(COMPARISONS[file].simulated(7), BANDS[file]) == []


@pytest.mark.parametrize("file", list(COMPARISONS))
def test_the_bands_hold_the_real_file_too(shared, file):
    assert outside(COMPARISONS[file].real(shared / "data"), BANDS[file]) == []
