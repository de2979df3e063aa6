"""The common look of every figure: colours, template, rupees, and the label on simulated prices.

Ink, paper and grid stand in the template alone, so that a page may show the same figure dark or light; the
colours of the data are of middle brightness and can be told apart by colour-blind readers (blue against
orange, never red against green).
"""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl

SIMULATED_LABEL = "SIMULATED PRICES"

BLUE = "#2f7fc1"
ORANGE = "#e0752d"
TEAL = "#1b9e8a"
PURPLE = "#9a6bb5"
YELLOW = "#d9a400"
GREY = "#8a94a3"
PALE = "rgba(138,148,163,0.28)"
GAIN = BLUE
LOSS = ORANGE
DIVERGING = [[0.0, "#c9580c"], [0.25, "#efa670"], [0.5, "#eef0f3"], [0.75, "#84b5dd"], [1.0, "#1f66a6"]]
"""From loss (orange) over nothing (pale) to gain (blue)."""

FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def template(*, dark: bool = False) -> go.layout.Template:
    """The template of all figures: dark on light, or light on dark for a page at night."""
    ink, faint, grid = (
        ("#e6eaf0", "#9aa6b6", "rgba(255,255,255,0.09)")
        if dark
        else ("#1d2733", "#5b6776", "rgba(29,39,51,0.09)")
    )
    axis = {
        "gridcolor": grid,
        "linecolor": grid,
        "zerolinecolor": faint,
        "zerolinewidth": 1,
        "tickfont": {"color": faint, "size": 11},
        "title": {"font": {"color": faint, "size": 12}, "standoff": 8},
        "automargin": True,
        "ticks": "",
    }
    paper = "#161c25" if dark else "#ffffff"
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": ink},
            "title": {
                "font": {"size": 15, "color": ink, "weight": 600},
                "x": 0.0,
                "xref": "container",
                "xanchor": "left",
                "pad": {"l": 14},
                "y": 0.98,
                "yanchor": "top",
                "yref": "container",
                "subtitle": {"font": {"size": 12, "color": faint}},
            },
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "colorway": [BLUE, ORANGE, TEAL, PURPLE, YELLOW, GREY],
            "margin": {"l": 56, "r": 22, "t": 66, "b": 44},
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": "#2a3340" if dark else "#ffffff",
                "bordercolor": grid,
                "font": {"family": FONT, "size": 12, "color": ink},
                "align": "left",
            },
            "legend": {
                "orientation": "h",
                "x": 1.0,
                "xanchor": "right",
                "y": 1.01,
                "yanchor": "bottom",
                "font": {"size": 11, "color": faint},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hovermode": "closest",
            "annotationdefaults": {"font": {"color": ink, "size": 12}},
            "shapedefaults": {"line": {"color": faint}},
        }
    )


_TEMPLATE = template()


def finish(
    figure: go.Figure, title: str, *, simulated: bool, subtitle: str = "", height: int | None = None
) -> go.Figure:
    """
    Give a figure the common look, its title and, for simulated prices, the label.

    Every figure of this package ends here. The label is drawn in the picture itself, large across the plot
    and small in a corner, so that it survives a screenshot.

    Parameters
    ----------
    figure : plotly Figure
        Changed in place and returned.
    title, subtitle : str
    simulated : bool
        True when any price behind the figure was made by a model.
    height : int, optional
        Pixels.
    """
    heading: dict[str, Any] = {"text": title}
    if subtitle:
        heading["subtitle"] = {"text": subtitle}
    figure.update_layout(template=_TEMPLATE, title=heading, height=height)
    if simulated:
        figure.add_annotation(
            text=f"<b>{SIMULATED_LABEL}</b>",
            xref="paper",
            yref="paper",
            x=0.5,
            y=0.5,
            xanchor="center",
            yanchor="middle",
            showarrow=False,
            textangle=-14,
            opacity=0.17,
            font={"size": 40, "color": "#dc3c34"},
            name="simulated_watermark",
        )
        figure.add_annotation(
            text=f"<b>{SIMULATED_LABEL}</b>",
            xref="paper",
            yref="paper",
            x=1.0,
            y=1.0,
            xanchor="right",
            yanchor="bottom",
            yshift=26,
            showarrow=False,
            bgcolor="#b3261e",
            borderpad=3,
            font={"size": 10, "color": "#ffffff"},
            name="simulated_badge",
        )
    return figure


def nothing(title: str, why: str, *, simulated: bool, height: int | None = None) -> go.Figure:
    """A figure that says why there is nothing to draw."""
    figure = go.Figure()
    figure.add_annotation(
        text=why, xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False, font={"size": 13}
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return finish(figure, title, simulated=simulated, height=height)


def grouped(value: Decimal | float, *, decimals: int = 0, sign: bool = False) -> str:
    """
    A number the Indian way: 123456 is "1,23,456".

    Parameters
    ----------
    value : Decimal or float
        A Decimal is rounded exactly, half to even.
    decimals : int
        Digits after the point.
    sign : bool
        Write a plus before gains too.
    """
    amount = round(Decimal(str(value)), decimals)
    whole, _, part = f"{abs(amount):.{decimals}f}".partition(".")
    head, groups = whole[:-3], [whole[-3:]]
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    mark = "-" if amount < 0 else "+" if sign and amount > 0 else ""
    return f"{mark}{','.join(groups)}{'.' + part if part else ''}"


def rupees(value: Decimal | float, *, decimals: int = 0, sign: bool = False) -> str:
    """Money the Indian way: -123456 is "-Rs 1,23,456"; arguments as `grouped`."""
    text = grouped(value, decimals=decimals, sign=sign)
    return f"{text[0]}Rs {text[1:]}" if text[0] in "+-" else f"Rs {text}"


def day_labels(dates: Sequence[dt.date] | pl.Series) -> list[str]:
    """Trading days as labels of a category axis: no holes for nights, weekends and holidays."""
    return [f"{date:%d %b %y}" for date in dates]


def wall_clock(times: pl.Series) -> list[dt.datetime]:
    """Aware IST moments as plotly draws them: the naive time on an Indian wall clock."""
    return times.dt.replace_time_zone(None).cast(pl.Datetime("ms")).to_list()


def floats(values: pl.Series) -> list[float | None]:
    """Exact decimals or numbers as floats, for drawing only."""
    return values.cast(pl.Float64).to_list()
