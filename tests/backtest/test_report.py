"""The report: one file, complete, escaped, honest about what it rests on. The run is written by hand."""

import datetime as dt
import json
import re
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from engine.backtest.assumptions import assumptions
from engine.backtest.outcome import DayOutcome, SkippedDay
from engine.backtest.report import overview, write_report
from engine.backtest.result import SIMULATED_LABEL, Result
from engine.backtest.trade_pictures import choose_trades
from engine.errors import DataError
from engine.execution.decisions import DECISION
from engine.execution.ledger import NO_PRICE, STOP, TIME_EXIT, TRADE
from engine.execution.orders import ORDER_EVENT
from engine.history.lake import Lake
from engine.market.contracts import lot_size
from engine.params import load_params
from engine.strategy.candidates import level_names
from engine.strategy.predicates import Predicate

EXPIRY = dt.date(2026, 10, 6)
DAYS = (dt.date(2026, 10, 1), dt.date(2026, 10, 5))
SYMBOLS = ("NIFTY06OCT2625000CE", "NIFTY06OCT2625000PE")
FILTER = Predicate("early", "def early(c): return c.minute < 120  # <script>alert(1)</script>", 0, None)


def minute_bars(contracts=2, minutes=60):
    """Falling and rising bars in ticks, good for some swings."""
    rows = []
    for place, symbol in enumerate(SYMBOLS[:contracts]):
        for minute in range(minutes):
            low = 2400 + 40 * ((minute // 6) % 2) + 5 * (minute % 6) * (-1) ** (minute // 6) - minute
            rows.append(
                (
                    symbol,
                    25000,
                    "CE" if place == 0 else "PE",
                    EXPIRY,
                    minute,
                    low + 4,
                    low + 12,
                    low,
                    low + 8,
                    650,
                )
            )
    columns = [
        "symbol",
        "strike",
        "option_type",
        "expiry",
        "minute",
        "open",
        "high",
        "low",
        "close",
        "volume",
    ]
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "data")
    for date in DAYS:
        lake.write_day(
            minute_bars(), underlying="NIFTY", date=date, source="simulated", simulated=True, importer="test"
        )
    return lake


def trade(contract, entry, exit_, entry_price, exit_price, reason):
    quantity = 2 * lot_size("NIFTY", EXPIRY)
    row = np.zeros((), TRADE)
    row["contract"] = contract
    row["swing_minute"], row["conf_minute"], row["entry_minute"], row["exit_minute"] = (
        entry - 6,
        entry - 3,
        entry,
        exit_,
    )
    row["swing_low"], row["trigger"], row["limit"] = entry_price + 2, entry_price + 1, entry_price - 59
    row["entry_price"], row["exit_price"], row["stop"], row["planned_stop"] = (
        entry_price,
        exit_price,
        *[entry_price + 160] * 2,
    )
    row["lots"], row["quantity"], row["reason"] = 2, quantity, reason
    row["risk"] = 160 * 5 * quantity
    row["invalid"] = reason == NO_PRICE
    row["pnl"] = 0 if reason == NO_PRICE else (entry_price - exit_price) * 5 * quantity
    return row


def outcome(date, trades, *, simulated, ambiguous=0, latch=0):
    names = level_names(("early",))
    return DayOutcome(
        date=date, expiry=EXPIRY, source="simulated" if simulated else "nse", simulated=simulated, open_minute=555,
        minutes=385, bars=120, symbols=SYMBOLS, strike=np.array([25000, 25000], np.int32),
        is_call=np.array([True, False]), trades=np.array(trades, TRADE), orders=np.zeros(0, ORDER_EVENT),
        decisions=np.zeros(0, DECISION), funnel=np.arange(len(names), 0, -1, dtype=np.int64) * 10,
        ambiguous_bars=ambiguous, latch=latch,
    )  # fmt: skip


def result_of(lake, **changes):
    entries = tuple(lake.entries("NIFTY"))
    first = [trade(0, 10, 20, 2400, 2300, TIME_EXIT), trade(1, 12, 30, 2400, 2561, STOP)]
    facts = {
        "params": load_params(),
        "filters": (FILTER,),
        "start": DAYS[0],
        "end": dt.date(2026, 10, 5),
        "entries": entries,
        "days": (
            outcome(DAYS[0], first, simulated=True, ambiguous=1),
            outcome(DAYS[1], [trade(0, 15, 15, 2400, 0, NO_PRICE)], simulated=True),
        ),
        "skipped": (),
        "elapsed_s": 0.5,
    }
    return Result(**{**facts, **changes})


@pytest.fixture
def page(lake, tmp_path):
    return write_report(result_of(lake), tmp_path / "out" / "report.html", lake).read_text(encoding="utf-8")


def stored(page):
    return json.loads(re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)[1])


def without_plotly(page):
    return re.sub(r"<script>/\*\*.*?</script>", "", page, flags=re.DOTALL)


def test_the_report_is_one_file_that_asks_nothing_of_a_network(page):
    own = without_plotly(page)
    assert len(own) < len(page) / 4
    assert page.count("plotly.js v") == 1
    assert not re.findall(r'(?:src|href)\s*=\s*"(?!#|data:)', own)
    assert "http" not in re.sub(r'id="figures">.*?</script>', "", own, flags=re.DOTALL)


def test_simulated_prices_are_named_in_title_banner_footer_and_every_figure(page):
    own = without_plotly(page)
    assert f"[{SIMULATED_LABEL}]</title>" in own
    assert f'role="alert"><b>{SIMULATED_LABEL}</b>' in own
    assert f"{SIMULATED_LABEL}.</footer>" in own
    figures = stored(page)
    for name, figure in {**figures["figures"], **figures["trades"]}.items():
        assert SIMULATED_LABEL in json.dumps(figure["layout"]["annotations"]), name


def test_a_report_of_real_prices_carries_no_such_label(lake, tmp_path):
    result = result_of(lake)
    real = tuple(outcome(day.date, list(day.trades), simulated=False) for day in result.days)
    entries = tuple(_as_real(entry) for entry in result.entries)
    path = write_report(result_of(lake, days=real, entries=entries), tmp_path / "real.html")
    assert SIMULATED_LABEL not in path.read_text(encoding="utf-8")


def _as_real(entry):
    from dataclasses import replace

    return replace(entry, simulated=False, source="nse")


def test_text_from_outside_cannot_become_markup(page):
    own = without_plotly(page)
    assert "<script>alert" not in own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in own


def test_a_name_cannot_end_the_script_that_holds_the_figures(lake, tmp_path):
    hostile = FILTER._replace(name="</script><img src=x>")
    page = write_report(result_of(lake, filters=(hostile,)), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<img" not in without_plotly(page)
    assert "</script><img src=x>" in json.dumps(stored(page)["figures"]["funnel"])


def test_headline_numbers_are_those_of_the_result(page, lake):
    facts = result_of(lake).summary()
    assert Decimal(facts["gross_pnl"]) == (100 - 161) * Decimal("0.05") * 2 * lot_size("NIFTY", EXPIRY)
    assert f"{facts['net_r']:+.2f}</div>" in page
    assert 'Win rate</div><div class="value ">50 %' in page


def test_every_trade_has_a_row_and_an_invalid_one_shows_no_result(page):
    table = re.search(r'id="trades-table">.*?</table>', page, re.DOTALL)[0]
    rows = re.findall(r"<tr class=.*?</tr>", table, re.DOTALL)
    assert len(rows) == 3
    assert "No price: invalid" in rows[2]
    assert rows[2].count('<td class="n"></td>') == 5


def test_a_click_has_a_chart_behind_it(page):
    linked = set(re.findall(r'data-trade="(\d+)"', page))
    assert linked == set(stored(page)["trades"]) == {"0", "1", "2"}
    names = {trace.get("name") for trace in stored(page)["trades"]["0"]["data"]}
    assert {"swing low 120.10", "trigger 120.05", "stop 128.00", "sold 120.00", "bought back 115.00"} <= names


def test_without_a_lake_the_report_says_why_no_trade_has_a_chart(lake, tmp_path):
    page = write_report(result_of(lake), tmp_path / "plain.html").read_text(encoding="utf-8")
    assert "the report was written without the lake" in page
    assert stored(page)["trades"] == {}


def test_a_figure_leaves_light_and_dark_to_the_page(page):
    figures = stored(page)
    assert set(figures["templates"]) == {"light", "dark"}
    assert all("template" not in figure["layout"] for figure in figures["figures"].values())


def test_the_funnel_table_says_which_rule_removed_how_many(page):
    assert "Filter: early</td>" in page
    assert '<td>Price range</td><td class="n" data-v="160">160</td><td class="n" data-v="20">20</td>' in page


def test_every_parameter_is_listed_with_the_hash(page, lake):
    params = result_of(lake).params
    assert all(f"<td>{name}</td>" in page for name in type(params).model_fields)
    assert params.hash in page
    assert result_of(lake).trade_hash in page


def test_what_could_not_be_known_is_said(lake):
    said = {one.topic: one for one in assumptions(result_of(lake))}
    assert said["Prices"].weight == "warning"
    assert said["Ambiguous bars"].text.startswith("In 1 bar the assumed order")
    assert said["Missing prices"].text.startswith("Trades without a price to close them: 1;")
    assert said["Missing prices"].weight == "warning"
    assert said["Days"].text == "Every trading day of the range is held and was traded."


def test_skipped_and_absent_days_are_named_with_the_reason(lake):
    result = result_of(lake, skipped=(SkippedDay(DAYS[1], "close-only"),), end=dt.date(2026, 10, 6))
    (days,) = (one for one in assumptions(result) if one.topic == "Days")
    assert days.text == "Not traded: 05 Oct 2026 (close-only). Trading days without data: 06 Oct 2026."
    assert days.weight == "warning"


def test_a_range_beyond_the_known_calendar_is_admitted(lake):
    (days,) = (one for one in assumptions(result_of(lake, end=dt.date(2050, 1, 1))) if one.topic == "Days")
    assert "cannot be told" in days.text


def test_the_same_result_writes_the_same_bytes_and_replaces_the_file(lake, tmp_path):
    path = tmp_path / "report.html"
    first = write_report(result_of(lake), path, lake).read_bytes()
    assert write_report(result_of(lake), path, str(lake.root)).read_bytes() == first
    assert [p.name for p in tmp_path.iterdir() if "report" in p.name] == ["report.html"]


def test_a_folder_is_refused_as_the_file(lake, tmp_path):
    with pytest.raises(DataError, match="is a folder; give the name"):
        write_report(result_of(lake), tmp_path)


def test_result_report_and_plot_are_the_same_doors(lake, tmp_path):
    result = result_of(lake)
    assert (
        result.report(tmp_path / "a.html", lake).read_bytes()
        == write_report(result, tmp_path / "b.html", lake).read_bytes()
    )
    assert result.plot().to_json() == overview(result).to_json()


def test_chosen_trades_hold_the_best_the_worst_and_the_unknown():
    trades = pl.DataFrame({"r": [0.1 * k for k in range(99)] + [None]})
    chosen = choose_trades(trades, 13)
    assert len(chosen) == 13
    assert {0, 1, 2, 3, 95, 96, 97, 98, 99} <= set(chosen)
    assert choose_trades(trades, 200) == list(range(100))
