"""A short day through the real processes: practice exchange, official client, feed, runner, supervisor, watchdog."""

import datetime as dt
import json
import signal
import subprocess
import sys
import time

import pytest

from engine.cli.rehearsal import rehearse_day
from engine.errors import WorkbenchError
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.params import load_params

MUHURAT = dt.date(2025, 10, 21)  # one hour
CHANGES = {
    "min_vwap_premium_percent": "-10", "strikes_each_side": "5", "forced_exit_time": "14:40", "entry_end_time": "14:35",
}  # fmt: skip
NAMES = {
    "trades", "trade_hash", "backtest_trade_hash", "decisions", "decisions_equal", "differences", "fills", "latency_ms",
}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    made = Lake(tmp_path_factory.mktemp("rehearsed"))
    ensure_simulated(made, "NIFTY", MUHURAT, MUHURAT, strikes_each_side=5)
    return made


def rehearse(lake, *words):
    settings = [word for name, value in CHANGES.items() for word in ("--set", f"{name}={value}")]
    command = [
        sys.executable, "-m", "engine.cli", "rehearse", "--underlying", "NIFTY", "--date", str(MUHURAT),
        "--data", str(lake.root), *settings, *words,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes_of(lake):
    listed = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(lake.root) in line]


def test_a_day_through_the_real_processes_equals_its_backtest(lake):
    started = rehearse(lake, "--speed", "max", "--json")
    out, err = started.communicate(timeout=240)
    assert started.returncode == 0, (out, err)
    told = json.loads(out)
    assert told.keys() >= NAMES
    assert told["differences"] == []
    assert told["decisions_equal"] is True
    assert told["trade_hash"] == told["backtest_trade_hash"]
    assert told["trades"] >= 2
    assert told["fills"] == 2 * told["trades"]
    assert told["flat"] is True
    assert told["latency_ms"]["p50"] > 0
    assert processes_of(lake) == []
    assert list((lake.root / "rehearsals").iterdir()) == []


def test_a_rehearsal_broken_off_ends_its_processes_and_says_one_line(lake):
    started = rehearse(lake, "--speed", "60")  # a minute of it is left when it is broken off
    until = time.monotonic() + 120
    while len(processes_of(lake)) < 4 and time.monotonic() < until:  # itself, the exchange, supervisor, more
        time.sleep(0.1)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130
    assert out == ""
    assert err.strip() == "rehearsal broken off; its processes are ended"
    assert processes_of(lake) == []


@pytest.mark.parametrize(
    "words",
    [
        {"speed": "quick"}, {"speed": "0"}, {"faults": ["bad_luck:p=1"]}, {"date": dt.date(2026, 9, 5)},
        {"faults": ["mute_socket:minutes=3-5"]}, {"faults": ["outage:minutes=3-5"]},
    ],
)  # fmt: skip
def test_wrong_words_are_one_line_errors_before_anything_starts(lake, words):
    told = {"date": MUHURAT, **words}
    with pytest.raises(WorkbenchError) as caught:
        rehearse_day(lake, load_params("swing_break"), **told)
    assert "\n" not in str(caught.value)


def test_what_late_ticks_changed_is_shown_by_the_sessions_own_bars(lake):
    started = rehearse(lake, "--fault", "late_ticks:p=0.3", "--json")
    out, err = started.communicate(timeout=240)
    assert started.returncode == 0, (out, err)
    told = json.loads(out)
    assert told["faults"]["late_ticks"] > 0
    assert "bars" in told["causes"]
    assert told["flat"] is True
