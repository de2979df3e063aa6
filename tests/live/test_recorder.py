"""Ticks and bars come back as they were recorded; recording never stands in trading's way."""

import datetime as dt
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DataError
from engine.history.bars import BAR, TICK
from engine.history.lake import Lake
from engine.live.day import recorder as module
from engine.live.day.landing import land_recording
from engine.live.day.recorder import Recorder
from engine.live.day.recording import (
    Instrument,
    Recording,
    read_bars,
    read_recording,
    read_ticks,
    recording_folder,
)

DATE, EXPIRY = dt.date(2025, 9, 1), dt.date(2025, 9, 2)
INSTRUMENTS = (
    Instrument("NIFTY02SEP2524500CE", "CE", EXPIRY, 24500),
    Instrument("NIFTY02SEP2524500PE", "PE", EXPIRY, 24500),
    Instrument("NIFTY", "SPOT", None, None),
)
RECORDING = Recording("NIFTY", DATE, simulated=False, instruments=INSTRUMENTS)


def some_ticks(count, seed=0):
    draw = np.random.default_rng(seed)
    ticks = np.zeros(count, TICK)
    for name in TICK.names:
        ticks[name] = draw.integers(0, 3 if name == "instrument" else 10**6, count)
    return ticks


def some_bars(minutes):
    bars = np.zeros(3 * minutes, BAR)
    bars["minute"], bars["instrument"] = np.divmod(np.arange(3 * minutes), 3)
    for name in ("open", "high", "low", "close"):
        bars[name] = 2000 + bars["minute"]
    bars["volume"] = 65
    return bars


def test_what_was_recorded_comes_back_in_order(tmp_path):
    ticks, bars = some_ticks(10_000), some_bars(20)
    with Recorder(tmp_path, RECORDING, chunk_rows=1_000, chunk_s=60) as recorder:
        for part in np.array_split(ticks, 77):
            assert recorder.ticks(part)
        assert recorder.bars(bars[::-1])
    status = recorder.status()
    assert (status.ticks, status.bars, status.dropped, status.lost) == (10_000, 60, 0, 0)
    assert np.array_equal(read_ticks(tmp_path), ticks)
    assert np.array_equal(read_bars(tmp_path), bars)
    assert read_recording(tmp_path) == RECORDING
    assert len(list(tmp_path.glob("ticks-*.parquet"))) > 5


def test_a_restart_goes_on_and_a_bar_recorded_twice_counts_once(tmp_path):
    ticks, bars = some_ticks(300), some_bars(10)
    later = bars[-6:].copy()
    later["close"] += 1
    for number, (some, closed) in enumerate([(ticks[:100], bars), (ticks[100:], later)]):
        wider = (
            (*INSTRUMENTS, Instrument("NIFTY02SEP2524600CE", "CE", EXPIRY, 24600)) if number else INSTRUMENTS
        )
        with Recorder(tmp_path, Recording("NIFTY", DATE, simulated=False, instruments=wider)) as recorder:
            recorder.ticks(some)
            recorder.bars(closed)
    assert np.array_equal(read_ticks(tmp_path), ticks)
    assert np.array_equal(read_bars(tmp_path), np.concatenate([bars[:-6], later]))
    assert len(read_recording(tmp_path).instruments) == 4


@pytest.mark.parametrize(
    "other",
    [Recording("BANKNIFTY", DATE, simulated=False, instruments=INSTRUMENTS),
     Recording("NIFTY", DATE, simulated=True, instruments=INSTRUMENTS),
     Recording("NIFTY", DATE, simulated=False, instruments=INSTRUMENTS[::-1])],
)  # fmt: skip
def test_a_recording_of_something_else_is_not_continued(tmp_path, other):
    Recorder(tmp_path, RECORDING).close()
    with pytest.raises(DataError, match="does not continue"):
        Recorder(tmp_path, other)


DYING = """
import os, sys, time
sys.path[:0] = [sys.argv[2], sys.argv[3]]
import numpy as np
from test_recorder import RECORDING, Recorder, some_ticks
recorder = Recorder(sys.argv[1], RECORDING, chunk_rows=100, chunk_s=60)
for part in np.array_split(some_ticks(1_000), 95):  # parts of 10 or 11 rows
    recorder.ticks(part)
while recorder.status().waiting:
    time.sleep(0.01)
time.sleep(0.2)
os.kill(os.getpid(), 9)
"""


def test_a_crash_costs_at_most_the_open_chunk(tmp_path):
    here = Path(__file__).resolve().parent
    died = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path), str(here.parents[1]), str(here)], check=False, timeout=60
    )
    assert died.returncode == -9
    kept = read_ticks(tmp_path)
    assert 1_000 - 110 <= kept.shape[0] < 1_000
    assert np.array_equal(kept, some_ticks(1_000)[: kept.shape[0]])


def test_a_small_chunk_is_written_when_its_time_is_over(tmp_path):
    with Recorder(tmp_path, RECORDING, chunk_s=0.05) as recorder:
        recorder.ticks(some_ticks(3))
        deadline = time.monotonic() + 5
        while not recorder.status().ticks and time.monotonic() < deadline:
            time.sleep(0.01)
        assert recorder.status().ticks == 3


def test_a_slow_disk_drops_and_counts_but_never_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "write_atomic", lambda *_: time.sleep(0.4))
    folder = tmp_path / "r"
    recorder = Recorder(folder, RECORDING, chunk_rows=1, room=4)
    began = time.monotonic()
    taken = [recorder.ticks(some_ticks(10)) for _ in range(50)]
    assert time.monotonic() - began < 5
    assert recorder.status().dropped == 10 * taken.count(False) > 0
    recorder.close()
    assert recorder.status().ticks == 10 * taken.count(True)
    assert not recorder.ticks(some_ticks(1))


def test_a_full_disk_costs_the_recording_only(tmp_path, monkeypatch):
    recorder = Recorder(tmp_path, RECORDING)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomic", refuse)
    recorder.ticks(some_ticks(10))
    status = recorder.close()
    assert (status.ticks, status.lost) == (0, 10)
    assert "No space left" in status.error


def test_rows_of_another_kind_are_refused(tmp_path):
    with Recorder(tmp_path, RECORDING) as recorder, pytest.raises(DataError, match="TICK"):
        recorder.ticks(np.zeros(1, BAR))


def test_a_finished_recording_becomes_a_day_of_the_lake(tmp_path):
    folder = recording_folder(tmp_path, "NIFTY", DATE)
    with Recorder(folder, RECORDING) as recorder:
        recorder.bars(some_bars(375))
    lake = Lake(tmp_path)
    day = land_recording(folder, lake)
    assert (day.source, day.simulated) == ("recorded", False)
    loaded = lake.load(day)
    assert loaded.symbols == tuple(each.symbol for each in INSTRUMENTS[:2])
    assert not loaded.simulated
    assert np.array_equal(loaded.close[0], 2000 + np.arange(375))
    assert lake.spot(day)["close"][3] == 2003 * 5
    assert land_recording(folder, lake).content == day.content


def test_what_was_played_or_holds_no_bar_does_not_land(tmp_path):
    played = tmp_path / "played"
    with Recorder(played, replace(RECORDING, simulated=True)) as recorder:
        recorder.bars(some_bars(375))
    Recorder(tmp_path / "empty", RECORDING).close()
    for folder, why in ((played, "simulated or replayed"), (tmp_path / "empty", "holds no bar")):
        with pytest.raises(DataError, match=why):
            land_recording(folder, Lake(tmp_path))
    assert Lake(tmp_path).entries() == []


def test_an_empty_folder_is_no_recording(tmp_path):
    with pytest.raises(DataError, match="holds no recording"):
        read_ticks(tmp_path)
    Recorder(tmp_path / "r", RECORDING).close()
    assert read_ticks(tmp_path / "r").shape == (0,)
    assert read_bars(tmp_path / "r").shape == (0,)
