"""When a broker closes intraday positions by itself: a dated fact of the broker, not of the exchange."""

import datetime as dt

from engine.market.facts import Fact, Timeline, fact_of, plain_date, table_rows

_KITE_MIS: Timeline[dt.time] = Timeline(
    "the square-off of MIS positions at Kite",
    (
        (dt.date.fromisoformat(row["from"]), fact_of(row, dt.time.fromisoformat(row["time"])))
        for row in table_rows("square_off.csv")
        if (row["broker"], row["product"]) == ("kite", "MIS")
    ),
)


def mis_square_off(date: dt.date) -> Fact[dt.time]:
    """
    The time from which Kite closes MIS positions in index options, IST.

    Raises
    ------
    MarketFactError
        Before the table's first row.
    """
    return _KITE_MIS.at(plain_date(date))
