"""A session whose own bars were not the backtest's: shown by the backtest of those bars, and by nothing less."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
from live.exchange_for_session import OPEN_NS
from logged_exchange import LoggedExchange

from engine.backtest.run import load_day, play_day
from engine.desk.parity import compare_day, session_day
from engine.desk.parity_bars import seen_day
from engine.history.bars import BAR
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.live.day.recorder import Recorder
from engine.live.day.recording import Instrument, Recording
from engine.live.log import events as e
from engine.params import load_params

DATE = dt.date(2026, 9, 1)
MINUTE_NS = 60_000_000_000
PARAMS = load_params(
    "swing_break", strikes_each_side=5, slippage_rupees=0.25, min_vwap_premium_percent=-10, latency_ms=0
)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("parity-bars"))
    ensure_simulated(lake, "NIFTY", DATE, DATE, strikes_each_side=5)
    return load_day(lake, lake.select("NIFTY", DATE, DATE)[0], PARAMS)


def play(bars):
    return play_day(bars, PARAMS)


def first_wanted(day):
    """Place and minute of the swing low behind the first order wanted."""
    line = next(line for line in play(day).decisions if line["order"]["contract"] >= 0)
    return int(line["order"]["contract"]), int(line["order"]["swing_minute"])


def changed(day, contract, minute, **ticks):
    """The day with some numbers of one bar moved."""
    grids = {name: getattr(day, name).copy() for name in ticks}
    for name, by in ticks.items():
        grids[name][contract, minute] += by
    return replace(day, **grids)


def recorded(folder, day, instruments=None):
    """The day as a session's recording."""
    symbols = day.symbols if instruments is None else instruments
    listed = tuple(Instrument(symbol, symbol[-2:], DATE, int(symbol[-7:-2])) for symbol in symbols)
    with Recorder(folder, Recording("NIFTY", DATE, True, listed)) as recorder:
        for number, symbol in enumerate(symbols):
            place = day.symbols.index(symbol)
            minutes = np.flatnonzero(day.valid[place])
            rows = np.zeros(len(minutes), BAR)
            rows["instrument"], rows["minute"] = number, minutes
            for name in ("open", "high", "low", "close", "volume"):
                rows[name] = getattr(day, name)[place, minutes]
            recorder.bars(rows)
    return folder


def traded(bars):
    """What a session does that sees these bars."""
    return session_day(LoggedExchange(bars, PARAMS).play().events, DATE, open_ns=OPEN_NS)


@pytest.fixture(scope="module")
def late(day):
    """A session that took the low of the first swing for a tick less."""
    contract, minute = first_wanted(day)
    bars = changed(day, contract, minute, low=-1)
    return bars, traded(bars), day.symbols[contract]


def test_what_its_own_bars_brought_about_is_shown_by_their_backtest(day, late, tmp_path):
    bars, ours, symbol = late
    seen = seen_day(recorded(tmp_path / "r", bars), day, PARAMS, play, OPEN_NS)
    found = compare_day(ours, play(day), seen=seen)
    assert set(found.causes) == {"bars"}
    assert found.differences[0].detail.startswith(symbol)
    assert "low" in found.differences[0].detail
    assert found.is_accounted_for(exact=False)
    assert not found.is_accounted_for(exact=True)
    assert "unexplained" in compare_day(ours, play(day)).causes


def test_other_bars_that_do_not_bring_it_about_are_no_cause(day, late, tmp_path):
    _, ours, _ = late
    contract, minute = first_wanted(day)
    elsewhere = changed(day, contract, minute, volume=1)
    seen = seen_day(recorded(tmp_path / "r", elsewhere), day, PARAMS, play, OPEN_NS)
    found = compare_day(ours, play(day), seen=seen)
    assert found.differences[0].cause == "unexplained"
    assert "bars" not in found.causes


def test_bars_that_were_lost_in_an_outage_are_the_outages(day, late, tmp_path):
    bars, ours, _ = late
    began = OPEN_NS + first_wanted(day)[1] * MINUTE_NS
    links = [("away", began), ("up", began + MINUTE_NS // 2)]
    events = [
        *ours.events[:1],
        *(
            e.Event(2, at, e.LinkChanged(link="feed", name="practice", status=status, detail=""))
            for status, at in links
        ),
        *ours.events[1:],
    ]
    seen = seen_day(recorded(tmp_path / "r", bars), day, PARAMS, play, OPEN_NS)
    found = compare_day(replace(ours, events=tuple(events)), play(day), seen=seen)
    assert found.differences[0].cause == "outage"


def test_equal_bars_ask_for_no_second_backtest(day, tmp_path):
    assert seen_day(recorded(tmp_path / "r", day), day, PARAMS, play, OPEN_NS) is None


def test_a_contract_that_was_never_watched_is_no_difference(day, tmp_path):
    assert seen_day(recorded(tmp_path / "r", day, day.symbols[1:]), day, PARAMS, play, OPEN_NS) is None


def test_a_bar_that_the_session_never_had_is_told(day, tmp_path):
    contract, minute = first_wanted(day)
    gone = day.valid.copy()
    gone[contract, minute] = False
    grids = {
        name: np.where(gone, getattr(day, name), 0) for name in ("open", "high", "low", "close", "volume")
    }
    seen = seen_day(recorded(tmp_path / "r", replace(day, valid=gone, **grids)), day, PARAMS, play, OPEN_NS)
    assert seen is not None
    words = seen.apart(day.symbols[contract], "", OPEN_NS + (minute + 1) * MINUTE_NS)
    assert words is not None
    assert words[0] == minute
    assert words[1].endswith("the session has no bar")
    assert seen.apart(day.symbols[contract], "", OPEN_NS + minute * MINUTE_NS) is None
