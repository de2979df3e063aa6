"""`workbench data land`: what a session recorded on live prices can be backtested like any other day."""

import datetime as dt
import json
import subprocess
import sys

import numpy as np
import pytest
from simulated_day import DATE, simulated_lake

import engine
from engine.cli.landing import recorded, run_land
from engine.errors import DataError
from engine.history.bars import BAR
from engine.history.lake import Lake
from engine.live.control.processes import RUNNER
from engine.live.day.recorder import Recorder
from engine.live.day.recording import Instrument, Recording, recording_folder
from engine.live.spec import load_session_params, make_spec
from engine.params import load_params

PARAMS = load_params("swing_break", min_vwap_premium_percent=-10, strikes_each_side=None)


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    """A lake with a day, standing in for the market that a session saw."""
    return simulated_lake(tmp_path_factory.mktemp("market"))


class Account:
    """The folder of a paper account whose sessions recorded days."""

    def __init__(self, folder, bars):
        self.folder, self.bars = folder, bars
        spec = make_spec(load_session_params("paper"), date=DATE, data_folder=folder)
        self.file = spec.write()
        self.places = spec.places

    def record(self, date=DATE, underlying="NIFTY", *, minutes=None, simulated=False, more=0):
        bars = self.bars
        listed = tuple(
            Instrument(symbol, "CE" if call else "PE", bars.expiry, int(strike))
            for symbol, call, strike in zip(bars.symbols, bars.is_call, bars.strike, strict=True)
        )
        where = np.argwhere(bars.valid[:, :minutes])
        rows = np.zeros(len(where), BAR)
        rows["instrument"], rows["minute"] = where.T
        for name in ("open", "high", "low", "close", "volume"):
            rows[name] = getattr(bars, name)[tuple(where.T)]
        rows["volume"] += more
        folder = recording_folder(self.places.folder, underlying, date)
        with Recorder(folder, Recording(underlying, date, simulated, listed)) as recorder:
            recorder.bars(rows)

    def land(self, *words):
        command = [sys.executable, "-m", "engine.cli", "data", "land", "--data", str(self.folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def refused(self, *words):
        done = self.land(*words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        return done.stderr


@pytest.fixture
def account(traded, tmp_path):
    return Account(tmp_path, traded.load(traded.entries()[0]))


def test_a_recorded_day_is_landed_and_backtests_as_the_market_was(account, traded):
    account.record()
    done = account.land("--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["account"], told["underlying"], told["date"], told["source"]) == (
        "paper",
        "NIFTY",
        str(DATE),
        "recorded",
    )
    assert told["minutes"] == told["session_minutes"] == account.bars.valid.shape[1]
    assert told["rows"] == account.bars.valid.sum()
    lake = Lake(account.folder)
    (held,) = lake.entries()
    assert not held.simulated
    ours = engine.backtest(PARAMS, lake, DATE, DATE)
    theirs = engine.backtest(PARAMS, traded, DATE, DATE)
    assert ours.trades.height > 3
    assert ours.trade_hash == theirs.trade_hash


def test_the_same_again_changes_nothing_and_other_bars_need_a_word(account):
    account.record(minutes=100)
    done = account.land()
    assert done.returncode == 0, done.stderr
    assert "bars of 100 of the session's 385 minutes" in done.stdout
    assert account.land().returncode == 0
    before = Lake(account.folder).entries()
    account.record(more=65)
    assert "is held with other bars" in account.refused()
    assert Lake(account.folder).entries() == before
    assert account.land("--replace").returncode == 0
    assert Lake(account.folder).entries()[0].rows > before[0].rows


def test_the_last_day_is_landed_unless_another_is_named(account):
    earlier = dt.date(2026, 8, 31)
    account.record()
    account.record(earlier)
    assert recorded(account.places, None, None).parent.name == str(DATE)
    assert account.land("--date", str(earlier)).returncode == 0
    assert [day.date for day in Lake(account.folder).entries()] == [earlier]


def test_what_is_not_there_is_said_with_what_is(account):
    assert "recorded no day" in account.refused()
    account.record()
    assert "recorded no day of 2026-08-31 under" in account.refused("--date", "2026-08-31")
    assert "recorded no BANKNIFTY" in account.refused("--underlying", "BANKNIFTY", "--account", "paper")
    assert "it recorded 2026-09-01" in account.refused("--underlying", "BANKNIFTY")
    assert "account AB1234 has no session" in account.refused("--account", "AB1234")


def test_of_two_underlyings_of_a_day_one_is_named(account):
    account.record()
    account.record(underlying="BANKNIFTY")
    with pytest.raises(DataError, match="BANKNIFTY, NIFTY on 2026-09-01; say which with --underlying"):
        recorded(account.places, None, None)
    assert recorded(account.places, None, "NIFTY").name == "NIFTY"


def test_played_prices_never_become_a_day_of_the_market(account):
    account.record(simulated=True)
    assert "simulated or replayed prices" in account.refused()
    assert Lake(account.folder).entries() == []


def test_a_day_that_is_still_recorded_waits(account, monkeypatch):
    account.record()
    account.record(dt.date(2026, 8, 31))
    monkeypatch.setattr("engine.cli.landing.processes", lambda _: {RUNNER: object()})
    words = {
        "underlying": None,
        "source": "recorded",
        "replace": False,
        "data_folder": account.folder,
        "as_json": True,
    }
    with pytest.raises(DataError, match="still runs"):
        run_land("paper", None, **words)
    assert Lake(account.folder).entries() == []
    run_land("paper", "2026-08-31", **words)
    assert len(Lake(account.folder).entries()) == 1
