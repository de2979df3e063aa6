"""A damaged lake: what is broken is named with one remedy, and the remedy works."""

import polars as pl
import pytest
from test_lake import MONDAY, TUESDAY, bars, spot, write

from engine.errors import DataError
from engine.history.lake import Lake


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path)


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"schema": 9}', "{}"])
def test_an_unreadable_manifest_is_listed_apart_and_mended_by_the_same_bars(lake, text):
    monday, tuesday = write(lake), write(lake, day=TUESDAY)
    manifest = lake.root / "lake/manifest/nse-NIFTY-2025-01-06.json"
    manifest.write_text(text)
    days, (problem,) = lake.listing()
    assert days == [tuesday]
    assert lake.check() == [problem]
    assert str(problem).count("import the day again") == 1
    assert str(problem).count(str(manifest)) == 1
    with pytest.raises(DataError, match="import the day again"):
        lake.select("NIFTY", MONDAY, TUESDAY)
    with pytest.raises(DataError, match="1 days with an unreadable manifest"):
        lake.select("BANKNIFTY", MONDAY, TUESDAY)
    assert write(lake).content == monday.content
    assert lake.check() == []


def test_bars_damaged_inside_a_file_that_opens_are_named(lake):
    day = write(lake, pl.concat([bars(), spot(base=471_402)]))
    content = bytearray(day.path.read_bytes())
    middle = slice(200, len(content) // 2)
    content[middle] = bytes(byte ^ 0x5A for byte in content[middle])
    day.path.write_bytes(content)
    for read in (
        lake.load,
        lake.spot,
        lake.frame,
        lambda day: lake.load(day, strikes=lambda _, listed: listed),
    ):
        with pytest.raises(DataError, match="import the day again"):
            read(day)
