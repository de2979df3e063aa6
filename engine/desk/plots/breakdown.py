"""Figures that tell where results come from: hour, premium, strike, and which rule removed how many.

A cell of a map says both its mean and how many trades stand behind it; colour saturates at cells that hold
enough trades to mean something, so that one lucky trade does not paint the map.
"""

import datetime as dt
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from engine.desk.plots.labels import level_label
from engine.desk.plots.look import BLUE, DIVERGING, PALE, finish, nothing

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MEANINGFUL = 3


def _map(
    rows: Sequence[str], columns: Sequence[str], row: npt.NDArray, column: npt.NDArray, r: npt.NDArray
) -> go.Heatmap:
    """Mean R and count over two classifications (places in `rows` and `columns`) of the trades."""
    shape = (len(rows), len(columns))
    count = np.zeros(shape, np.int64)
    total = np.zeros(shape)
    np.add.at(count, (row, column), 1)
    np.add.at(total, (row, column), r)
    with np.errstate(invalid="ignore"):
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    solid = np.abs(mean[count >= _MEANINGFUL])
    reach = max(float(solid.max()) if solid.size else 0.0, 0.5)
    text = [
        [f"{mean[i, j]:+.2f}<br>n={count[i, j]}" if count[i, j] else "" for j in range(shape[1])]
        for i in range(shape[0])
    ]
    return go.Heatmap(
        z=mean,
        x=list(columns),
        y=list(rows),
        text=text,
        customdata=np.dstack((count, total)),
        texttemplate="%{text}",
        textfont={"size": 11},
        colorscale=DIVERGING,
        zmin=-reach,
        zmax=reach,
        xgap=2,
        ygap=2,
        hoverongaps=False,
        colorbar={"title": {"text": "mean R"}, "thickness": 10, "len": 0.9, "outlinewidth": 0},
        hovertemplate=(
            "%{y}, %{x}<br>mean %{z:+.2f} R over %{customdata[0]} trades<br>"
            "together %{customdata[1]:+.2f} R<extra></extra>"
        ),
    )


def _finish_map(figure: go.Figure, title: str, subtitle: str, height: int, *, simulated: bool) -> go.Figure:
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False)
    return finish(figure, title, simulated=simulated, subtitle=subtitle, height=height)


def entry_time_map(trades: pl.DataFrame, *, simulated: bool, bucket_minutes: int = 30) -> go.Figure:
    """
    Mean R and number of trades by weekday and time of entry.

    Parameters
    ----------
    trades : frame
        `entry_time` (IST), `r` (null results are left out).
    bucket_minutes : int
        Width of a column, from the full hour on.
    """
    title = "When trades were entered"
    known = trades.drop_nulls("r")
    if known.is_empty():
        return nothing(title, "no trade", simulated=simulated, height=330)
    clock = known["entry_time"].dt.hour().cast(pl.Int64) * 60 + known["entry_time"].dt.minute().cast(pl.Int64)
    slot = clock.to_numpy() // bucket_minutes
    first, last = int(slot.min()), int(slot.max())
    starts = [dt.time(*divmod(k * bucket_minutes, 60)) for k in range(first, last + 1)]
    weekday = known["entry_time"].dt.weekday().to_numpy() - 1
    days = sorted({*range(5), *weekday.tolist()})
    figure = go.Figure(
        _map(
            [WEEKDAYS[k] for k in days],
            [f"{start:%H:%M}" for start in starts],
            np.searchsorted(days, weekday),
            slot - first,
            known["r"].to_numpy(),
        )
    )
    figure.update_yaxes(autorange="reversed")
    return _finish_map(
        figure,
        title,
        f"mean R before charges and trades, {bucket_minutes} minutes from",
        330,
        simulated=simulated,
    )


def premium_map(trades: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """
    Mean R by the price sold at and by the distance of the stop.

    Parameters
    ----------
    trades : frame
        `entry_price, stop` (rupees), `r`.
    """
    title = "Premium sold and stop distance"
    known = trades.drop_nulls("r")
    if known.is_empty():
        return nothing(title, "no trade", simulated=simulated, height=360)
    price = known["entry_price"].cast(pl.Float64).to_numpy()
    distance = 100 * (known["stop"].cast(pl.Float64).to_numpy() - price) / price
    step = max(round((price.max() - price.min()) / 6 / 25) * 25, 25)
    column = (price // step).astype(np.int64)
    row = np.clip(distance // 2, 0, 10).astype(np.int64)
    columns = [f"{k * step}-{(k + 1) * step}" for k in range(column.min(), column.max() + 1)]
    rows = [f"{2 * k}-{2 * k + 2} %" for k in range(row.min(), row.max() + 1)]
    figure = go.Figure(_map(rows, columns, row - row.min(), column - column.min(), known["r"].to_numpy()))
    figure.update_xaxes(title="premium at entry, Rs")
    figure.update_yaxes(title="stop above entry")
    return _finish_map(figure, title, "mean R before charges, and trades", 360, simulated=simulated)


def strike_map(trades: pl.DataFrame, *, simulated: bool, round_strike: int = 100) -> go.Figure:
    """
    Mean R by kind of strike and days to expiry.

    Parameters
    ----------
    trades : frame
        `strike` (rupees)`, option_type, date, expiry, r`.
    round_strike : int
        A strike that is a multiple of this counts as round.
    """
    title = "Strike and days to expiry"
    known = trades.drop_nulls("r")
    if known.is_empty():
        return nothing(title, "no trade", simulated=simulated, height=360)
    rows = ["CE round", "CE other", "PE round", "PE other"]
    is_put = (known["option_type"] == "PE").to_numpy()
    other = known["strike"].to_numpy() % round_strike != 0
    to_expiry = (known["expiry"] - known["date"]).dt.total_days().to_numpy()
    days = sorted(set(to_expiry.tolist()))
    figure = go.Figure(
        _map(
            rows,
            [str(k) for k in days],
            2 * is_put + other,
            np.searchsorted(days, to_expiry),
            known["r"].to_numpy(),
        )
    )
    figure.update_xaxes(title="calendar days to expiry")
    figure.update_yaxes(autorange="reversed")
    return _finish_map(
        figure, title, f"mean R before charges, and trades; round = multiple of {round_strike}", 360,
        simulated=simulated,
    )  # fmt: skip


def funnel(levels: pl.DataFrame, *, simulated: bool) -> go.Figure:
    """
    From swing lows to fills: how many each rule let through and how many it removed.

    Parameters
    ----------
    levels : frame
        `rule, reached, removed` as in a result; rows that count contract-days go to the subtitle.
    """
    counts = dict(levels.select("rule", "reached").iter_rows())
    swings = levels.filter(~pl.col("rule").is_in(["contract_days", "contract_days_examined"]))
    names = [level_label(rule) for rule in swings["rule"]]
    reached = swings["reached"].to_list()
    removed = [value or 0 for value in swings["removed"]]
    figure = go.Figure()
    figure.add_bar(
        x=reached,
        y=names,
        orientation="h",
        name="left",
        marker={"color": BLUE},
        hovertemplate="%{y}: %{x:,} left<extra></extra>",
    )
    figure.add_bar(
        x=removed,
        y=names,
        orientation="h",
        name="removed by this rule",
        marker={"color": PALE},
        text=[
            f" {left:,}" + (f"  (-{gone:,})" if gone else "")
            for left, gone in zip(reached, removed, strict=True)
        ],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,} removed<extra></extra>",
    )
    figure.update_layout(barmode="stack", bargap=0.28)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(range=[0, 1.34 * max([1, *reached])])
    watched = counts.get("contract_days")
    subtitle = (
        ""
        if watched is None
        else f"{watched:,} contract-days watched, {counts.get('contract_days_examined', 0):,} could hold a candidate"
    )
    return finish(
        figure,
        "Which rule removed how many",
        simulated=simulated,
        subtitle=subtitle,
        height=150 + 30 * len(names),
    )
