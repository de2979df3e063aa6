"""The swing panel without a browser: controls re-run the strategy's own functions and the picture follows."""

import datetime as dt

import pytest

from engine.backtest.explain import explain_minute
from engine.backtest.run import load_day
from engine.backtest.trade_pictures import contract_swings
from engine.desk import plots
from engine.desk.explorer import SwingExplorer, busiest_contract, wanted_spans
from engine.history.lake import Lake
from engine.history.simulate import ensure_simulated
from engine.params import load_params
from engine.strategy.swing_break import trace

DATE = dt.date(2026, 10, 30)


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    return load_day(lake, ensure_simulated(lake, "NIFTY", DATE, DATE)[0], load_params())


@pytest.fixture
def explorer(day):
    return SwingExplorer(day, load_params())


def named(explorer, name):
    return next(trace for trace in explorer.figure.data if trace.name == name)


def test_it_starts_with_the_contract_wanted_most(explorer, day):
    assert explorer.contract.value == busiest_contract(day, load_params())


def test_picture_says_that_prices_are_simulated(explorer):
    assert any("SIMULATED PRICES" in note.text for note in explorer.figure.layout.annotations)


def test_table_follows_the_minute(explorer, day):
    before = explorer._table.value
    explorer.minute.value = 200
    assert explorer.explained.decided_at == explorer.minute.label
    assert explorer.explained.contracts.equals(explain_minute(day, explorer.params, 200).contracts)
    assert explorer._table.value != before


def test_line_stands_at_the_minute_of_the_slider(explorer):
    explorer.minute.value = 104
    assert [f"{moment:%H:%M}" for moment in explorer._picture._now.x] == ["11:00", "11:00"]


def test_lower_premium_lets_more_swing_lows_pass(explorer):
    name = "passes price range and premium"
    before = len(named(explorer, name).x)
    explorer.premium.value = -20
    assert len(named(explorer, name).x) > before


def test_variant_changes_the_swings(explorer):
    counts = set()
    for symbol in explorer.contract.options[:12]:
        explorer.contract.value = symbol
        for variant in ("ge2", "eq2"):
            explorer.variant.value = variant
            counts.add((variant, symbol, len(explorer._picture._marks[3].x)))
    assert len({(symbol, count) for _, symbol, count in counts}) > 12


def test_contract_without_swings_keeps_its_four_marks(day):
    swings = contract_swings(day, day.symbols[0], load_params())
    assert [len(mark.x) for mark in plots.swing_marks(swings.clear())] == [0, 0, 0, 0]


def test_controls_become_exact_parameters(explorer):
    explorer.premium.value = 6.25
    explorer.stop.value = (1.5, 12.75)
    assert (
        explorer.params.hash
        == load_params(min_vwap_premium_percent="6.25", min_stop_percent="1.5", max_stop_percent="12.75").hash
    )


def test_another_contract_brings_its_own_bars(explorer, day):
    explorer.contract.value = day.symbols[5]
    candles = explorer.figure.data[0]
    assert len(candles.x) == int(day.valid[5].sum())
    assert max(candles.high) == day.high[5].max() / 20
    assert day.symbols[5] in explorer.figure.layout.title.text


def test_shaded_minutes_are_those_of_the_trace(day):
    params = load_params()
    symbol = busiest_contract(day, params)
    rows = trace(day, params).filter(symbol=symbol)
    spans = wanted_spans(day, params, symbol)
    minutes = (spans["end"] - spans["start"]).dt.total_minutes().sum()
    assert minutes == rows.filter(rows["minute"] < day.minutes - 1).height
