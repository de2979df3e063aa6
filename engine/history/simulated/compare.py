"""Measures the simulated market against real files: the numbers of docs/simulated_market.md.

Beside the model, not part of it: run `python -m engine.history.simulated.compare FOLDER` with a folder that
holds real market data, and it prints one table, real beside simulated, measured by the same functions on
days alike in date and distance to expiry. Only statistics leave it, never a price of the files.
"""

import datetime as dt
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.history.simulated.day import DEFAULT_SEED, simulate_day
from engine.history.simulated.measures import (
    AT_THE_MONEY,
    FULL_SESSION,
    Statistics,
    bar_statistics,
    close_statistics,
    index_statistics,
    quote_statistics,
    volume_statistics,
)
from engine.history.simulated.options import days_to_expiry
from engine.market.calendar import nearest_expiry, session_minutes, trading_days
from engine.market.contracts import strike_step
from engine.market.prices import TICKS_PER_RUPEE

NIFTY_INDEX = "nifty_5m_2023_2025.parquet"
NIFTY_CLOSES = "nifty_atm_closes_1m_2024-12_2025-06.parquet"
BANKNIFTY_DAY = "banknifty_1m_20221230.parquet"
SNAPSHOTS = "nse_chain_snapshots_20250829.parquet"
SNAPSHOT_DAY, SNAPSHOT_EXPIRY = dt.date(2025, 8, 29), dt.date(2025, 9, 2)
NEAR_MONEY = 3
"""Strikes within this distance count for the time at which volume trades."""


def simulated_days(
    underlying: str, days: Sequence[dt.date], seed: int, strikes: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """
    Option rows and index rows of several simulated days, in rupees, ready for the functions of `measures`.

    Parameters
    ----------
    strikes : int
        Strikes on each side.
    """
    options, index = [], []
    for day in days:
        rows = simulate_day(underlying, day, seed=seed, strikes_each_side=strikes).with_columns(
            pl.col("open", "high", "low", "close", "bid", "ask") / TICKS_PER_RUPEE, date=pl.lit(day)
        )
        spot = rows.filter(pl.col("option_type") == "SPOT")
        index.append(spot)
        left = days_to_expiry(day, nearest_expiry(underlying, day))
        contracts = rows.filter(pl.col("option_type") != "SPOT")
        options.append(
            _with_distance(contracts, spot, strike_step(underlying, day)).with_columns(days_left=left)
        )
    order = ["date", "symbol", "minute"]
    return pl.concat(options).sort(order).with_columns(lots=pl.col("volume")), pl.concat(index).sort(order)


def _with_distance(options: pl.DataFrame, spot: pl.DataFrame, step: int) -> pl.DataFrame:
    sign = pl.when(pl.col("option_type") == "CE").then(1).otherwise(-1)
    return options.join(spot.select("minute", at="close"), on="minute").with_columns(
        distance=((pl.col("strike").cast(pl.Float64) - pl.col("at")) / step).round() * sign
    )


def _full_sessions(
    underlying: str, start: dt.date, end: dt.date, days_left: int | None = None
) -> list[dt.date]:
    """Full sessions of a range, or those of them with so many trading days to the nearest expiry."""
    return [
        day
        for day in trading_days(start, end)
        if session_minutes(day) == FULL_SESSION
        and (days_left is None or days_to_expiry(day, nearest_expiry(underlying, day)) == days_left)
    ]


def _minute(column: str) -> pl.Expr:
    """Minute of the session of a naive IST time."""
    time = pl.col(column).dt
    return time.hour().cast(pl.Int32) * 60 + time.minute().cast(pl.Int32) - 555


def real_index(folder: Path) -> Statistics:
    """NIFTY index, 2023-2025."""
    bars = (
        pl.read_parquet(folder / NIFTY_INDEX)
        .with_columns(pl.col("open", "high", "low", "close").cast(pl.Float64))
        .with_columns(date=pl.col("ts").dt.date(), slot=_minute("ts") // 5)
        .filter(pl.col("slot").is_between(0, 74))
        .filter(pl.len().over("date") > 70)
        .sort("ts")
    )
    return index_statistics(bars)


def simulated_index(seed: int) -> Statistics:
    """NIFTY index, the same three years."""
    days = _full_sessions("NIFTY", dt.date(2023, 1, 1), dt.date(2025, 12, 31))
    _, index = simulated_days("NIFTY", days, seed, 0)
    bars = index.group_by("date", slot=pl.col("minute") // 5, maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
    )
    return index_statistics(bars)


def real_closes(folder: Path) -> Statistics:
    """NIFTY weekly options at the money, minute closes of 2024-12-27 to 2025-06-30."""
    rows = pl.read_parquet(folder / NIFTY_CLOSES).with_columns(
        date=pl.col("ts").dt.date(), minute=_minute("ts")
    )
    left = [(d, e, days_to_expiry(d, e)) for d, e in rows.select("date", "expiry").unique().iter_rows()]
    near = pl.DataFrame(left, schema=["date", "expiry", "days_left"], orient="row")
    return close_statistics(rows.join(near, on=["date", "expiry"]).sort("date", "symbol", "minute"))


def simulated_closes(seed: int) -> Statistics:
    """The same days, contracts within two strikes of the index."""
    days = _full_sessions("NIFTY", dt.date(2024, 12, 27), dt.date(2025, 6, 30))
    options, _ = simulated_days("NIFTY", days, seed, 4)
    return close_statistics(options.filter(pl.col("distance").abs() <= AT_THE_MONEY))


def real_bars(folder: Path) -> Statistics:
    """BANKNIFTY weekly options, the one day of 2022-12-30, four trading days before expiry."""
    rows = (
        pl.read_parquet(folder / BANKNIFTY_DAY)
        .with_columns(date=pl.col("ts").dt.date(), minute=_minute("ts"), lots=pl.col("volume") / 25)
        .filter(pl.col("minute") < FULL_SESSION)
        .sort("symbol", "minute")
    )
    spot = rows.filter(pl.col("option_type") == "SPOT")
    options = rows.filter(pl.col("option_type").is_in(["CE", "PE"]))
    return bar_statistics(_with_distance(options, spot, 100).sort("symbol", "minute"), spot)


def simulated_bars(seed: int) -> Statistics:
    """BANKNIFTY weekly options, all days of 2022-07 to 2023-06 four trading days before expiry."""
    days = _full_sessions("BANKNIFTY", dt.date(2022, 7, 1), dt.date(2023, 6, 30), days_left=4)
    options, index = simulated_days("BANKNIFTY", days, seed, 15)
    return bar_statistics(options.with_columns(lots=pl.col("volume") / 25), index)


def real_quotes(folder: Path) -> Statistics:
    """NIFTY weekly options, snapshots of 2025-08-29, two trading days before expiry."""
    chain = pl.read_parquet(folder / SNAPSHOTS).filter(
        (pl.col("underlying") == "NIFTY")
        & (pl.col("expiry") == SNAPSHOT_EXPIRY)
        & (pl.col("bid") > 0)
        & (pl.col("ask") > 0)
    )
    # The file has no index: the forward is read off the call and put that are nearest in price.
    keys = ["ts_exch", "strike"]
    mid = ((pl.col("bid") + pl.col("ask")) / 2).alias
    call = chain.filter(pl.col("option_type") == "CE").select(*keys, mid("call"))
    put = chain.filter(pl.col("option_type") == "PE").select(*keys, mid("put"))
    apart = pl.col("call") - pl.col("put")
    forward = (
        call.join(put, on=keys)
        .with_columns(off=apart.abs(), at=pl.col("strike") + apart)
        .sort("off")
        .group_by("ts_exch")
        .first()
        .select(minute="ts_exch", close="at")
    )
    quotes = _with_distance(chain.rename({"ts_exch": "minute"}), forward, 50)
    first = pl.col("distance").sort_by("minute").first().over("symbol")
    traded = quotes.filter(first.abs() <= NEAR_MONEY).with_columns(
        _minute("minute").alias("minute"), date=pl.lit(SNAPSHOT_DAY), total=pl.col("cum_vol_lots")
    )
    return quote_statistics(quotes) | volume_statistics(traded)


def simulated_quotes(seed: int) -> Statistics:
    """NIFTY weekly options, every second day of 2025 that is two trading days before expiry."""
    days = _full_sessions("NIFTY", dt.date(2025, 1, 1), dt.date(2025, 12, 31), days_left=2)
    options, _ = simulated_days("NIFTY", days[::2], seed, 12)
    first = pl.col("distance").first().over("date", "symbol")
    traded = options.filter(first.abs() <= NEAR_MONEY).with_columns(
        total=pl.col("volume").cast(pl.Int64).cum_sum().over("date", "symbol")
    )
    return quote_statistics(options) | volume_statistics(traded)


@dataclass(frozen=True)
class Comparison:
    """How one real file and the model's counterpart are measured."""

    real: Callable[[Path], Statistics]
    simulated: Callable[[int], Statistics]


COMPARISONS: Mapping[str, Comparison] = {
    NIFTY_INDEX: Comparison(real_index, simulated_index),
    NIFTY_CLOSES: Comparison(real_closes, simulated_closes),
    BANKNIFTY_DAY: Comparison(real_bars, simulated_bars),
    SNAPSHOTS: Comparison(real_quotes, simulated_quotes),
}


def table(folder: Path, seed: int = DEFAULT_SEED) -> str:
    """All comparisons as Markdown tables, one per real file."""
    lines: list[str] = []
    for file, both in COMPARISONS.items():
        real, made = both.real(folder), both.simulated(seed)
        lines += [
            f"### {file}",
            "",
            f"Real: {(both.real.__doc__ or '').strip()} Simulated: {(both.simulated.__doc__ or '').strip()}",
            "",
            "| measure | real | simulated |",
            "|---|---:|---:|",
        ]
        lines += [f"| {name} | {value:.4g} | {made[name]:.4g} |" for name, value in real.items()]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
