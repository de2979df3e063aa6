"""Figures from hand-made frames: what is drawn, what is left out, and the label on simulated prices."""

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from engine.desk import plots

IST = ZoneInfo("Asia/Kolkata")
DAY = dt.date(2026, 10, 1)


def at(hour, minute, second=0, date=DAY):
    return dt.datetime(date.year, date.month, date.day, hour, minute, second, tzinfo=IST)


@pytest.fixture
def daily():
    return pl.DataFrame(
        {
            "date": [DAY, dt.date(2026, 10, 5), dt.date(2026, 10, 6)],
            "trades": [3, 4, 1],
            "r": [2.0, -5.1, 5.2],
            "net_r": [1.8, -5.4, 5.1],
            "total_r": [2.0, -3.1, 2.1],
            "total_net_r": [1.8, -3.6, 1.5],
            "drawdown_r": [0.0, -5.1, 0.0],
            "latch": ["", "day_stop", "day_target"],
        }
    )


@pytest.fixture
def trades():
    moments = [at(9, 40), at(9, 55), at(11, 5)]
    return pl.DataFrame(
        {
            "date": [DAY] * 3,
            "expiry": [dt.date(2026, 10, 6)] * 3,
            "strike": [25000, 25050, 25100],
            "option_type": ["CE", "PE", "CE"],
            "entry_time": moments,
            "entry_price": [Decimal("120.00"), Decimal("130.00"), Decimal("250.00")],
            "stop": [Decimal("126.00"), Decimal("134.00"), Decimal("260.00")],
            "exit_reason": ["stop", "time", "no_price"],
            "r": [-1.0, 2.0, None],
            "own_r": [-1.1, 2.2, None],
        },
        schema_overrides={"entry_time": pl.Datetime("ms", "Asia/Kolkata")},
    )


@pytest.fixture
def levels():
    return pl.DataFrame(
        {
            "rule": [
                "contract_days",
                "contract_days_examined",
                "swing_lows",
                "price_range",
                "filter:early",
                "filled",
            ],
            "reached": [84, 30, 1000, 400, 90, 7],
            "removed": [None, 54, None, 600, 310, 83],
        }
    )


@pytest.fixture
def bars():
    low = np.array([100.0, 99.0, 96.0, 98.0, 99.5])
    return pl.DataFrame(
        {
            "ts": [at(9, 15 + k) for k in range(5)],
            "open": low + 1,
            "high": low + 3,
            "low": low,
            "close": low + 2,
            "vwap": low + 1.5,
            "volume": [100, 0, 300, 100, 100],
        },
        schema_overrides={"ts": pl.Datetime("ms", "Asia/Kolkata")},
    )


@pytest.fixture
def swings():
    return pl.DataFrame(
        {
            "kind": ["low"],
            "ts": [at(9, 17)],
            "price": [96.0],
            "confirmed_at": [at(9, 20)],
            "update": [False],
        },
        schema_overrides={name: pl.Datetime("ms", "Asia/Kolkata") for name in ("ts", "confirmed_at")},
    )


@pytest.fixture
def trade_row():
    return {
        "symbol": "NIFTY06OCT2625000CE",
        "date": DAY,
        "swing_time": at(9, 16),
        "confirmed_at": at(9, 17),
        "swing_low": Decimal("96.00"),
        "trigger": Decimal("95.95"),
        "limit": Decimal("92.95"),
        "entry_time": at(9, 17, 20),
        "entry_price": Decimal("95.85"),
        "planned_stop": Decimal("103.00"),
        "stop": Decimal("104.00"),
        "exit_time": at(9, 18, 40),
        "exit_price": Decimal("104.10"),
        "exit_reason": "stop",
        "lots": 3,
        "pnl": Decimal("-1608.75"),
        "r": -0.2475,
    }


def chain_rows():
    return pl.DataFrame(
        {
            "strike": [25000, 25000, 25050, 25050],
            "option_type": ["CE", "PE", "CE", "PE"],
            "close": [2400, 2000, 2000, 2420],
            "bid": [2398, None, 1998, 2418],
            "ask": [2402, None, 2002, 2422],
            "volume": [650, 0, 1300, 650],
            "oi": [None, None, None, None],
        },
        schema_overrides={"oi": pl.Int64},
    )


def coverage_rows(*, simulated):
    return pl.DataFrame(
        {
            "date": [DAY, DAY, dt.date(2026, 10, 6)],
            "source": ["simulated", "nse", "nse"],
            "simulated": [True, simulated, simulated],
            "quality": ["ohlcv"] * 3,
            "missing": [0, 0, 500],
        }
    )


def texts(figure):
    return [note.text for note in figure.layout.annotations]


def all_figures(daily, trades, levels, bars, swings, trade_row, simulated):
    charges = {"stt": Decimal("120.00"), "gst": Decimal("18.50"), "rounding": Decimal("0.40")}
    return {
        "equity": plots.equity(daily, simulated=simulated),
        "drawdown": plots.drawdown(daily, simulated=simulated),
        "daily_r": plots.daily_r(daily, simulated=simulated),
        "overview": plots.overview(daily, title="run", simulated=simulated),
        "r_distribution": plots.r_distribution(trades, simulated=simulated),
        "exit_reasons": plots.exit_reasons(trades, simulated=simulated),
        "charges": plots.charges(charges, simulated=simulated),
        "entry_time_map": plots.entry_time_map(trades, simulated=simulated),
        "premium_map": plots.premium_map(trades, simulated=simulated),
        "strike_map": plots.strike_map(trades, simulated=simulated),
        "funnel": plots.funnel(levels, simulated=simulated),
        "two_runs": plots.two_runs((daily, daily), (levels, levels), ("a", "b"), simulated=simulated),
        "contract_day": plots.contract_day(bars, title="day", swings=swings, simulated=simulated),
        "trade": plots.trade(bars, trade_row, swings=swings, simulated=simulated),
        "chain": plots.chain(chain_rows(), title="chain", spot=25010.0, simulated=simulated),
    }


def test_every_figure_of_simulated_prices_says_so_in_the_picture(
    daily, trades, levels, bars, swings, trade_row
):
    for name, figure in all_figures(daily, trades, levels, bars, swings, trade_row, True).items():
        assert texts(figure).count(f"<b>{plots.SIMULATED_LABEL}</b>") == 2, name
        assert json.loads(figure.to_json())["data"], name


def test_no_figure_of_real_prices_carries_the_label(daily, trades, levels, bars, swings, trade_row):
    for name, figure in all_figures(daily, trades, levels, bars, swings, trade_row, False).items():
        assert not any(plots.SIMULATED_LABEL in text for text in texts(figure)), name


def test_a_figure_without_trades_still_carries_the_label(trades):
    for draw in (
        plots.r_distribution,
        plots.exit_reasons,
        plots.entry_time_map,
        plots.premium_map,
        plots.strike_map,
    ):
        assert f"<b>{plots.SIMULATED_LABEL}</b>" in texts(draw(trades.clear(), simulated=True))


def test_equity_shows_r_before_and_after_charges(daily):
    before, after, below = plots.equity(daily, simulated=False).data
    assert list(before.y) == [2.0, -3.1, 2.1]
    assert list(after.y) == [1.8, -3.6, 1.5]
    assert list(below.y) == [0.0, -5.1, 0.0]


def test_days_without_trading_leave_no_hole(daily):
    figure = plots.daily_r(daily, simulated=False)
    assert figure.layout.xaxis.type == "category"
    assert list(figure.data[0].x) == ["01 Oct 26", "05 Oct 26", "06 Oct 26"]


def test_day_stop_and_day_target_are_marked(daily):
    marks = {trace.name: list(trace.x) for trace in plots.daily_r(daily, simulated=False).data if trace.name}
    assert marks == {"day stop hit (1)": ["05 Oct 26"], "day target hit (1)": ["06 Oct 26"]}


def test_an_invalid_trade_has_no_place_in_the_distribution(trades):
    shares = plots.r_distribution(trades, simulated=False).data[0]
    assert list(shares.x) == [-1.0, 2.0]


def test_entry_time_map_tells_mean_and_count(trades):
    (cells,) = plots.entry_time_map(trades, simulated=False).data
    thursday = list(cells.y).index("Thu")
    column = list(cells.x).index("09:30")
    assert cells.z[thursday][column] == pytest.approx(0.5)
    assert cells.text[thursday][column] == "+0.50<br>n=2"
    assert np.isnan(cells.z).sum() == cells.z.size - 1


def test_strike_map_tells_round_strikes_from_others(trades):
    (cells,) = plots.strike_map(trades, simulated=False, round_strike=100).data
    assert dict(zip(cells.y, cells.z[:, 0], strict=True)) == pytest.approx(
        {"CE round": -1.0, "CE other": np.nan, "PE round": np.nan, "PE other": 2.0}, nan_ok=True
    )


def test_funnel_names_user_filters_and_counts_what_each_rule_removed(levels):
    left, removed = plots.funnel(levels, simulated=False).data
    assert list(left.y) == ["Swing lows confirmed", "Price range", "Filter: early", "Filled"]
    assert list(left.x) == [1000, 400, 90, 7]
    assert list(removed.x) == [0, 600, 310, 83]


def test_charges_leave_out_rounding_which_is_in_the_others():
    figure = plots.charges({"stt": Decimal(120), "rounding": Decimal("0.4")}, simulated=False)
    assert list(figure.data[0].y) == ["STT"]
    assert figure.layout.title.subtitle.text == "Rs 120 in all"


def test_two_runs_compare_over_the_days_of_both(daily, levels):
    figure = plots.two_runs((daily.head(1), daily.tail(1)), (levels, levels), ("old", "new"), simulated=False)
    assert list(figure.layout.xaxis.categoryarray) == ["01 Oct 26", "06 Oct 26"]
    assert "old +1.80 R against new +1.50 R" in figure.layout.title.subtitle.text


def test_a_swing_is_drawn_at_its_extreme_and_tells_when_it_was_known(bars, swings):
    figure = plots.contract_day(bars, title="day", swings=swings, simulated=False)
    mark = next(trace for trace in figure.data if "swing low" in (trace.name or ""))
    assert mark.x[0] == dt.datetime(2026, 10, 1, 9, 17)
    assert mark.y[0] == 96.0
    assert mark.customdata[0] == "09:20"


def test_times_are_drawn_on_the_indian_clock(bars):
    candles = plots.contract_day(bars, title="day", simulated=False).data[0]
    assert isinstance(candles, go.Candlestick)
    assert candles.x[0] == dt.datetime(2026, 10, 1, 9, 15)


def test_candidate_spans_are_shaded_from_low_to_stop(bars):
    spans = pl.DataFrame(
        {
            "start": [at(9, 16)],
            "end": [at(9, 18)],
            "swing_low": [Decimal("96.00")],
            "stop": [Decimal("104.00")],
        },
        schema_overrides={name: pl.Datetime("ms", "Asia/Kolkata") for name in ("start", "end")},
    )
    (shape,) = plots.contract_day(bars, title="day", candidates=spans, simulated=False).layout.shapes
    assert (shape.y0, shape.y1) == (96.0, 104.0)


def test_a_trade_shows_its_levels_and_fills(bars, trade_row):
    figure = plots.trade(bars, trade_row, simulated=False)
    names = {trace.name for trace in figure.data}
    assert {
        "swing low 96.00",
        "trigger 95.95",
        "limit 92.95",
        "planned stop 103.00",
        "stop 104.00",
        "sold 95.85",
        "bought back 104.10",
    } <= names
    assert "-0.25 R, -Rs 1,609 before charges" in figure.layout.title.subtitle.text


def test_a_trade_without_a_closing_price_shows_no_exit(bars, trade_row):
    row = {
        **trade_row,
        "exit_time": None,
        "exit_price": None,
        "pnl": None,
        "r": None,
        "exit_reason": "no_price",
    }
    figure = plots.trade(bars, row, simulated=False)
    assert not any("bought" in (trace.name or "") for trace in figure.data)
    assert "invalid" in figure.layout.title.subtitle.text


def test_chain_reads_ticks_as_rupees():
    calls = plots.chain(chain_rows(), title="chain", simulated=False).data[0]
    assert list(calls.y) == [120.0, 100.0]


def test_coverage_tells_missing_days_and_prefers_real_ones():
    figure = plots.lake_coverage(coverage_rows(simulated=False), underlying="NIFTY")
    words = figure.data[0].text[0]
    assert words[0] == "Thu 01 Oct 2026: complete, from nse"
    assert words[1] == "closed"
    assert words[4] == "Mon 05 Oct 2026: no data"
    assert words[5] == "Tue 06 Oct 2026: 500 contract-minutes missing, from nse"
    assert plots.SIMULATED_LABEL not in str(texts(figure))


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (123456, {}, "Rs 1,23,456"),
        (Decimal("-182251.13"), {"decimals": 2}, "-Rs 1,82,251.13"),
        (999, {}, "Rs 999"),
        (1000, {"sign": True}, "+Rs 1,000"),
        (Decimal("12345678.90"), {"decimals": 2}, "Rs 1,23,45,678.90"),
        (0, {"sign": True}, "Rs 0"),
    ],
)
def test_rupees_are_grouped_the_indian_way(value, options, text):
    assert plots.rupees(value, **options) == text


def test_plots_import_no_driver_and_no_strategy():
    code = (
        "import sys, engine.desk.plots; "
        "print([m for m in sys.modules if m.startswith(('engine.backtest', 'engine.strategy', 'engine.history'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_filter_of_one_run_stands_where_that_run_met_it():
    rules = ["price_range", "lots", "best_of_type", "filled"]
    plain = pl.DataFrame({"rule": rules, "reached": [9, 5, 3, 1], "removed": [4, 4, 2, 2]})
    mine = pl.DataFrame(
        {
            "rule": ["price_range", "lots", "filter:early", "best_of_type", "filled"],
            "reached": [9, 5, 4, 2, 1],
            "removed": [4, 4, 1, 2, 1],
        }
    )
    daily = pl.DataFrame({"date": [dt.date(2026, 10, 1)], "total_net_r": [1.0], "net_r": [1.0]})
    figure = plots.two_runs((daily, daily), (plain, mine), ("plain", "mine"), simulated=True)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert list(bars[0].y) == [plots.level_label(r) for r in mine["rule"]]
