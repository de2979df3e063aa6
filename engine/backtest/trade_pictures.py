"""Charts of single trades for the report: which trades to draw, and their bars and swings out of the lake."""

import datetime as dt
from collections import defaultdict

import numpy as np
import plotly.graph_objects as go
import polars as pl

from engine.backtest.result import Result
from engine.desk import plots
from engine.errors import DataError
from engine.history.day import DayBars
from engine.history.lake import Lake
from engine.history.vwap import session_vwap
from engine.market.clock import minute_start
from engine.market.prices import TICKS_PER_RUPEE
from engine.params import SwingBreakParams
from engine.strategy.swing import HIGH, detect


def choose_trades(trades: pl.DataFrame, count: int) -> list[int]:
    """
    Rows of the trades worth a chart: the best third, the worst third, and others spread over the range.

    Parameters
    ----------
    trades : frame
        `r`, null where a trade is invalid; such a trade is drawn before all others.
    count : int
        How many at most.

    Returns
    -------
    Row numbers, ascending.
    """
    if trades.height <= count:
        return list(range(trades.height))
    r = trades["r"].to_list()
    invalid = [k for k, value in enumerate(r) if value is None]
    ranked = sorted((k for k, value in enumerate(r) if value is not None), key=lambda k: r[k])
    room = max(count - len(invalid), 0)
    third = room // 3
    chosen = [*invalid[:count], *ranked[:third], *ranked[len(ranked) - third :]]
    rest = sorted(set(range(trades.height)) - set(chosen))
    spread = count - len(chosen)
    if spread and rest:
        chosen += [rest[k] for k in np.linspace(0, len(rest) - 1, spread).astype(int)]
    return sorted(set(chosen))


def contract_bars(day: DayBars, symbol: str) -> pl.DataFrame:
    """
    One contract's bars for a picture: `ts` (IST)`, open, high, low, close, vwap` (rupees, float; the
    session VWAP at the bar's close)`, volume` (units).

    Raises
    ------
    DataError
        If the day does not hold the contract.
    """
    place = _place(day, symbol)
    minutes = np.flatnonzero(day.valid[place])
    one = slice(place, place + 1)
    numerator, denominator = session_vwap(
        day.high[one], day.low[one], day.close[one], day.volume[one], day.valid[one]
    )
    return pl.DataFrame(
        {
            "ts": _starts(day, minutes),
            **{
                name: getattr(day, name)[place, minutes] / TICKS_PER_RUPEE
                for name in ("open", "high", "low", "close")
            },
            "vwap": (numerator[0, minutes] / denominator[0, minutes] / TICKS_PER_RUPEE).round(2),
            "volume": day.volume[place, minutes],
        }
    )


def contract_swings(day: DayBars, symbol: str, params: SwingBreakParams) -> pl.DataFrame:
    """
    Every swing event of one contract's day, with the columns of `plots.SWING_COLUMNS`.

    Raises
    ------
    DataError
        If the day does not hold the contract.
    """
    place = _place(day, symbol)
    minutes = np.flatnonzero(day.valid[place])
    events = detect(
        day.high[place, minutes],
        day.low[place, minutes],
        day.close[place, minutes],
        variant=params.swing_variant,
        same_bar_rule=params.same_bar_rule,
    )
    return pl.DataFrame(
        {
            "kind": pl.Series(
                ["high" if kind == HIGH else "low" for kind in events["kind"]], dtype=pl.String
            ),
            "ts": _starts(day, minutes[events["index"]]),
            "price": events["price"] / TICKS_PER_RUPEE,
            "confirmed_at": _starts(day, minutes[events["conf"]] + 1),
            "update": events["update"],
        }
    )


def trade_figures(result: Result, lake: Lake, count: int) -> dict[int, go.Figure]:
    """
    Charts of at most `count` trades, by row of the trade table.

    Raises
    ------
    DataError
        If a day of the run can no longer be read from the lake.
    """
    entries = {entry.date: entry for entry in result.entries}
    wanted: dict[dt.date, list[int]] = defaultdict(list)
    for k in choose_trades(result.trades, count):
        wanted[result.trades["date"][k]].append(k)
    figures = {}
    for date, rows in wanted.items():
        day = lake.load(entries[date], strikes={result.trades["strike"][k] for k in rows})
        for k in rows:
            row = result.trades.row(k, named=True)
            figures[k] = plots.trade(
                contract_bars(day, row["symbol"]),
                row,
                swings=contract_swings(day, row["symbol"], result.params),
                simulated=day.simulated,
            )
    return figures


def _place(day: DayBars, symbol: str) -> int:
    if symbol not in day.symbols:
        raise DataError(
            f"{symbol} is not among the {day.contracts} contracts of {day.underlying} {day.date}; "
            "give the lake the run was made from"
        )
    return day.symbols.index(symbol)


def _starts(day: DayBars, minutes: np.ndarray) -> pl.Series:
    """Starts of minutes of a day, aware IST; the minute after the last is the close."""
    assert day.date is not None
    first = int(minute_start(day.date, 0).timestamp() * 1000)
    moments = pl.Series(first + minutes.astype(np.int64) * 60_000).cast(pl.Datetime("ms", "UTC"))
    return moments.dt.convert_time_zone("Asia/Kolkata")
