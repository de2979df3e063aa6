"""Frames as HTML tables for people: numbers to the right, no type names, no quotes, clock times without seconds."""

import datetime as dt
import html
from decimal import Decimal

import polars as pl

ROWS_SHOWN = 60

_RIGHT = "text-align:right; white-space:nowrap"  # in each cell: a page drops the style sheets of others
_LEFT = "text-align:left; white-space:nowrap"


def cell(value: object) -> str:
    """
    One value as HTML text.

    Fractions have two digits, large counts are grouped, a missing value is empty, moments are told to the minute.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | Decimal):
        return f"{value:,.2f}"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 100_000 else str(value)
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return html.escape(str(value))


def as_html(frame: pl.DataFrame) -> str:
    """A frame as an HTML table; of a long one the first rows and how many there are."""
    styles = [_RIGHT if kind.is_numeric() else _LEFT for kind in frame.dtypes]
    heads = "".join(
        f"<th style='{style}'>{html.escape(name.replace('_', ' '))}</th>"
        for name, style in zip(frame.columns, styles, strict=True)
    )
    lines = []
    for row in frame.head(ROWS_SHOWN).iter_rows():
        cells = (f"<td style='{style}'>{cell(value)}</td>" for value, style in zip(row, styles, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    more = f"<p>first {ROWS_SHOWN} of {frame.height:,} rows</p>" if frame.height > ROWS_SHOWN else ""
    return f"<table><tr>{heads}</tr>{''.join(lines)}</table>{more}"


def readable_tables() -> None:
    """Show every frame of this notebook with `as_html`; outside a notebook nothing changes."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call]
    if shell is not None:
        assert shell.display_formatter is not None
        shell.display_formatter.formatters["text/html"].for_type(pl.DataFrame, as_html)
