"""One contract's day to play with: controls that re-run the strategy's own compiled code.

The panel of the notebook on swings. A change of contract or rule runs `detect` and `trace` again and redraws;
a move of the minute runs `explain_minute` and tells every contract's verdict. It decides nothing itself.
"""

import html
from decimal import Decimal
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import polars as pl

from engine.backtest.explain import MinuteExplanation, explain_minute, swing_lows_of
from engine.backtest.trade_pictures import contract_bars, contract_swings
from engine.desk import plots
from engine.desk.plots.look import TEAL, wall_clock
from engine.desk.tables import cell
from engine.history.day import DayBars
from engine.market.clock import minute_label, minute_start
from engine.market.prices import TICKS_PER_RUPEE
from engine.params import SwingBreakParams
from engine.strategy.swing_break import trace

_STEP = Decimal("0.25")
_COLUMNS = {
    "symbol": "contract",
    "swing_low": "swing low",
    "vwap_premium_percent": "over VWAP, %",
    "highest_high": "highest high",
    "stop": "stop",
    "stop_percent": "stop, %",
    "lots": "lots",
    "verdict": "verdict",
}
_RING = {
    "mode": "markers",
    "name": "passes price range and premium",
    "marker": {"symbol": "circle-open", "size": 17, "color": TEAL, "line": {"width": 2}},
    "hovertemplate": "%{customdata}<extra></extra>",
}
_SHADE = {
    "mode": "none",
    "fill": "toself",
    "fillcolor": "rgba(217,164,0,0.28)",
    "name": "best of its type",
    "hoverinfo": "skip",
}
_NOW = {
    "mode": "lines",
    "line": {"color": "#1d2733", "width": 1.3},
    "hoverinfo": "skip",
    "showlegend": False,
}
_STYLE = """<style>
.explained { max-height: 330px; overflow-y: auto; border: 1px solid #d8dde4; border-radius: 4px; }
.explained table { border-collapse: collapse; width: 100%; font-size: 12px; line-height: 1.5; }
.explained th { position: sticky; top: 0; background: #eef1f5; color: #1d2733; }
.explained th, .explained td { padding: 2px 10px; text-align: right; white-space: nowrap; }
.explained th:first-child, .explained td:first-child, .explained th:last-child, .explained td:last-child
  { text-align: left; }
.explained td:last-child { white-space: normal; min-width: 300px; }
.explained tr.chosen td { background: #d9a40033; font-weight: 600; }
.explained tr.shown td { box-shadow: inset 0 1px #2f7fc1, inset 0 -1px #2f7fc1; }
.explained tr.dormant td { color: #8a94a3; }
</style>"""


def busiest_contract(day: DayBars, params: SwingBreakParams) -> str:
    """The contract that is the best of its type for the most minutes; the first one when none ever is."""
    wanted = trace(day, params)["symbol"].drop_nulls()
    return str(wanted.mode().sort()[0]) if len(wanted) else day.symbols[0]


def wanted_spans(day: DayBars, params: SwingBreakParams, symbol: str) -> pl.DataFrame:
    """
    When a contract was the best of its type, as if nothing were ever traded.

    Returns
    -------
    polars frame
        `start, end` (aware IST; from the close that decided it to the close that ended it)`, swing_low, stop`
        (rupees), a row for each change of either price.
    """
    assert day.date is not None
    rows = trace(day, params).filter(pl.col("symbol") == symbol)
    spans: list[dict[str, Any]] = []
    for minute, low, stop in rows.select("minute", "swing_low", "stop").iter_rows():
        start, end = minute_start(day.date, minute + 1), minute_start(day.date, min(minute + 2, day.minutes))
        last = spans[-1] if spans else None
        if last and (last["end"], last["swing_low"], last["stop"]) == (start, low, stop):
            last["end"] = end
        else:
            spans.append({"start": start, "end": end, "swing_low": low, "stop": stop})
    moment = pl.Datetime("us", "Asia/Kolkata")
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "start": moment,
        "end": moment,
        "swing_low": pl.Int32,
        "stop": pl.Int32,
    }
    return pl.DataFrame(spans, schema=schema).with_columns(pl.col("swing_low", "stop") / TICKS_PER_RUPEE)


def _boxes(spans: pl.DataFrame) -> dict[str, list[Any]]:
    """Outlines of spans for one filled trace."""
    x: list[Any] = []
    y: list[Any] = []
    for start, end, low, stop in spans.iter_rows():
        left, right = start.replace(tzinfo=None), end.replace(tzinfo=None)
        x += [left, right, right, left, left, None]
        y += [low, low, stop, stop, low, None]
    return {"x": x, "y": y}


class ContractPicture:
    """
    Bars, VWAP and swings of one contract's day, redrawn in place.

    Swing lows that pass stage 1 are ringed; the time in which the contract was the best of its type is shaded
    from swing low to stop; a line stands at the minute of the slider.

    Attributes
    ----------
    figure : plotly FigureWidget
    """

    def __init__(self, day: DayBars, params: SwingBreakParams, symbol: str, minute: int, width: int) -> None:
        self._day = day
        start = plots.contract_day(contract_bars(day, symbol), title=symbol, simulated=day.simulated)
        swings = contract_swings(day, symbol, params)
        start.add_traces([*plots.swing_marks(swings), _RING, _SHADE, _NOW], rows=1, cols=1)
        start.update_layout(
            title_subtitle_text="",
            width=width,
            margin_t=84,
            legend={"x": 0, "xanchor": "left", "y": -0.08, "yanchor": "top"},
        )
        self.figure = go.FigureWidget(start)
        self._candles, self._vwap, self._volume, *self._marks, self._ring, self._shade, self._now = (
            self.figure.data
        )
        self.draw_rules(params, symbol)
        self.draw_minute(minute)

    def draw_contract(self, params: SwingBreakParams, symbol: str) -> None:
        """Another contract: everything but the minute."""
        bars = contract_bars(self._day, symbol)
        times = wall_clock(bars["ts"])
        with self.figure.batch_update():
            self._candles.update(
                x=times, **{name: bars[name].to_numpy() for name in ("open", "high", "low", "close")}
            )
            self._vwap.update(x=times, y=bars["vwap"].to_numpy())
            self._volume.update(x=times, y=bars["volume"].to_numpy())
            self.figure.update_xaxes(autorange=True)
            self.figure.update_yaxes(autorange=True)
            self.draw_rules(params, symbol)

    def draw_rules(self, params: SwingBreakParams, symbol: str) -> None:
        """Other rules: swings, rings, shades and what the title counts."""
        date = self._day.date
        assert date is not None
        lows = swing_lows_of(self._day, self._day.symbols.index(symbol), params)
        passed = [low for low in lows if low.passed]
        with self.figure.batch_update():
            for mark, new in zip(
                self._marks, plots.swing_marks(contract_swings(self._day, symbol, params)), strict=True
            ):
                mark.update(x=new.x, y=new.y, customdata=new.customdata)
                mark.marker.symbol = new.marker.symbol
            self._ring.update(
                x=[minute_start(date, low.swing_minute).replace(tzinfo=None) for low in passed],
                y=[low.swing_low / TICKS_PER_RUPEE for low in passed],
                customdata=[low.verdict for low in passed],
            )
            self._shade.update(_boxes(wanted_spans(self._day, params, symbol)))
            self.figure.layout.title.text = (
                f"{symbol} on {date:%a %d %b %Y}<br><span style='font-size:12px;font-weight:normal'>{len(lows)} swing lows, "
                f"{len(passed)} pass price range and premium; shaded: best of its type, low to stop</span>"
            )

    def draw_minute(self, minute: int) -> None:
        """Another minute: the line of the moment its bar has closed."""
        assert self._day.date is not None
        moment = minute_start(self._day.date, minute + 1).replace(tzinfo=None)
        self._now.update(x=[moment, moment], y=[min(self._candles.low), max(self._candles.high)])


class SwingExplorer:
    """
    Controls, picture and verdicts for one day; `panel` is what a notebook shows.

    Parameters
    ----------
    day : DayBars
        With date and expiry.
    params : SwingBreakParams
        Where the controls start; what has no control stays as it is.
    contract : str, optional
        Symbol to start with; default the one that was wanted for the most minutes.
    width : int
        Pixels of the picture. (A widget is drawn before it knows the width of its cell.)

    Attributes
    ----------
    contract, minute, premium, stop, variant : widgets
        Controls: symbol, clock time of the decision, min VWAP premium in percent, range of the stop distance in
        percent of the swing low, and "ge2" or "eq2".
    figure : plotly FigureWidget
    explained : MinuteExplanation
        What the table shows.
    """

    def __init__(
        self, day: DayBars, params: SwingBreakParams, contract: str | None = None, width: int = 1040
    ) -> None:
        assert day.date is not None
        self._day = day
        self._given = params
        style = {"description_width": "110px"}
        wide = widgets.Layout(width="430px")
        symbol = contract or busiest_contract(day, params)
        start = self._first_wanted(symbol)
        self.contract = widgets.Dropdown(
            options=day.symbols, value=symbol, description="contract", style=style, layout=wide
        )
        self.minute = widgets.SelectionSlider(
            options=[(minute_label(day.date, m + 1), m) for m in range(day.minutes)],
            value=start,
            description="decided at",
            style=style,
            layout=widgets.Layout(width="98%"),
        )
        self.premium = widgets.FloatSlider(
            value=float(params.min_vwap_premium_percent),
            min=-20,
            max=40,
            step=float(_STEP),
            description="min premium, %",
            style=style,
            layout=wide,
        )
        self.stop = widgets.FloatRangeSlider(
            value=(float(params.min_stop_percent), float(params.max_stop_percent)),
            min=0,
            max=30,
            step=float(_STEP),
            description="stop distance, %",
            style=style,
            layout=wide,
        )
        self.variant = widgets.ToggleButtons(
            options=[("2 votes or more", "ge2"), ("exactly the 2nd", "eq2")],
            value=params.swing_variant,
            style={"button_width": "140px"},
        )
        label = widgets.HTML("<div style='width:110px; text-align:right'>update needs</div>")
        self._words = widgets.HTML()
        self._table = widgets.HTML()
        self._picture = ContractPicture(day, params, symbol, start, width)
        self.figure = self._picture.figure
        self.explained: MinuteExplanation
        self._explain()
        self.contract.observe(self._another_contract, "value")
        for control in (self.premium, self.stop, self.variant):
            control.observe(self._other_rules, "value")
        self.minute.observe(self._another_minute, "value")
        self.panel = widgets.VBox(
            [
                widgets.HBox(
                    [
                        widgets.VBox([self.contract, widgets.HBox([label, self.variant])]),
                        widgets.VBox([self.premium, self.stop]),
                    ]
                ),
                self.figure,
                self.minute,
                self._words,
                self._table,
            ]
        )

    @property
    def params(self) -> SwingBreakParams:
        """The parameter set as the controls stand."""
        low, high = self.stop.value
        return self._given.replace(
            min_vwap_premium_percent=self._percent(self.premium.value),
            min_stop_percent=self._percent(low),
            max_stop_percent=self._percent(high),
            swing_variant=self.variant.value,
        )

    @staticmethod
    def _percent(value: float) -> Decimal:
        """A slider's float as the exact step it stands on."""
        return round(Decimal(value) / _STEP) * _STEP

    def _first_wanted(self, symbol: str) -> int:
        """Minute whose close first wanted an order in a contract; noon when none ever did."""
        rows = trace(self._day, self._given).filter(pl.col("symbol") == symbol)
        return int(rows["minute"][0]) if rows.height else self._day.minutes // 2

    def _another_contract(self, change: object) -> None:  # noqa: ARG002 - ipywidgets gives the change
        self._picture.draw_contract(self.params, self.contract.value)
        self._picture.draw_minute(self.minute.value)
        self._explain()

    def _other_rules(self, change: object) -> None:  # noqa: ARG002
        self._picture.draw_rules(self.params, self.contract.value)
        self._explain()

    def _another_minute(self, change: object) -> None:  # noqa: ARG002
        self._picture.draw_minute(self.minute.value)
        self._explain()

    def _explain(self) -> None:
        self.explained = explain_minute(self._day, self.params, self.minute.value)
        self._words.value = "<br>".join(
            f"<b>{html.escape(self.explained.decided_at)}</b> {html.escape(words)}"
            for words in self.explained.slots
        )
        self._table.value = _STYLE + _as_table(self.explained.contracts, self.contract.value)


def _as_table(contracts: pl.DataFrame, shown: str) -> str:
    """The verdicts as HTML: live candidates first, the chosen ones marked."""
    live_first = contracts.sort(
        pl.col("chosen"), pl.col("swing_low").is_not_null(), descending=True, maintain_order=True
    )
    heads = "".join(f"<th>{name}</th>" for name in _COLUMNS.values())
    rows = []
    for row in live_first.iter_rows(named=True):
        marks = [
            "chosen" if row["chosen"] else "",
            "shown" if row["symbol"] == shown else "",
            "dormant" if row["swing_low"] is None else "",
        ]
        cells = "".join(f"<td>{cell(row[name])}</td>" for name in _COLUMNS)
        rows.append(f"<tr class='{' '.join(marks)}'>{cells}</tr>")
    return f"<div class='explained'><table><tr>{heads}</tr>{''.join(rows)}</table></div>"
