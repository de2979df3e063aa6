"""The lake: what lands can be loaded, labels are never lost, and a day is whole or absent."""

import json
import multiprocessing
import os
import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.errors import DataError, MarketFactError
from engine.history import writing
from engine.history.dayfile import prepare_day
from engine.history.lake import Lake
from engine.history.manifest import LakeDay

MONDAY = date(2025, 1, 6)
TUESDAY = date(2025, 1, 7)
EXPIRY = date(2025, 1, 9)
NEXT_EXPIRY = date(2025, 1, 16)


def bars(
    strikes=(23500, 23550), minutes=range(375), expiry=EXPIRY, base=2000, types=("CE", "PE")
) -> pl.DataFrame:
    rows = [
        {
            "symbol": f"NIFTY{expiry:%d%b%y}{strike}{kind}".upper(),
            "expiry": expiry,
            "strike": strike,
            "option_type": kind,
            "minute": minute,
            "open": base + minute + number,
            "high": base + minute + number + 3,
            "low": base + minute + number - 2,
            "close": base + minute + number + 1,
            "volume": 75 * (minute % 5),
        }
        for number, (strike, kind) in enumerate((s, k) for s in strikes for k in types)
        for minute in minutes
    ]
    return pl.DataFrame(rows)


def spot(minutes=range(375), base=2_357_010) -> pl.DataFrame:
    paise = [base + 7 * minute for minute in minutes]
    return pl.DataFrame(
        {
            "symbol": "NIFTY",
            "expiry": None,
            "strike": None,
            "option_type": "SPOT",
            "minute": list(minutes),
            "open": paise,
            "high": paise,
            "low": paise,
            "close": paise,
            "volume": 0,
        },
        schema=bars().schema,
    )


def write(lake: Lake, frame=None, day=MONDAY, source="nse", *, simulated=False, **more) -> LakeDay:
    frame = bars() if frame is None else frame
    return lake.write_day(
        frame, underlying="NIFTY", date=day, source=source, simulated=simulated, importer="test", **more
    )


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path)


def test_a_day_comes_back_as_it_went_in(lake):
    day = write(lake)
    loaded = lake.load(day)
    assert loaded.symbols == (
        "NIFTY09JAN2523500CE", "NIFTY09JAN2523550CE", "NIFTY09JAN2523500PE", "NIFTY09JAN2523550PE",
    )  # fmt: skip
    assert loaded.strike.tolist() == [23500, 23550, 23500, 23550]
    assert loaded.is_call.tolist() == [True, True, False, False]
    assert loaded.open[1, 10] == 2000 + 10 + 2
    assert loaded.close[2, 0] == 2000 + 1 + 1
    assert loaded.volume[0, 9] == 300
    assert loaded.valid.all()
    assert (loaded.lot_size, loaded.expiry, loaded.source, loaded.simulated) == (75, EXPIRY, "nse", False)


def test_missing_minutes_are_invalid_and_zero(lake):
    day = write(lake, bars(minutes=[0, 3, 374]))
    loaded = lake.load(day)
    assert loaded.valid.sum(axis=1).tolist() == [3] * 4
    assert np.flatnonzero(loaded.valid[0]).tolist() == [0, 3, 374]
    assert (loaded.high[~loaded.valid] == 0).all()
    assert loaded.low[3, 374] == 2000 + 374 + 3 - 2
    assert (day.gaps.missing, day.gaps.worst_missing) == (4 * 372, 372)


@pytest.mark.parametrize("minutes", [range(375), range(0, 375, 7)])
def test_the_fast_path_agrees_with_the_plain_constructor(lake, minutes):
    frame = pl.concat([bars(minutes=minutes), bars(strikes=(23600,), minutes=range(5, 80), base=700)])
    loaded = lake.load(write(lake, frame.sample(fraction=1, shuffle=True, seed=3)))
    plain = type(loaded).from_frame(frame, underlying="NIFTY", date=MONDAY, expiry=EXPIRY, source="nse")
    for name in ("open", "high", "low", "close", "volume", "valid", "strike", "is_call"):
        ours, theirs = getattr(loaded, name), getattr(plain, name)
        assert ours.dtype == theirs.dtype
        assert ours.flags.writeable
        np.testing.assert_array_equal(ours, theirs, err_msg=name)
    assert loaded.symbols == plain.symbols


def test_strikes_and_expiry_choose_the_contracts(lake):
    both = pl.concat([bars(), bars(expiry=NEXT_EXPIRY, base=5000, minutes=range(200)), spot(base=471_402)])
    day = write(lake, both)
    assert day.expiries == (EXPIRY, NEXT_EXPIRY)
    assert lake.load(day).expiry == EXPIRY
    later = lake.load(day, expiry=NEXT_EXPIRY, strikes=[23550])
    assert later.strike.tolist() == [23550, 23550]
    assert later.open[0, 0] == 5002
    assert later.valid.sum() == 400
    full = lake.load(day, strikes=(k for k in (23500,)))
    assert full.open[:, 0].tolist() == [2000, 2001]
    with pytest.raises(DataError, match=r"2025-01-23.*it has 2025-01-09, 2025-01-16"):
        lake.load(day, expiry=date(2025, 1, 23))
    with pytest.raises(DataError, match="none of the wanted strikes"):
        lake.load(day, strikes=[1])


def test_strikes_can_be_chosen_by_the_opening_of_the_spot(lake):
    options = bars().with_columns(pl.col("open", "high", "low", "close") * 5)
    day = write(lake, pl.concat([options, spot(base=2_352_345)]), prices="paise")
    asked = []

    def nearest(opening, listed):
        asked.append((opening, listed))
        return [min(listed, key=lambda strike: abs(strike - opening / 100))]

    assert set(lake.load(day, strikes=nearest).strike.tolist()) == {23500}
    assert asked == [(2_352_345, (23500, 23550))]
    without_spot = write(lake, day=TUESDAY)
    assert lake.load(without_spot, strikes=lambda opening, _: None if opening is None else []).contracts == 4


def test_spot_keeps_paise_that_are_no_tick(lake):
    options = bars().with_columns(pl.col("open", "high", "low", "close") * 5)
    day = write(lake, pl.concat([options, spot(base=2_357_013)]), prices="paise")
    found = lake.spot(day)
    assert found["close"].to_list()[:2] == [2_357_013, 2_357_020]
    assert found.schema["close"] == pl.Int32
    assert lake.load(day).open[0, 0] == 2000
    assert lake.spot(write(lake, day=TUESDAY)) is None


def test_close_only_day_says_so_and_has_flat_bars(lake):
    frame = bars(minutes=range(5, 60)).with_columns(
        *(pl.lit(None, pl.Int32).alias(n) for n in ("open", "high", "low", "volume"))
    )
    day = write(lake, frame, quality="close_only")
    loaded = lake.load(day)
    assert loaded.quality == day.quality == "close_only"
    np.testing.assert_array_equal(loaded.high, loaded.close)
    np.testing.assert_array_equal(loaded.open, loaded.close)
    assert loaded.volume.sum() == 0
    assert lake.frame(day)["high"].null_count() == frame.height


def test_a_chain_shows_the_last_bar_up_to_the_minute(lake):
    day = write(lake, pl.concat([bars(minutes=[0, 1, 9]), bars(strikes=(23600,), minutes=[4])]))
    chain = lake.chain(day, 5)
    assert chain["strike"].to_list() == [23500, 23500, 23550, 23550, 23600, 23600]
    assert chain["minute"].to_list() == [1, 1, 1, 1, 4, 4]
    assert chain["close"][0] == 2000 + 1 + 1
    assert lake.chain(day, 5, expiry=NEXT_EXPIRY).is_empty()


def test_bid_and_ask_survive(lake):
    frame = bars().with_columns(bid=pl.col("close") - 2, ask=pl.col("close") + 2, oi=pl.lit(7500))
    chain = lake.chain(write(lake, frame), 0)
    assert (chain["ask"] - chain["bid"]).to_list() == [4] * 4
    assert chain["oi"][0] == 7500


def test_frame_for_people_is_in_rupees_and_ist(lake):
    row = lake.frame(write(lake)).row(0, named=True)
    assert row["open"] == 100.0
    assert row["high"] == 100.15
    assert row["ts"].isoformat() == "2025-01-06T09:15:00+05:30"
    assert row["underlying"] == "NIFTY"


def test_same_bars_in_any_order_are_the_same_day(lake, tmp_path):
    frame = bars()
    first = write(lake, frame)
    other = write(Lake(tmp_path / "other"), frame.sample(fraction=1, shuffle=True, seed=1))
    assert (first.sha256, first.content) == (other.sha256, other.content)


def test_landing_the_same_bars_again_changes_nothing(lake):
    before = write(lake)
    stamp = before.path.stat().st_mtime_ns
    assert write(lake) == before
    assert before.path.stat().st_mtime_ns == stamp


def test_other_bars_need_replace(lake):
    before = write(lake)
    with pytest.raises(DataError, match=r"held with other bars.*replace=True / --replace"):
        write(lake, bars(base=3000))
    assert lake.load(before).open[0, 0] == 2000
    after = write(lake, bars(base=3000), replace=True)
    assert lake.load(after).open[0, 0] == 3000
    with pytest.raises(DataError, match="disagree"):
        lake.load(before)
    assert lake.check() == []


def test_simulated_and_its_source_name_go_together(lake):
    with pytest.raises(DataError, match="kept for simulated"):
        write(lake, source="simulated")
    with pytest.raises(DataError, match="kept for simulated"):
        write(lake, source="nse", simulated=True)
    day = write(lake, source="simulated", simulated=True)
    assert lake.load(day).simulated
    assert "simulated" in str(day)


def test_a_simulated_day_cannot_be_relabelled(lake):
    day = write(lake, source="simulated", simulated=True)
    manifest = lake.root / "lake/manifest/simulated-NIFTY-2025-01-06.json"
    fields = json.loads(manifest.read_text())
    fields["simulated"] = False
    manifest.write_text(json.dumps(fields))
    with pytest.raises(DataError, match="simulated True"):
        lake.load(lake.entries()[0])
    assert any("label" in problem.what for problem in lake.check())
    fields["source"] = "nse"
    moved = lake.root / "lake/source=nse/underlying=NIFTY"
    moved.mkdir(parents=True)
    day.path.rename(moved / day.path.name)
    manifest.unlink()
    manifest.with_name("nse-NIFTY-2025-01-06.json").write_text(json.dumps(fields))
    with pytest.raises(DataError, match="disagree"):
        lake.load(lake.entries()[0])


def test_select_prefers_real_days_and_never_mixes(lake):
    write(lake, source="simulated", simulated=True)
    write(lake, day=TUESDAY, source="simulated", simulated=True)
    assert [d.simulated for d in lake.select("NIFTY", MONDAY, TUESDAY)] == [True, True]
    write(lake, day=TUESDAY)
    assert [(d.date, d.source) for d in lake.select("NIFTY", MONDAY, TUESDAY)] == [(TUESDAY, "nse")]
    assert len(lake.select("NIFTY", MONDAY, TUESDAY, source="simulated")) == 2


def test_two_real_sources_for_a_date_are_refused(lake):
    write(lake)
    write(lake, bars(base=2001), source="vendor")
    with pytest.raises(DataError, match=r"'nse' and 'vendor'.*source=\.\.\. / --source"):
        lake.select("NIFTY", MONDAY, TUESDAY)
    assert lake.select("NIFTY", MONDAY, MONDAY, "vendor")[0].source == "vendor"


def test_an_empty_range_names_what_is_held_and_the_remedy(lake):
    with pytest.raises(DataError, match=r"holds nothing.*workbench data import .*workbench data simulate"):
        lake.select("NIFTY", MONDAY, TUESDAY)
    write(lake)
    with pytest.raises(DataError, match="NIFTY from nse: 1 days 2025-01-06 to 2025-01-06"):
        lake.select("BANKNIFTY", MONDAY, TUESDAY)


def test_a_data_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data folder .*typo does not exist.*--data.*data import"):
        Lake(tmp_path / "typo").select("NIFTY", MONDAY, TUESDAY)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"high": 1}, "contradict"),
        ({"low": 0}, "not positive"),
        ({"minute": 375}, "outside the session"),
        ({"volume": -1}, "negative volume"),
        ({"close": None}, "null"),
        ({"open": None}, "no open, high, low or volume"),
        ({"expiry": date(2025, 1, 2)}, "before the day"),
        ({"option_type": "XX"}, "option type other than"),
        ({"strike": None}, "without strike"),
    ],
)
def test_impossible_bars_do_not_land(lake, change, words):
    frame = bars()
    row = pl.arange(0, pl.len()) == 5
    frame = frame.with_columns(
        pl.when(row).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in change.items()
    )
    with pytest.raises(DataError, match=words):
        write(lake, frame)
    assert lake.entries() == []


def test_doubled_minutes_and_confused_symbols_do_not_land(lake):
    with pytest.raises(DataError, match="twice"):
        write(lake, pl.concat([bars(), bars().head(1)]))
    with pytest.raises(DataError, match="means two contracts"):
        write(lake, bars(minutes=[0]).with_columns(symbol=pl.lit("X"), minute=pl.int_range(pl.len())))
    with pytest.raises(DataError, match="shares its contract"):
        write(lake, pl.concat([bars(), bars().with_columns(symbol=pl.col("symbol") + "X")]))
    with pytest.raises(DataError, match=r"float|Float"):
        write(lake, bars().with_columns(pl.col("open") / 20))
    with pytest.raises(DataError, match="lacks column close"):
        write(lake, bars().drop("close"))
    with pytest.raises(MarketFactError, match="no NIFTY expiry"):
        write(lake, bars(expiry=date(2025, 1, 10)))
    with pytest.raises(MarketFactError, match="does not trade"):
        write(lake, day=date(2025, 1, 5))


def test_check_finds_changed_missing_and_orphaned_bars(lake):
    changed = write(lake)
    content = bytearray(changed.path.read_bytes())
    content[len(content) // 2] ^= 1
    changed.path.write_bytes(content)
    gone = write(lake, day=TUESDAY)
    gone.path.unlink()
    orphan = write(lake, day=date(2025, 1, 8))
    (lake.root / "lake/manifest/nse-NIFTY-2025-01-08.json").unlink()
    found = {problem.path: problem.what for problem in lake.check()}
    assert "hash mismatch" in found[changed.path]
    assert "without its bars" in found[gone.path]
    assert "without a manifest" in found[orphan.path]
    with pytest.raises(DataError, match="missing"):
        lake.load(gone)
    assert write(lake, day=TUESDAY).sha256 == gone.sha256
    assert lake.load(gone).valid.all()


def crash_while_replacing(lake, monkeypatch, renames):
    """Land other bars for the day that is held, and die after so many files have got their names."""
    done = 0
    real = Path.replace

    def crash_after(self: Path, target: Path) -> Path:
        nonlocal done
        if done == renames:
            raise KeyboardInterrupt
        done += 1
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash_after)
        with pytest.raises(KeyboardInterrupt):
            write(lake, bars(base=3000), replace=True)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_crash_at_any_rename_leaves_the_old_day_or_a_reported_one(lake, monkeypatch, renames):
    old = write(lake)
    crash_while_replacing(lake, monkeypatch, renames)
    if renames < 2:
        assert lake.load(old).open[0, 0] == 2000
    else:
        with pytest.raises(DataError, match="disagree"):
            lake.load(old)
    assert lake.check()
    again = write(lake, bars(base=3000), replace=True)
    assert lake.load(again).open[0, 0] == 3000
    assert lake.check() == []


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_the_next_import_clears_up_whichever_bars_it_brings(lake, monkeypatch, renames):
    write(lake)
    crash_while_replacing(lake, monkeypatch, renames)
    landed = 3000 if renames == 2 else 2000
    day = write(lake, bars(base=landed))
    assert lake.load(day).open[0, 0] == landed
    assert lake.check() == []


def test_a_first_landing_cut_between_bars_and_manifest_is_finished_by_the_next(lake, monkeypatch):
    real = Path.replace

    def crash_at_manifest(self: Path, target: Path) -> Path:
        if self.name.endswith(".pending"):
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", crash_at_manifest)
        with pytest.raises(KeyboardInterrupt):
            write(lake)
    assert lake.entries() == []
    assert {"an import was cut short here", "bars without a manifest"} == {p.what for p in lake.check()}
    write(lake)
    assert lake.check() == []
    assert len(lake.entries()) == 1


def _write_in_process(root: Path, base: int, start) -> None:
    start.wait()
    write(Lake(root), bars(base=base), replace=True)


def test_two_writers_at_once_leave_one_whole_day(lake):
    context = multiprocessing.get_context("spawn")
    start = context.Event()
    writers = [
        context.Process(target=_write_in_process, args=(lake.root, base, start))
        for base in (3000, 4000, 3000)
    ]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    (day,) = lake.entries()
    assert lake.load(day).open[0, 0] in (3000, 4000)
    assert lake.check() == []


def test_a_writer_that_does_not_end_is_named(lake, monkeypatch):
    day = write(lake)
    monkeypatch.setattr(writing, "LOCK_PATIENCE_S", 0.05)
    with writing.one_writer(day.path.parent), pytest.raises(DataError, match="another process"):
        write(lake)


def test_a_foreign_file_is_no_day(lake):
    day = write(lake)
    bars().write_parquet(day.path)
    with pytest.raises(DataError, match="no day of the lake"):
        lake.load(day)
    day.path.write_bytes(b"nonsense")
    with pytest.raises(DataError, match="not readable"):
        lake.load(day)


def test_a_muhurat_day_has_sixty_minutes(lake):
    muhurat = date(2024, 11, 1)
    expiry = date(2024, 11, 7)
    day = write(lake, bars(minutes=range(60), expiry=expiry), day=muhurat)
    assert lake.load(day).open.shape == (4, 60)
    with pytest.raises(DataError, match="session of 60"):
        write(lake, bars(minutes=range(61), expiry=expiry), day=muhurat, replace=True)


def test_listing_a_year_opens_no_bars_and_is_quick(lake):
    prepared = prepare_day(bars(), underlying="NIFTY", date=MONDAY, source="nse", simulated=False)
    day, _ = lake.land(prepared, importer="test")
    folder = lake.root / "lake/manifest"
    text = (folder / "nse-NIFTY-2025-01-06.json").read_text()
    assert len(text) < 1000
    for number in range(250):
        copied = date.fromordinal(MONDAY.toordinal() + number)
        (folder / f"nse-NIFTY-{copied}.json").write_text(text.replace("2025-01-06", str(copied)))
    day.path.unlink()
    fastest = min(_timed(lake) for _ in range(5))
    assert fastest < 0.05 * float(os.environ.get("SLOW_MACHINE", "1"))


def _timed(lake: Lake) -> float:
    begin = time.perf_counter()
    assert len(lake.entries("NIFTY", MONDAY)) == 250
    return time.perf_counter() - begin


def test_many_days_keep_their_order(lake):
    days = [write(lake, bars(base=2000 + n), day=date(2025, 1, 6 + n)) for n in range(4)]
    assert [bars.open[0, 0] for bars in lake.load_many(reversed(days))] == [2003, 2002, 2001, 2000]
