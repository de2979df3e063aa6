"""Figures of the market itself: a contract's day, a trade in its bars, an option chain.

Bars come as a frame `ts` (aware IST start of the minute)`, open, high, low, close, vwap, volume` with prices in
rupees, one contract, in order; a minute without a bar is simply absent.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from engine.desk.plots.labels import reason_label
from engine.desk.plots.look import (
    BLUE,
    GREY,
    ORANGE,
    PURPLE,
    TEAL,
    YELLOW,
    finish,
    floats,
    nothing,
    rupees,
    wall_clock,
)
from engine.market.prices import TICKS_PER_RUPEE

SWING_COLUMNS = ("kind", "ts", "price", "confirmed_at", "update")
"""Of a `swings` frame: "high" or "low", time and price (rupees) of the extreme, when it was known, and
whether it replaced the swing before it."""


def _candles(bars: pl.DataFrame) -> go.Candlestick:
    return go.Candlestick(
        x=wall_clock(bars["ts"]),
        open=floats(bars["open"]),
        high=floats(bars["high"]),
        low=floats(bars["low"]),
        close=floats(bars["close"]),
        increasing={"line": {"color": BLUE, "width": 1}, "fillcolor": BLUE},
        decreasing={"line": {"color": ORANGE, "width": 1}, "fillcolor": ORANGE},
        name="1-minute bars",
        showlegend=False,
    )


def _vwap_line(bars: pl.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=wall_clock(bars["ts"]),
        y=bars["vwap"].to_list(),
        name="session VWAP",
        line={"color": PURPLE, "width": 1.5},
        hovertemplate="%{x|%H:%M} VWAP %{y:.2f}<extra></extra>",
    )


def swing_marks(swings: pl.DataFrame) -> list[go.Scatter]:
    """
    Markers at the extremes, each with a dotted line to the moment from which it was known.

    Parameters
    ----------
    swings : frame
        Columns `SWING_COLUMNS`.

    Returns
    -------
    Four traces: lines and markers of swing highs, lines and markers of swing lows; empty where there is none.
    """
    traces = []
    for kind, symbol, colour in (("high", "triangle-down", GREY), ("low", "triangle-up", TEAL)):
        rows = swings.filter(pl.col("kind") == kind)
        at, known = wall_clock(rows["ts"]), wall_clock(rows["confirmed_at"])
        prices = floats(rows["price"])
        traces.append(
            go.Scatter(
                x=[moment for pair in zip(at, known, [None] * len(at), strict=True) for moment in pair],
                y=[value for price in prices for value in (price, price, None)],
                mode="lines",
                line={"color": colour, "width": 1, "dash": "dot"},
                hoverinfo="skip",
                showlegend=False,
            )
        )
        traces.append(
            go.Scatter(
                x=at,
                y=prices,
                mode="markers",
                name=f"swing {kind}, known at the end of its line",
                marker={
                    "symbol": [f"{symbol}-open" if update else symbol for update in rows["update"]],
                    "size": 9,
                    "color": colour,
                },
                customdata=[f"{moment:%H:%M}" for moment in known],
                hovertemplate=f"swing {kind} %{{y:.2f}} at %{{x|%H:%M}}<br>confirmed at %{{customdata}}<extra></extra>",
            )
        )
    return traces


def _clock_axis(figure: go.Figure) -> None:
    figure.update_xaxes(rangeslider={"visible": False}, tickformat="%H:%M", type="date", hoverformat="%H:%M")


def contract_day(
    bars: pl.DataFrame,
    *,
    title: str,
    simulated: bool,
    swings: pl.DataFrame | None = None,
    candidates: pl.DataFrame | None = None,
) -> go.Figure:
    """
    One contract through one session: bars, VWAP, volume, swings, and when it was a candidate.

    Parameters
    ----------
    bars : frame
        The whole session, see the module.
    swings : frame, optional
        Columns `SWING_COLUMNS`.
    candidates : frame, optional
        `start, end` (aware IST)`, swing_low, stop` (rupees): the band between low and stop is shaded.
    """
    if bars.is_empty():
        return nothing(title, "no bar of this contract on this day", simulated=simulated)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.82, 0.18], vertical_spacing=0.03)
    figure.add_trace(_candles(bars), row=1, col=1)
    figure.add_trace(_vwap_line(bars), row=1, col=1)
    if swings is not None:
        figure.add_traces(swing_marks(swings), rows=1, cols=1)
    if candidates is not None and not candidates.is_empty():
        spans = zip(
            wall_clock(candidates["start"]),
            wall_clock(candidates["end"]),
            floats(candidates["swing_low"]),
            floats(candidates["stop"]),
            strict=True,
        )
        for start, end, low, stop in spans:
            figure.add_shape(
                type="rect", x0=start, x1=end, y0=low, y1=stop, fillcolor=YELLOW, opacity=0.16, line_width=0,
                layer="below", row=1, col=1,
            )  # fmt: skip
    figure.add_bar(
        x=wall_clock(bars["ts"]),
        y=bars["volume"].to_numpy(),
        marker={"color": GREY, "opacity": 0.55},
        name="volume",
        showlegend=False,
        hovertemplate="%{x|%H:%M} %{y:,} units<extra></extra>",
        row=2,
        col=1,
    )
    figure.update_yaxes(title="Rs", row=1, col=1)
    figure.update_yaxes(title="units", row=2, col=1)
    _clock_axis(figure)
    edge = dt.timedelta(minutes=4)
    first, *_, last = wall_clock(bars["ts"][[0, -1]])
    figure.update_xaxes(range=[first - edge, last + edge])
    shaded = "" if candidates is None else "; shaded: a candidate, from its low to its stop"
    return finish(figure, title, simulated=simulated, subtitle=f"1-minute bars, IST{shaded}", height=560)


def _level(
    figure: go.Figure, start: dt.datetime, end: dt.datetime, price: float, name: str, colour: str, dash: str
) -> None:
    figure.add_scatter(
        x=[start, end],
        y=[price, price],
        mode="lines",
        name=f"{name} {price:.2f}",
        line={"color": colour, "width": 1.6, "dash": dash},
        hovertemplate=f"{name} %{{y:.2f}}<extra></extra>",
    )


def trade(
    bars: pl.DataFrame,
    row: Mapping[str, Any],
    *,
    simulated: bool,
    swings: pl.DataFrame | None = None,
    margin_minutes: int = 25,
) -> go.Figure:
    """
    One trade in its bars: swing low, trigger, limit, stop, fills.

    Parameters
    ----------
    bars : frame
        The contract's whole session, so that VWAP is the session's; only the time around the trade is shown.
    row : mapping
        A row of the trade table: `symbol, date, swing_time, confirmed_at, swing_low, trigger, limit, entry_time,
        entry_price, planned_stop, stop, exit_time, exit_price, exit_reason, lots, pnl, r` (rupees, aware IST);
        the exit may be null.
    swings : frame, optional
        Columns `SWING_COLUMNS`.
    margin_minutes : int
        Minutes shown before the swing low and after the exit.
    """
    margin = dt.timedelta(minutes=margin_minutes)
    closed = row["exit_time"] if row["exit_time"] is not None else bars["ts"][-1]
    first, last = row["swing_time"] - margin, closed + margin
    shown = bars.filter(pl.col("ts").is_between(first, last))
    figure = go.Figure([_candles(shown), _vwap_line(shown)], layout={"template": "none"})
    if swings is not None:
        figure.add_traces(swing_marks(swings.filter(pl.col("ts").is_between(first, last))))
    swing, known, entered, left = (
        moment.replace(tzinfo=None)
        for moment in (row["swing_time"], row["confirmed_at"], row["entry_time"], closed)
    )
    _level(figure, swing, entered, float(row["swing_low"]), "swing low", TEAL, "solid")
    _level(figure, known, entered, float(row["trigger"]), "trigger", BLUE, "dash")
    _level(figure, known, entered, float(row["limit"]), "limit", GREY, "dot")
    if row["planned_stop"] != row["stop"]:
        _level(figure, known, entered, float(row["planned_stop"]), "planned stop", YELLOW, "dot")
    _level(figure, entered, left, float(row["stop"]), "stop", "#c8413b", "solid")
    fills = [("sold", entered, row["entry_price"], "triangle-down")]
    if row["exit_price"] is not None:
        fills.append(("bought back", left, row["exit_price"], "triangle-up"))
    for name, moment, price, symbol in fills:
        figure.add_scatter(
            x=[moment],
            y=[float(price)],
            mode="markers",
            name=f"{name} {float(price):.2f}",
            marker={
                "symbol": symbol,
                "size": 15,
                "color": "#111827",
                "line": {"color": "#ffffff", "width": 1.5},
            },
            hovertemplate=f"{name} %{{y:.2f}} at %{{x|%H:%M:%S}}<extra></extra>",
        )
    figure.update_yaxes(title="Rs")
    _clock_axis(figure)
    figure.update_layout(legend={"y": -0.12, "yanchor": "top", "x": 0.0, "xanchor": "left"})
    outcome = (
        "no price to close it: invalid"
        if row["r"] is None
        else f"{row['r']:+.2f} R, {rupees(row['pnl'], sign=True)} before charges"
    )
    return finish(
        figure,
        f"{row['symbol']} on {row['date']:%a %d %b %Y}",
        simulated=simulated,
        subtitle=f"short {row['lots']} lots; {reason_label(row['exit_reason']).lower()}; {outcome}",
        height=500,
    )


def chain(rows: pl.DataFrame, *, title: str, simulated: bool, spot: float | None = None) -> go.Figure:
    """
    One expiry's option chain at one minute.

    Parameters
    ----------
    rows : frame
        As the lake tells it: `strike` (rupees)`, option_type, close, bid, ask` (**ticks**, bid and ask may be
        null)`, volume, oi` (units, oi may be null); one expiry.
    spot : float, optional
        Rupees; drawn as a line.
    """
    if rows.is_empty():
        return nothing(title, "no contract has traded yet", simulated=simulated)
    has_oi = rows["oi"].null_count() < rows.height
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.07)
    for kind, colour in (("CE", BLUE), ("PE", ORANGE)):
        side = rows.filter(pl.col("option_type") == kind).sort("strike")
        price = side["close"].to_numpy() / TICKS_PER_RUPEE
        spread = side.select(pl.col("bid", "ask") / TICKS_PER_RUPEE).fill_null(float("nan"))
        figure.add_scatter(
            x=side["strike"].to_numpy(),
            y=price,
            mode="lines+markers",
            name=kind,
            line={"color": colour, "width": 2},
            customdata=np.column_stack((spread["bid"], spread["ask"], side["volume"])),
            hovertemplate=(
                f"%{{x}} {kind}: %{{y:.2f}}<br>bid %{{customdata[0]:.2f}}, ask %{{customdata[1]:.2f}}<br>"
                "%{customdata[2]:,} units in its last minute<extra></extra>"
            ),
            row=1,
            col=1,
        )
        figure.add_bar(
            x=side["strike"].to_numpy(),
            y=side["oi" if has_oi else "volume"].to_numpy(),
            marker={"color": colour, "opacity": 0.75},
            showlegend=False,
            hovertemplate=f"%{{x}} {kind}: %{{y:,}} units<extra></extra>",
            row=2,
            col=1,
        )
    if spot is not None:
        figure.add_vline(
            x=spot,
            line={"dash": "dash", "width": 1.3, "color": GREY},
            annotation={"text": f"spot {spot:,.2f}"},
        )
    figure.update_yaxes(title="price, Rs", row=1, col=1)
    figure.update_yaxes(title="open interest" if has_oi else "volume", row=2, col=1)
    figure.update_xaxes(tickformat="d")
    figure.update_xaxes(title="strike", row=2, col=1)
    figure.update_layout(barmode="group")
    return finish(figure, title, simulated=simulated, height=520)
