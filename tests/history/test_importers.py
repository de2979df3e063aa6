"""Files into the lake: every row judged, nothing silently lost, no day half-written."""

import datetime as dt

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from engine.history.importers import import_file
from engine.history.importers.column_map import ColumnMap, read_column_map
from engine.history.lake import Lake

MONDAY = dt.datetime(2025, 1, 6, 9, 15)
EXPIRY = dt.date(2025, 1, 9)


def tidy(minutes=range(20), days=(0,), strikes=(23500, 23550)) -> pl.DataFrame:
    rows = [
        {
            "symbol": f"NIFTY09JAN25{strike}{kind}",
            "underlying": "NIFTY",
            "expiry": EXPIRY,
            "strike": float(strike),
            "option_type": kind,
            "ts": MONDAY + dt.timedelta(days=day, minutes=minute),
            "open": 100.0 + minute,
            "high": 101.15 + minute,
            "low": 99.95 + minute,
            "close": 100.1 + minute,
            "volume": 75 * (1 + minute),
            "oi": 7500,
        }
        for day in days
        for strike in strikes
        for kind in ("CE", "PE")
        for minute in minutes
    ]
    return pl.DataFrame(rows)


def with_row(frame: pl.DataFrame, **changes) -> pl.DataFrame:
    """The frame with its sixth row changed."""
    place = pl.int_range(pl.len()) == 5
    return frame.with_columns(
        pl.when(place).then(pl.lit(value, frame.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, value in changes.items()
    )


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "data")


@pytest.fixture
def save(tmp_path):
    def saved(frame: pl.DataFrame, name="bars.parquet"):
        path = tmp_path / name
        frame.write_csv(path) if name.endswith("csv") else frame.write_parquet(path)
        return path

    return saved


def test_tidy_parquet_and_csv_give_the_same_day(lake, save, tmp_path):
    one = import_file(save(tidy()), lake, source="vendor")
    other = Lake(tmp_path / "other")
    import_file(save(tidy(), "bars.csv"), other, source="vendor")
    assert one.rows_kept == one.rows_read == 80
    assert one.rejected == ()
    assert lake.entries()[0].sha256 == other.entries()[0].sha256
    loaded = lake.load(lake.entries()[0])
    assert (loaded.open[0, 0], loaded.high[0, 0], loaded.low[0, 0], loaded.close[0, 0]) == (
        2000,
        2023,
        1999,
        2002,
    )
    assert loaded.volume[0, 3] == 300


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"underlying": "NIFTTY"}, "unknown underlying"),
        (
            {"expiry": dt.date(2025, 1, 10)},
            "2025-01-10 is no NIFTY expiry; the nearest are 2025-01-09 and 2025-01-16",
        ),
        ({"expiry": dt.date(2025, 1, 2)}, "expiry before the trading day"),
        ({"expiry": None}, "option without expiry"),
        ({"strike": None}, "option without strike"),
        ({"strike": 23500.5}, "strike is not whole rupees"),
        ({"option_type": "XX"}, "option type is none of CE, PE, FUT, SPOT"),
        ({"symbol": "BANKNIFTY09JAN2523500CE"}, "symbol of another underlying"),
        ({"symbol": "NIFTY09JAN2523500PE"}, "one symbol for two contracts"),
        ({"symbol": "NIFTY09JAN2523500CEX"}, "two symbols for one contract"),
        ({"ts": MONDAY.replace(hour=15, minute=30)}, "bar outside the session"),
        ({"ts": MONDAY.replace(hour=9, minute=14)}, "bar outside the session"),
        ({"ts": MONDAY.replace(second=30)}, "time is not a whole minute"),
        ({"ts": dt.datetime(2025, 1, 5, 10, 0)}, "not a trading day"),
        ({"ts": None}, "no time"),
        ({"close": 100.12}, "price off the tick"),
        ({"high": 101.153}, "price off the tick"),
        ({"close": None}, "no close"),
        ({"close": float("nan")}, "no close"),
        ({"open": None}, "no open, high or low"),
        ({"low": float("nan")}, "price not positive"),
        ({"low": -1.0}, "price not positive"),
        ({"low": 0.0}, "price not positive"),
        ({"high": 50.0}, "open, high, low and close contradict each other"),
        ({"low": 150.0}, "open, high, low and close contradict each other"),
        ({"volume": -75}, "volume is negative or not whole units"),
        ({"volume": None}, "no volume"),
    ],
)
def test_a_bad_row_is_left_out_under_its_reason(lake, save, change, reason):
    path = save(with_row(tidy(), **change))
    report = import_file(path, lake)
    told = {rejection.reason: rejection.count for rejection in report.rejected}
    found = next((words for words in told if words.startswith(reason)), None)
    assert found is not None, told
    assert report.rows_kept + report.rows_rejected == report.rows_read
    assert report.rows_rejected == 1
    assert report.rejected[0].example
    with pytest.raises(
        DataError, match=r"strict import, nothing was written.*without strict=True / --strict"
    ):
        import_file(path, Lake(lake.root / "strict"), strict=True)
    assert not (lake.root / "strict").exists()


def test_what_was_left_out_stands_in_the_manifest_and_the_text(lake, save):
    report = import_file(save(with_row(tidy(), close=100.12)), lake)
    assert lake.entries()[0].rejected == {"price off the tick": 1}
    assert "1 left out" in str(report)
    assert "price off the tick, e.g. symbol=NIFTY09JAN2523500CE" in str(report)
    assert lake.entries()[0].gaps.missing == 1


def test_identical_repetitions_are_kept_once_and_contradicting_ones_not_at_all(lake, save):
    frame = tidy()
    again = frame.head(3)
    other = frame.slice(10, 1).with_columns(close=pl.lit(110.3))
    report = import_file(save(pl.concat([frame, again, other])), lake)
    assert report.duplicates == 3
    assert [(r.reason, r.count) for r in report.rejected] == [("two different bars for one minute", 2)]
    assert report.rows_kept == 79


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_never_changes_the_stored_day(tmp_path_factory, shuffler):
    bad = with_row(tidy(), close=100.12)
    frame = pl.concat([bad, tidy().head(4), tidy().slice(30, 1).with_columns(close=pl.lit(110.3))])
    order = list(range(frame.height))
    shuffler.shuffle(order)
    stored = []
    for rows in (frame, frame[order]):
        folder = tmp_path_factory.mktemp("order")
        rows.write_parquet(folder / "bars.parquet")
        lake = Lake(folder)
        import_file(folder / "bars.parquet", lake)
        stored.append((lake.entries()[0].sha256, dict(lake.entries()[0].rejected)))
    assert stored[0] == stored[1]


def test_of_two_names_with_as_many_rows_neither_is_believed(lake, save):
    half = (pl.col("option_type") == "CE") & (pl.col("strike") == 23500) & (pl.col("ts").dt.minute() < 25)
    frame = tidy().with_columns(symbol=pl.when(half).then(pl.lit("OTHER")).otherwise("symbol"))
    path = save(frame)
    with pytest.raises(DataError, match="two symbols for one contract"):
        import_file(path, lake)
    report = import_file(path, lake, force=True)
    assert [(r.reason, r.count) for r in report.rejected] == [("two symbols for one contract", 20)]


SPOT = {"symbol": "NIFTY", "expiry": None, "strike": None, "option_type": "SPOT"}


def spot_of(frame: pl.DataFrame) -> pl.DataFrame:
    return (
        frame.filter(pl.col("symbol") == "NIFTY09JAN2523500CE")
        .with_columns(pl.lit(value).cast(frame.schema[name]).alias(name) for name, value in SPOT.items())
        .select(frame.columns)
    )


def off_tick(frame: pl.DataFrame, count: int) -> pl.DataFrame:
    bad = pl.when(pl.int_range(pl.len()) < count).then(pl.lit(100.12)).otherwise("close")
    return frame.with_columns(bad.alias("close"))


def test_more_than_a_fifth_of_faulty_option_rows_refuses_the_file(lake, save):
    assert import_file(save(off_tick(tidy(), 16)), Lake(lake.root / "fifth")).rows_rejected == 16
    path = save(pl.concat([off_tick(tidy(), 17), spot_of(tidy(minutes=range(300)))]))
    words = (
        r"17 of 80 option rows \(21%\) are refused, nothing was written; most often: 17 rows: price off the tick, "
        r"e\.g\. symbol=NIFTY09JAN2523500CE .*column map .*--map.* or the file.*force=True / --force"
    )
    with pytest.raises(DataError, match=words):
        import_file(path, lake)
    assert lake.entries() == []
    assert import_file(path, lake, force=True).rows_rejected == 17
    assert lake.entries()[0].rejected == {"price off the tick": 17}


def test_rows_after_the_close_and_repetitions_are_no_faults_of_a_file(lake, save):
    late = tidy().with_columns(pl.col("ts") + pl.duration(hours=6, minutes=15))
    report = import_file(save(pl.concat([tidy(), late, tidy()])), lake)
    assert (report.duplicates, report.rows_rejected) == (80, 80)


def test_a_day_that_loses_all_its_options_refuses_the_file(lake, save):
    monday = tidy(minutes=range(300))
    tuesday = tidy(days=(1,))
    path = save(pl.concat([monday, off_tick(tuesday, 80), spot_of(tuesday)]))
    with pytest.raises(DataError, match=r"all 80 option rows of NIFTY 2025-01-07 are refused.*off the tick"):
        import_file(path, lake)
    assert lake.entries() == []
    assert len(import_file(path, lake, force=True).days) == 2


def test_a_file_of_one_underlying_is_not_imported_as_the_other(lake, save):
    frame = tidy().with_columns(
        expiry=pl.lit(dt.date(2025, 1, 30)), symbol=pl.col("symbol").str.replace("09JAN", "30JAN")
    )
    wrong = frame.with_columns(underlying=pl.lit("BANKNIFTY"))
    with pytest.raises(DataError, match=r"not one good row.*80 rows: symbol of another underlying"):
        import_file(save(wrong), lake)
    right = wrong.with_columns(symbol=pl.lit("BANK") + pl.col("symbol"))
    spot = spot_of(tidy()).with_columns(underlying=pl.lit("BANKNIFTY"), symbol=pl.lit("NIFTY BANK"))
    assert import_file(save(pl.concat([right, spot])), lake).rejected == ()
    with pytest.raises(DataError, match="80 rows: symbol of another underlying"):
        import_file(save(right.with_columns(underlying=pl.lit("NIFTY"))), lake)


def test_closes_only_become_a_close_only_day(lake, save):
    frame = tidy().with_columns(pl.lit(None, pl.Float64).alias(n) for n in ("open", "high", "low", "volume"))
    import_file(save(frame), lake)
    assert lake.load(lake.entries()[0]).quality == "close_only"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda save: save(tidy().rename({"close": "Close_"})), r"lacks column close; it has .*did you mean 'Close_' for 'close'"),
        (lambda save: save(tidy().head(0)), "has no rows"),
        (lambda save: save(tidy().with_columns(underlying=pl.lit("GOLD"))), "not one good row.*unknown underlying"),
        (lambda save: save(tidy()).with_name("absent.parquet"), "is no file"),
        (lambda save: save(tidy(), "bars.parquet").rename(save(tidy(), "x.parquet").with_name("bars.xlsx")), "xlsx files are not read"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_writes_nothing(lake, save, make, words):
    with pytest.raises(DataError, match=words):
        import_file(make(save), lake)
    assert not lake.root.exists()


def test_a_broken_file_is_named(lake, tmp_path):
    path = tmp_path / "broken.parquet"
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match="cannot be read"):
        import_file(path, lake)


def test_the_simulated_name_is_refused(lake, save):
    with pytest.raises(DataError, match="kept for prices made by the simulator"):
        import_file(save(tidy()), lake, source="simulated")


def test_other_bars_for_a_held_day_write_nothing_without_replace(lake, save):
    import_file(save(tidy(days=(0, 1))), lake)
    changed = pl.concat([tidy(days=(0,), minutes=range(19)), tidy(days=(1, 2))])
    path = save(changed, "changed.parquet")
    with pytest.raises(DataError, match=r"1 of 3 days are held with other bars.*replace=True / --replace"):
        import_file(path, lake)
    assert len(lake.entries()) == 2
    report = import_file(path, lake, replace=True)
    assert [day.landing for day in report.days] == ["replaced", "unchanged", "written"]
    assert lake.check() == []


def test_an_interrupted_import_is_finished_by_the_same_call(lake, save):
    path = save(tidy(days=(0, 1, 2)))

    def interrupt(what: str, done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(path, lake, progress=interrupt)
    assert len(lake.entries()) == 2
    assert lake.check() == []
    assert [day.landing for day in import_file(path, lake).days] == ["unchanged", "unchanged", "written"]


def test_one_underlying_of_a_file(lake, save):
    with pytest.raises(DataError, match="no row of underlying 'BANKNIFTY'; it has NIFTY"):
        import_file(save(tidy()), lake, underlying="BANKNIFTY")
    assert import_file(save(tidy()), lake, underlying="NIFTY").rows_kept == 80


VENDOR = {
    "columns": {
        "ts": ["Date", "Time"], "expiry": "Exp", "strike": "K", "option_type": "Right",
        "open": "O", "high": "H", "low": "L", "close": "C", "volume": "Vol",
    },
    "constants": {"underlying": "NIFTY"},
    "timestamp": "%d/%m/%Y %H:%M:%S",
    "expiry_format": "%d%b%Y",
    "labels": "end",
    "prices": "paise",
    "volume": "lots",
}  # fmt: skip


def vendor_rows() -> pl.DataFrame:
    frame = tidy()
    end = pl.col("ts") + pl.duration(minutes=1)
    return frame.select(
        Date=end.dt.strftime("%d/%m/%Y"),
        Time=end.dt.strftime("%H:%M:%S"),
        Exp=pl.lit("09JAN2025"),
        K=pl.col("strike"),
        Right=pl.col("option_type").replace({"CE": "Call", "PE": "Put"}),
        **{name: (pl.col(ours) * 100).round().cast(pl.Int64) for name, ours in zip("OHLC", ("open", "high", "low", "close"), strict=True)},
        Vol=pl.col("volume") // 75,
    )  # fmt: skip


def test_a_column_map_reads_a_vendors_file(lake, save, tmp_path):
    recipe = tmp_path / "vendor.yaml"
    recipe.write_text(yaml.safe_dump(VENDOR))
    report = import_file(save(vendor_rows(), "vendor.csv"), lake, column_map=recipe)
    assert report.rejected == ()
    other = Lake(tmp_path / "other")
    import_file(save(tidy().with_columns(oi=pl.lit(None))), other)
    assert lake.entries()[0].content == other.entries()[0].content


def test_times_of_another_zone_become_ist(lake, save):
    shifted = tidy().with_columns(ts=pl.col("ts") - pl.duration(hours=5, minutes=30))
    how = ColumnMap.model_validate({"columns": {name: name for name in shifted.columns}, "timezone": "UTC"})
    import_file(save(shifted), lake, column_map=how)
    assert lake.frame(lake.entries()[0])["minute"].min() == 0


def test_text_that_is_no_number_is_left_out_and_named(lake, save):
    frame = tidy().with_columns(pl.col("close").cast(pl.String))
    report = import_file(save(with_row(frame, close="12,3o"), "bars.csv"), lake)
    assert [(r.reason, r.count) for r in report.rejected] == [("unreadable close", 1)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prices": "dollars"}, "prices"),
        ({"timezone": "Bombay"}, "Bombay"),
        ({"colour": 1}, "colour"),
        ({"columns": {}}, "columns"),
        ({"columns": {"opne": "O"}}, "opne"),
    ],
)
def test_a_wrong_column_map_is_named(tmp_path, change, words):
    recipe = tmp_path / "map.yaml"
    recipe.write_text(yaml.safe_dump(VENDOR | change))
    with pytest.raises(DataError, match=words):
        read_column_map(recipe)
    with pytest.raises(DataError, match="cannot be read"):
        read_column_map(tmp_path / "absent.yaml")


UDIFF_LINES = """\
TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,\
FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,\
TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks
2025-01-06,2025-01-06,FO,NSE,IDO,1,,NIFTY,,2025-01-09,2025-01-09,23500.00,CE,NIFTY2510923500CE,310.00,330.55,\
150.10,200.05,200.00,400.00,23616.05,200.05,750000,-75,1000,1.0,900,F1,75,
2025-01-06,2025-01-06,FO,NSE,IDO,2,,NIFTY,,2025-01-09,2025-01-09,29000.00,CE,NIFTY2510929000CE,0.00,0.00,\
0.00,0.05,0.00,0.05,23616.05,0.05,0,0,0,0.0,0,F1,75,
2025-01-06,2025-01-06,FO,NSE,IDF,3,,NIFTY,,2025-01-30,2025-01-30,,,NIFTY25JANFUT,24000.00,24100.00,23600.00,\
23700.00,23700.00,24050.00,23616.05,23700.00,1000000,100,200,1.0,150,F1,25,
2025-01-06,2025-01-06,FO,NSE,STO,4,,RELIANCE,,2025-01-30,2025-01-30,1200.00,CE,RELIANCE25JAN1200CE,30.00,33.55,\
15.10,20.05,20.00,40.00,1210.05,20.05,7500,-75,10,1.0,9,F1,500,
"""


def test_the_official_bhavcopy_becomes_a_reference_table(lake, tmp_path):
    path = tmp_path / "BhavCopy_NSE_FO_0_0_0_20250106_F_0000.csv"
    path.write_text(UDIFF_LINES)
    report = import_file(path, lake)
    assert (report.kind, report.rows_kept, report.rows_read) == ("end of day", 3, 4)
    assert [r.reason for r in report.rejected] == ["not an index contract"]
    table = lake.eod("NIFTY", dt.date(2025, 1, 6))
    traded, untraded, future = table.rows(named=True)
    assert (traded["high"], traded["settle"], traded["volume"], traded["underlying_close"]) == (
        33_055,
        20_005,
        75_000,
        2_361_605,
    )
    assert (untraded["open"], untraded["close"]) == (None, 5)
    assert (future["option_type"], future["strike"], future["lot"]) == ("FUT", None, 25)
    assert import_file(path, lake).days[0].landing == "unchanged"
    path.write_text(UDIFF_LINES.replace("200.05", "200.10"))
    with pytest.raises(DataError, match="another end-of-day table"):
        import_file(path, lake)
    assert import_file(path, lake, replace=True).days[0].landing == "replaced"
    with pytest.raises(DataError, match=r"held: 2025-01-06 to 2025-01-06, 1 days"):
        lake.eod("NIFTY", dt.date(2025, 1, 7))


def test_a_real_banknifty_day(lake, shared):
    report = import_file(shared / "data/banknifty_1m_20221230.parquet", lake, source="nse")
    assert (report.rows_read, report.rows_kept, report.duplicates) == (38_758, 38_710, 0)
    assert [(r.reason, r.count) for r in report.rejected] == [("bar outside the session", 48)]
    (day,) = lake.entries()
    assert (day.contracts, day.expiries, day.quality, day.simulated) == (
        131,
        (dt.date(2023, 1, 5),),
        "ohlcv",
        False,
    )
    loaded = lake.load(day)
    source = pl.read_parquet(shared / "data/banknifty_1m_20221230.parquet").filter(
        pl.col("option_type").is_in(["CE", "PE"]), pl.col("ts") < dt.datetime(2022, 12, 30, 15, 30)
    )
    assert loaded.valid.sum() == source.height
    assert int(loaded.close.sum()) == round(source["close"].sum() * 20)
    assert int(loaded.volume.sum()) == source["volume"].sum()
    assert (loaded.contracts, loaded.lot_size) == (129, 25)
    spot = lake.spot(day)
    assert spot.height == 375
    assert spot["open"][0] == 4_340_170
    assert lake.check() == []
    assert (
        import_file(shared / "data/banknifty_1m_20221230.parquet", lake, source="nse").days[0].landing
        == "unchanged"
    )


def test_real_closes_land_as_close_only_days(lake, shared):
    report = import_file(
        shared / "data/nifty_atm_closes_1m_2024-12_2025-06.parquet", lake, source="atm_closes"
    )
    assert report.rows_kept == report.rows_read == 84_046
    assert len(report.days) == 125
    assert {day.quality for day in lake.entries()} == {"close_only"}
    assert lake.load(lake.select("NIFTY", dt.date(2025, 4, 7), dt.date(2025, 4, 8))[0]).expiry == dt.date(
        2025, 4, 9
    )


def test_a_real_bhavcopy_lands_and_agrees_with_the_minute_closes(lake, shared):
    report = import_file(shared / "data/nse_fo_bhavcopy_2025-01_2026-01.parquet", lake)
    assert [(r.reason, r.count) for r in report.rejected] == [("unknown underlying", 11_268)]
    assert len(report.days) == 56
    table = lake.eod("BANKNIFTY", dt.date(2026, 1, 6))
    row = (
        table.filter(pl.col("strike") == 61_900, pl.col("option_type") == "CE")
        .sort("expiry")
        .row(0, named=True)
    )
    assert (row["close"], row["volume"], row["oi"], row["lot"]) == (9_170, 9_833 * 30, 69_270, 30)
