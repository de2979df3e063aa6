"""Figures of money and R over a run: equity, drawdown, days, distribution, exits, charges, two runs.

They take the frames of a backtest result or of a live day's projection: `daily` with `date, r, net_r, total_r,
total_net_r, drawdown_r, trades, latch` and `trades` with `r, own_r, exit_reason`.
"""

from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from engine.desk.plots.labels import CHARGE_LABELS, level_label, reason_label
from engine.desk.plots.look import (
    BLUE,
    GAIN,
    GREY,
    LOSS,
    ORANGE,
    PURPLE,
    TEAL,
    day_labels,
    finish,
    nothing,
    rupees,
)

_FILL = "rgba(224,117,45,0.22)"


def _equity_lines(daily: pl.DataFrame, days: list[str]) -> list[go.Scatter]:
    hover = "%{x}<br>%{y:+.2f} R<extra>%{fullData.name}</extra>"
    return [
        go.Scatter(
            x=days,
            y=daily["total_r"].to_numpy(),
            name="before charges",
            line={"color": GREY, "width": 1.6, "dash": "dot"},
            hovertemplate=hover,
        ),
        go.Scatter(
            x=days,
            y=daily["total_net_r"].to_numpy(),
            name="after charges",
            line={"color": BLUE, "width": 2.6},
            hovertemplate=hover,
        ),
    ]


def _drawdown_area(daily: pl.DataFrame, days: list[str]) -> go.Scatter:
    return go.Scatter(
        x=days,
        y=daily["drawdown_r"].to_numpy(),
        name="drawdown",
        fill="tozeroy",
        fillcolor=_FILL,
        line={"color": LOSS, "width": 1.4},
        hovertemplate="%{x}<br>%{y:.2f} R below the peak<extra></extra>",
        showlegend=False,
    )


def _day_bars(daily: pl.DataFrame, days: list[str]) -> list[go.Bar | go.Scatter]:
    r = daily["r"].to_numpy()
    extra = [[f"{net:+.2f}", count] for net, count in daily.select("net_r", "trades").iter_rows()]
    traces: list[go.Bar | go.Scatter] = [
        go.Bar(
            x=days,
            y=r,
            customdata=extra,
            marker={"color": [GAIN if value >= 0 else LOSS for value in r]},
            hovertemplate=(
                "%{x}<br>%{y:+.2f} R before charges<br>%{customdata[0]} R after<br>"
                "%{customdata[1]} trades<extra></extra>"
            ),
            showlegend=False,
        )
    ]
    for latch, name, symbol, colour in (
        ("day_stop", "day stop hit", "x", PURPLE),
        ("day_target", "day target hit", "star", TEAL),
    ):
        hit = np.flatnonzero((daily["latch"] == latch).to_numpy())
        if len(hit):
            traces.append(
                go.Scatter(
                    x=[days[k] for k in hit],
                    y=r[hit] + np.where(r[hit] >= 0, 0.45, -0.45),
                    mode="markers",
                    name=f"{name} ({len(hit)})",
                    marker={"symbol": symbol, "size": 8, "color": colour},
                    hoverinfo="skip",
                )
            )
    return traces


def _day_axis(figure: go.Figure) -> None:
    figure.update_xaxes(type="category", nticks=12, tickangle=0, showgrid=False)


def equity(daily: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """
    Running R before and after charges, with the drawdown below.

    Parameters
    ----------
    daily : frame
        One row per traded day: `date, total_r, total_net_r, drawdown_r`.
    simulated : bool
    """
    days = day_labels(daily["date"])
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.06)
    figure.add_traces(_equity_lines(daily, days), rows=1, cols=1)
    figure.add_trace(_drawdown_area(daily, days), row=2, col=1)
    figure.update_yaxes(title="running R", row=1, col=1)
    figure.update_yaxes(title="drawdown, R", row=2, col=1)
    _day_axis(figure)
    figure.update_layout(hovermode="x unified")
    return finish(figure, "Equity", simulated=simulated, subtitle="running R by trading day", height=430)


def drawdown(daily: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """R below the best running total so far, by trading day (`date, drawdown_r`)."""
    days = day_labels(daily["date"])
    figure = go.Figure(_drawdown_area(daily, days))
    figure.update_yaxes(title="R")
    _day_axis(figure)
    return finish(
        figure,
        "Drawdown",
        simulated=simulated,
        subtitle="R below the best so far, before charges",
        height=280,
    )


def daily_r(daily: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """R of each trading day; days ended by the day stop or the day target are marked (`date, r, latch`)."""
    figure = go.Figure(_day_bars(daily, day_labels(daily["date"])))
    figure.update_yaxes(title="R")
    _day_axis(figure)
    return finish(figure, "R per day", simulated=simulated, subtitle="before charges", height=340)


def overview(daily: pl.DataFrame, *, title: str, simulated: bool) -> go.Figure:
    """Equity, R per day and drawdown, one above the other."""
    days = day_labels(daily["date"])
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, row_heights=[0.5, 0.28, 0.22], vertical_spacing=0.05
    )
    figure.add_traces(_equity_lines(daily, days), rows=1, cols=1)
    figure.add_traces(_day_bars(daily, days), rows=2, cols=1)
    figure.add_trace(_drawdown_area(daily, days), row=3, col=1)
    for row, name in enumerate(("running R", "R per day", "drawdown, R"), start=1):
        figure.update_yaxes(title=name, row=row, col=1)
    _day_axis(figure)
    return finish(figure, title, simulated=simulated, height=640)


def r_distribution(trades: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """
    How the trades' results spread.

    Parameters
    ----------
    trades : frame
        `r` (P&L over the value of one R) and `own_r` (over the trade's own risk); trades without a known
        result are null and left out.
    """
    known = trades.drop_nulls(["r", "own_r"])
    if known.is_empty():
        return nothing("Result of a trade", "no trade", simulated=simulated, height=340)
    figure = go.Figure()
    for column, name, colour in (("r", "share of 1 R", BLUE), ("own_r", "of its own risk", ORANGE)):
        values = known[column].to_numpy()
        figure.add_histogram(
            x=values,
            name=name,
            xbins={"size": 0.25, "start": np.floor(values.min() * 4) / 4, "end": values.max() + 0.25},
            marker={"color": colour, "opacity": 0.62},
            hovertemplate="%{x} R: %{y} trades<extra>" + name + "</extra>",
        )
    mean = float(known["r"].mean())  # type: ignore[arg-type]
    figure.add_vline(x=mean, line={"width": 1.4, "dash": "dash", "color": GREY})
    figure.update_layout(barmode="overlay", bargap=0.06)
    figure.update_xaxes(title="R")
    figure.update_yaxes(title="trades")
    return finish(
        figure,
        "Result of a trade",
        simulated=simulated,
        subtitle=f"{known.height} trades, mean {mean:+.2f} R (dashed), before charges",
        height=340,
    )


def exit_reasons(trades: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """Why trades ended: how many, and what they made together (`exit_reason, r`)."""
    if trades.is_empty():
        return nothing("Exits", "no trade", simulated=simulated, height=300)
    table = (
        trades.group_by("exit_reason")
        .agg(pl.len().alias("count"), pl.col("r").sum().alias("total"))
        .sort("count", "exit_reason")
    )
    names = [reason_label(reason) for reason in table["exit_reason"]]
    totals = table["total"].to_numpy()
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, column_widths=[0.5, 0.5], horizontal_spacing=0.04
    )
    figure.add_bar(
        x=table["count"].to_numpy(),
        y=names,
        orientation="h",
        text=table["count"].to_list(),
        marker={"color": GREY},
        hovertemplate="%{y}: %{x} trades<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_bar(
        x=totals,
        y=names,
        orientation="h",
        text=[f"{value:+.1f}" for value in totals],
        marker={"color": [GAIN if value >= 0 else LOSS for value in totals]},
        hovertemplate="%{y}: %{x:+.2f} R together<extra></extra>",
        row=1,
        col=2,
    )
    figure.update_xaxes(title="trades", row=1, col=1)
    figure.update_xaxes(title="R together", row=1, col=2)
    figure.update_traces(textposition="auto", cliponaxis=False)
    figure.update_layout(showlegend=False)
    return finish(
        figure,
        "Why trades ended",
        simulated=simulated,
        subtitle="number, and R before charges",
        height=300,
    )


def charges(by_component: Mapping[str, Decimal], *, simulated: bool) -> go.Figure:
    """Charges by component, rupees; `rounding` is contained in the others and not drawn."""
    parts = [(CHARGE_LABELS[name], value) for name, value in by_component.items() if name in CHARGE_LABELS]
    parts.sort(key=lambda part: part[1])
    total = sum((value for _, value in parts), Decimal(0))
    if not total:
        return nothing("Charges", "no charges", simulated=simulated, height=300)
    figure = go.Figure(
        go.Bar(
            x=[float(value) for _, value in parts],
            y=[name for name, _ in parts],
            orientation="h",
            text=[f"{rupees(value)}  ({100 * value / total:.0f} %)" for _, value in parts],
            textposition="outside",
            cliponaxis=False,
            marker={"color": PURPLE},
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(showticklabels=False, range=[0, 1.45 * max(float(value) for _, value in parts)])
    return finish(figure, "Charges", simulated=simulated, subtitle=f"{rupees(total)} in all", height=300)


def two_runs(
    daily: tuple[pl.DataFrame, pl.DataFrame],
    funnel: tuple[pl.DataFrame, pl.DataFrame],
    names: tuple[str, str],
    *,
    simulated: bool,
) -> go.Figure:
    """
    Two runs side by side: running R after charges, and how far their candidates came.

    Parameters
    ----------
    daily : two frames
        `date, total_net_r`; the days need not be the same.
    funnel : two frames
        `rule, reached, removed`; rules of either run are shown.
    names : two str
    """
    figure = make_subplots(rows=1, cols=2, column_widths=[0.58, 0.42], horizontal_spacing=0.16)
    days = sorted({date for frame in daily for date in frame["date"]})
    rules: list[str] = []
    for frame in funnel:
        at = 0
        for rule in frame.filter(pl.col("removed").is_not_null())["rule"]:
            if rule == "contract_days_examined":
                continue
            if rule in rules:
                at = rules.index(rule) + 1
            else:  # a rule of one run only stands where that run met it
                rules.insert(at, rule)
                at += 1
    for frame, levels, name, colour in zip(daily, funnel, names, (BLUE, ORANGE), strict=True):
        figure.add_scatter(
            x=day_labels(frame["date"]),
            y=frame["total_net_r"].to_numpy(),
            mode="lines",
            name=name,
            legendgroup=name,
            line={"color": colour, "width": 2.4},
            hovertemplate="%{x}<br>%{y:+.2f} R<extra>%{fullData.name}</extra>",
            row=1,
            col=1,
        )
        reached = dict(levels.select("rule", "reached").iter_rows())
        figure.add_bar(
            x=[reached.get(rule) for rule in rules],
            y=[level_label(rule) for rule in rules],
            orientation="h",
            name=name,
            legendgroup=name,
            showlegend=False,
            marker={"color": colour},
            text=[f"{reached[rule]:,}" if rule in reached else "" for rule in rules],
            textposition="auto",
            hovertemplate="%{y}: %{x}<extra>%{fullData.name}</extra>",
            row=1,
            col=2,
        )
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=day_labels(days),
        nticks=8,
        showgrid=False,
        row=1,
        col=1,
    )
    figure.update_yaxes(title="running R after charges", row=1, col=1)
    figure.update_xaxes(type="log", title="candidates, log scale", row=1, col=2)
    figure.update_yaxes(autorange="reversed", row=1, col=2)
    figure.update_layout(hovermode="closest")
    subtitle = " against ".join(
        f"{name} {frame['total_net_r'][-1]:+.2f} R" if frame.height else f"{name} no day"
        for frame, name in zip(daily, names, strict=True)
    )
    return finish(figure, "Two runs", simulated=simulated, subtitle=subtitle, height=430)
