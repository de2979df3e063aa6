"""Tables for people."""

import datetime as dt
from decimal import Decimal

import polars as pl

from engine.desk.tables import as_html, cell


def test_values_read_as_people_write_them():
    values = [None, True, 0.1234, Decimal("1234.50"), 24500, 1234567, dt.datetime(2026, 10, 30, 9, 15), "a<b"]
    assert [cell(v) for v in values] == [
        "", "yes", "0.12", "1,234.50", "24500", "1,234,567", "2026-10-30 09:15", "a&lt;b",
    ]  # fmt: skip


def test_long_frame_tells_how_many_rows_it_has():
    assert "first 60 of 1,000 rows" in as_html(pl.DataFrame({"n": range(1000)}))


def test_texts_stand_left_and_numbers_right():
    html = as_html(pl.DataFrame({"name": ["x"], "lots": [3]}))
    assert "<td style='text-align:left; white-space:nowrap'>x</td>" in html
    assert "<td style='text-align:right; white-space:nowrap'>3</td>" in html
