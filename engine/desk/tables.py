"""Frames as HTML tables for people: numbers to the right, no type names, no quotes, clock times without seconds."""

import datetime as dt
import html
from decimal import Decimal

import polars as pl

ROWS_SHOWN = 60

_STYLE = """<style>
.desk-table { border-collapse: collapse; font-size: 12px; line-height: 1.5; }
.desk-table th, .desk-table td { padding: 2px 12px; text-align: right; white-space: nowrap; }
.desk-table th.text, .desk-table td.text { text-align: left; }
.desk-table tr { border-bottom: 1px solid #8a94a333; }
</style>"""


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
    kinds = ["" if kind.is_numeric() else "text" for kind in frame.dtypes]
    heads = "".join(
        f"<th class='{kind}'>{html.escape(name.replace('_', ' '))}</th>"
        for name, kind in zip(frame.columns, kinds, strict=True)
    )
    lines = []
    for row in frame.head(ROWS_SHOWN).iter_rows():
        cells = (f"<td class='{kind}'>{cell(value)}</td>" for value, kind in zip(row, kinds, strict=True))
        lines.append(f"<tr>{''.join(cells)}</tr>")
    more = f"<p>first {ROWS_SHOWN} of {frame.height:,} rows</p>" if frame.height > ROWS_SHOWN else ""
    return f"{_STYLE}<table class='desk-table'><tr>{heads}</tr>{''.join(lines)}</table>{more}"


def readable_tables() -> None:
    """Show every frame of this notebook with `as_html`; outside a notebook nothing changes."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()  # type: ignore[no-untyped-call]
    if shell is not None:
        assert shell.display_formatter is not None
        shell.display_formatter.formatters["text/html"].for_type(pl.DataFrame, as_html)
