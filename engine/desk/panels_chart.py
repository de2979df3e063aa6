"""The live pictures: the day's profit, and one contract's price with its entries, exits and stop.

Drawn once and then changed in place: only traces whose values are new are sent to the browser.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go

from engine.desk import plots
from engine.desk.live_chart import Closes, Curve, RecordedCloses, clock_of, profit_curve
from engine.desk.live_view import LiveView
from engine.desk.plots.look import BLUE, GREY, ORANGE
from engine.live.log.state import Fill, Position
from engine.market.prices import PAISE_PER_RUPEE, TICKS_PER_RUPEE

HEIGHT = 330
_STOP = "#c8413b"
_AUTO = "the newest"
_TAIL = 5_000

Points = tuple[Sequence[dt.datetime | None], Sequence[float | None]]


class LiveCharts:
    """
    Both pictures and the choice of the contract.

    Attributes
    ----------
    panel : widget
    contract : Dropdown
        "the newest" follows the position or order opened last.
    profit, prices : plotly FigureWidget
    """

    def __init__(self, *, simulated: bool) -> None:
        self.simulated = simulated
        self._recorded: RecordedCloses | None = None
        self._key: tuple[Any, ...] = ()
        self._curve = Curve((), (), ())
        self._tail: list[tuple[int, int, int]] = []  # ns, gross, net
        self._last: dict[str, list[tuple[int, int]]] = {}
        self.profit = go.FigureWidget(self._profit_figure())
        self.prices = go.FigureWidget(self._price_figure())
        for figure in (self.profit, self.prices):
            figure.set_trait("_config", {"responsive": True, "displaylogo": False})
        self.contract = widgets.Dropdown(
            options=[_AUTO], description="contract", layout=widgets.Layout(width="330px", margin="0 0 0 8px")
        )
        right = widgets.VBox(
            [self.contract, self.prices], layout=widgets.Layout(width="50%", overflow="hidden")
        )
        left = widgets.VBox([self.profit], layout=widgets.Layout(width="50%", overflow="hidden"))
        for box in (left, right):
            box.add_class("cr-card")
        self.panel = widgets.HBox([left, right], layout=widgets.Layout(align_items="stretch"))

    def show(
        self,
        view: LiveView,
        *,
        date: dt.date | None,
        fills: Sequence[Fill],
        positions: Sequence[Position],
        recorded: RecordedCloses | None,
    ) -> None:
        """Draw what is new."""
        if self._recorded is not recorded:
            self._recorded, self._key = recorded, ()
            self._tail.clear()
            self._last.clear()
        news = recorded.renew() if recorded is not None else False
        closes: Closes = recorded.closes if recorded is not None else {}
        key = (date, len(fills), len(closes))
        if date is not None and (news or key != self._key):
            self._curve = profit_curve(date, fills, closes)
            self._key = key
        self._note(view)
        self._draw_profit()
        self._draw_prices(view, closes, fills, positions)

    def fit(self) -> None:
        """
        Have every browser fit the pictures to its own width.

        A figure is drawn before it knows its place, and a page that is loaded again draws it anew, unasked.
        """
        for figure in (self.profit, self.prices):
            figure.layout.autosize = False
            figure.layout.autosize = True

    # ---- inside ----

    def _profit_figure(self) -> go.Figure:
        figure = go.Figure(
            [
                go.Scatter(x=[], y=[], mode="lines", name="net", line={"color": BLUE, "width": 2.2}),
                go.Scatter(
                    x=[], y=[], mode="lines", name="gross", line={"color": GREY, "width": 1.2, "dash": "dot"}
                ),
            ]
        )
        figure.update_traces(hovertemplate="%{x|%H:%M:%S} Rs %{y:,.2f}<extra>%{fullData.name}</extra>")
        return self._finish(figure, "Day P&L, Rs", HEIGHT + 34)

    def _price_figure(self) -> go.Figure:
        figure = go.Figure(
            [
                go.Scatter(x=[], y=[], mode="lines", name="price", line={"color": "#3c4a5a", "width": 1.6}),
                go.Scatter(x=[], y=[], mode="lines", name="stop", line={"color": _STOP, "width": 1.8}),
                go.Scatter(
                    x=[],
                    y=[],
                    mode="lines",
                    name="entry trigger",
                    line={"color": BLUE, "width": 1.6, "dash": "dash"},
                ),
                go.Scatter(
                    x=[],
                    y=[],
                    mode="markers",
                    name="sold",
                    marker={"symbol": "triangle-down", "size": 13, "color": BLUE},
                ),
                go.Scatter(
                    x=[],
                    y=[],
                    mode="markers",
                    name="bought",
                    marker={"symbol": "triangle-up", "size": 13, "color": ORANGE},
                ),
            ]
        )
        figure.update_traces(hovertemplate="%{x|%H:%M:%S} %{y:.2f}<extra>%{fullData.name}</extra>")
        return self._finish(figure, "Price, Rs", HEIGHT)

    def _finish(self, figure: go.Figure, title: str, height: int) -> go.Figure:
        figure.update_xaxes(type="date", tickformat="%H:%M")
        plots.finish(figure, title, simulated=self.simulated, height=height)
        figure.update_layout(
            margin={"l": 50, "r": 14, "t": 54, "b": 30}, uirevision="stay", title_font_size=13
        )
        return figure

    def _note(self, view: LiveView) -> None:
        """Keep what the runner tells between two recorded minutes; nothing of a stale sign."""
        if not view.now_ns or view.stale_s:
            return
        told = view.money
        fresh = not self._tail or self._tail[-1][0] < view.now_ns
        if told is not None and told.gross is not None and told.net is not None and fresh:
            self._tail = [*self._tail[-_TAIL:], (view.now_ns, told.gross, told.net)]
        if view.prices_doubtful:
            return
        for line in view.positions:
            rows = self._last.setdefault(line.symbol, [])
            if line.last is not None and (not rows or rows[-1][0] < view.now_ns):
                rows.append((view.now_ns, line.last))
                del rows[:-_TAIL]

    def _draw_profit(self) -> None:
        end = self._curve.at_ns[-1] if self._curve.at_ns else 0
        tail = [row for row in self._tail if row[0] > end]
        if not self._curve.at_ns:  # before the first fill there is nothing to see
            tail = [row for row in tail if row[1] or row[2]]
        times = [clock_of(at) for at in (*self._curve.at_ns, *(row[0] for row in tail))]
        for number, (recorded, place) in enumerate(((self._curve.net, 2), (self._curve.gross, 1))):
            values = [*recorded, *(row[place] for row in tail)]
            rupees = [None if value is None else value / PAISE_PER_RUPEE for value in values]
            self._send(self.profit, number, (times, rupees))

    def _draw_prices(
        self, view: LiveView, closes: Closes, fills: Sequence[Fill], positions: Sequence[Position]
    ) -> None:
        traded = list(dict.fromkeys(fill.symbol for fill in reversed(fills)))
        working = [line.symbol for line in view.orders if line.leg == "entry"]
        listed = list(dict.fromkeys([*traded, *working]))
        if (_AUTO, *listed) != tuple(self.contract.options):
            chosen = self.contract.value if self.contract.value in listed else _AUTO
            self.contract.options = [_AUTO, *listed]
            self.contract.value = chosen
        newest = [line.symbol for line in view.positions][-1:] or working[-1:] or listed[:1]
        symbol = self.contract.value if self.contract.value != _AUTO else (newest or [""])[0]
        title = f"{symbol or 'Price'}, Rs"
        if self.prices.layout.title.text != title:
            self.prices.layout.title.text = title
        recorded = list(closes.get(symbol, ()))
        end = recorded[-1][0] if recorded else 0
        rows = [*recorded, *(row for row in self._last.get(symbol, ()) if row[0] > end)]
        self._send(
            self.prices, 0, ([clock_of(at) for at, _ in rows], [ticks / TICKS_PER_RUPEE for _, ticks in rows])
        )
        until = max(rows[-1][0] if rows else 0, view.now_ns)
        mine = [each for each in positions if each.symbol == symbol]
        self._send(self.prices, 1, _stops(mine, until))
        entries = [
            line for line in view.orders if line.symbol == symbol and line.leg == "entry" and line.trigger
        ]
        start = rows[0][0] if rows else until
        self._send(
            self.prices,
            2,
            _joined([(start, until, line.trigger) for line in entries]) if until else ([], []),
        )
        for number, side in ((3, "SELL"), (4, "BUY")):
            done = [fill for fill in fills if fill.symbol == symbol and fill.side == side]
            self._send(
                self.prices,
                number,
                ([clock_of(fill.time_ns) for fill in done], [fill.price / TICKS_PER_RUPEE for fill in done]),
            )

    def _send(self, figure: Any, number: int, points: Points) -> None:
        """Change a trace; plotly itself sends only what differs."""
        trace = figure.data[number]
        with figure.batch_update():
            trace.x, trace.y = points


def _stops(positions: Sequence[Position], until: int) -> Points:
    rows = [
        (each.opened_ns, each.closed_ns or max(until, each.opened_ns), each.stop_trigger)
        for each in positions
        if each.stop_trigger
    ]
    return _joined(rows)


def _joined(levels: Sequence[tuple[int, int, int]]) -> Points:
    """Horizontal lines (start ns, end ns, ticks) as one trace with gaps."""
    x: list[dt.datetime | None] = []
    y: list[float | None] = []
    for start, end, ticks in levels:
        x += [clock_of(start), clock_of(end), None]
        y += [ticks / TICKS_PER_RUPEE, ticks / TICKS_PER_RUPEE, None]
    return x, y
