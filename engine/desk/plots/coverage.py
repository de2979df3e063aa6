"""What the lake holds, day by day, on the market's calendar."""

import calendar as months
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from engine.desk.plots.look import BLUE, PALE, PURPLE, TEAL, YELLOW, finish, nothing
from engine.market.calendar import trading_days

_STATES = ("closed", "no data", "simulated", "close only", "with gaps", "complete")
_STATE_COLOURS = ("rgba(0,0,0,0)", PALE, YELLOW, PURPLE, TEAL, BLUE)


def lake_coverage(days: pl.DataFrame, *, underlying: str, gaps_from: int = 30) -> go.Figure:
    """
    Which trading days the lake holds: one row per month, one cell per day.

    Parameters
    ----------
    days : frame
        `date, source, simulated, quality, missing` (contract-minutes), one row per stored day. Where a day is held
        both real and simulated, the real one is shown.
    gaps_from : int
        From how many missing contract-minutes on a day counts as one with gaps.
    """
    title = f"{underlying}: days held"
    if days.is_empty():
        return nothing(title, "the lake holds no day", simulated=False)
    first: dt.date = days["date"].min()  # type: ignore[assignment]
    last: dt.date = days["date"].max()  # type: ignore[assignment]
    start = first.replace(day=1)
    end = last.replace(day=months.monthrange(last.year, last.month)[1])
    state: dict[dt.date, tuple[int, str]] = dict.fromkeys(trading_days(first, last), (1, "no data"))
    for row in days.sort("simulated", descending=True).iter_rows(named=True):
        state[row["date"]] = _state_of(row, gaps_from)
    rows = [
        (start.year + (start.month - 1 + k) // 12, (start.month - 1 + k) % 12 + 1)
        for k in range((end.year - start.year) * 12 + end.month - start.month + 1)
    ]
    z = np.zeros((len(rows), 31))
    text = np.full((len(rows), 31), "closed", dtype=object)
    for date, (level, words) in state.items():
        place = rows.index((date.year, date.month)), date.day - 1
        z[place] = level
        text[place] = f"{date:%a %d %b %Y}: {words}"
    figure = go.Figure(
        go.Heatmap(
            z=z,
            x=list(range(1, 32)),
            y=[f"{dt.date(year, month, 1):%b %Y}" for year, month in rows],
            text=text.tolist(),
            zmin=0,
            zmax=len(_STATES) - 1,
            colorscale=_steps(_STATE_COLOURS),
            showscale=False,
            xgap=2,
            ygap=2,
            hovertemplate="%{text}<extra></extra>",
        )
    )
    held = [level for level, _ in state.values()]
    for level in range(1, len(_STATES)):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=f"{_STATES[level]} ({held.count(level)})",
            marker={"symbol": "square", "size": 11, "color": _STATE_COLOURS[level]},
        )  # fmt: skip
    figure.update_xaxes(dtick=1, showgrid=False, range=[0.5, 31.5])
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    return finish(
        figure,
        title,
        simulated=bool(days["simulated"].all()),
        subtitle=f"{first:%d %b %Y} to {last:%d %b %Y}",
        height=130 + 26 * len(rows),
    )


def _state_of(row: Mapping[str, Any], gap_from: int) -> tuple[int, str]:
    if row["simulated"]:
        return 2, "simulated prices"
    if row["quality"] == "close_only":
        return 3, f"close only, from {row['source']}"
    if row["missing"] >= gap_from:
        return 4, f"{row['missing']:,} contract-minutes missing, from {row['source']}"
    return 5, f"complete, from {row['source']}"


def _steps(colours: Sequence[str]) -> list[list[Any]]:
    """A colour scale of flat steps whose middles lie at k / (n - 1)."""
    width = 1 / (len(colours) - 1)
    edges = [0.0, *((k + 0.5) * width for k in range(len(colours) - 1)), 1.0]
    return [[edge, colour] for k, colour in enumerate(colours) for edge in (edges[k], edges[k + 1])]
