import csv
from datetime import date
from importlib.resources import files

import pytest

from engine.errors import MarketFactError
from engine.market.facts import Fact, Timeline, fact_of, table_rows

TABLES = sorted(
    path.name for path in (files("engine.market") / "tables").iterdir() if path.name.endswith(".csv")
)


@pytest.mark.parametrize("table", TABLES)
def test_every_row_has_a_source_and_a_certainty(table):
    rows = table_rows(table)
    assert rows
    for row in rows:
        assert None not in row, row
        assert fact_of(row, None).source.strip()


@pytest.mark.parametrize("table", TABLES)
def test_no_row_stands_twice(table):
    rows = [tuple(list(row.values())[:3]) for row in table_rows(table)]
    assert len(rows) == len(set(rows))


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_plain_csv(table):
    text = (files("engine.market") / "tables" / table).read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len({len(row) for row in csv.reader(lines)}) == 1


def test_a_value_holds_from_its_date_until_the_next():
    line = Timeline("lot", [(date(2024, 1, 1), Fact(2, "b", "C")), (date(2023, 1, 1), Fact(1, "a", "U"))])
    assert [line.at(date(*day)).value for day in ((2023, 1, 1), (2023, 12, 31), (2024, 1, 1))] == [1, 1, 2]
    assert line.latest().value == 2
    with pytest.raises(
        MarketFactError, match="lot is not known on 2022-12-31; the table begins at 2023-01-01"
    ):
        line.at(date(2022, 12, 31))


def test_a_row_without_certainty_is_refused():
    with pytest.raises(MarketFactError, match="source and a certainty"):
        fact_of({"source": "x", "certainty": "maybe"}, 1)
