"""Measures the simulated market against real files: the numbers of docs/simulated_market.md.

Beside the model, not part of it: run `python -m engine.history.simulated.compare FOLDER` with a folder that
holds real market data, and it prints one table, real beside simulated, measured by the same functions on
days alike in date and distance to expiry. Only statistics leave it, never a price of the files.
"""

import datetime as dt
import sys
from collections.abc import Callable, Mapping, Sequence
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


def simulated_days(
    underlying: str, days: Sequence[dt.date], seed: int, strikes: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """
    Option rows and index rows of several simulated days, in rupees, ready for the functions above.

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


def _regular(start: dt.date, end: dt.date, keep: Callable[[dt.date], bool] = bool) -> list[dt.date]:
    """Full sessions of a range that `keep` accepts."""
    return [day for day in trading_days(start, end) if session_minutes(day) == FULL_SESSION and keep(day)]


def compare_index(folder: Path, seed: int) -> tuple[Statistics, Statistics]:
    """NIFTY index 2023-2025: real, simulated."""
    minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute().cast(pl.Int32) - 555
    real = (
        pl.read_parquet(folder / NIFTY_INDEX)
        .with_columns(pl.col("open", "high", "low", "close").cast(pl.Float64))
        .with_columns(date=pl.col("ts").dt.date(), slot=minute // 5)
        .filter(pl.col("slot").is_between(0, 74))
        .filter(pl.len().over("date") > 70)
        .sort("ts")
    )
    _, index = simulated_days("NIFTY", _regular(dt.date(2023, 1, 1), dt.date(2025, 12, 31)), seed, 0)
    made = index.group_by("date", slot=pl.col("minute") // 5, maintain_order=True).agg(
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last()
    )
    return index_statistics(real), index_statistics(made)


def compare_closes(folder: Path, seed: int) -> tuple[Statistics, Statistics]:
    """NIFTY weekly at-the-money closes, first half of 2025: real, simulated."""
    minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute().cast(pl.Int32) - 555
    real = pl.read_parquet(folder / NIFTY_CLOSES).with_columns(date=pl.col("ts").dt.date(), minute=minute)
    left = [(d, e, days_to_expiry(d, e)) for d, e in real.select("date", "expiry").unique().iter_rows()]
    near = pl.DataFrame(left, schema=["date", "expiry", "days_left"], orient="row")
    real = real.join(near, on=["date", "expiry"]).sort("date", "symbol", "minute")
    days = _regular(dt.date(2024, 12, 27), dt.date(2025, 6, 30))
    made, _ = simulated_days("NIFTY", days, seed, 4)
    return close_statistics(real), close_statistics(made.filter(pl.col("distance").abs() <= AT_THE_MONEY))


def compare_bars(folder: Path, seed: int) -> tuple[Statistics, Statistics]:
    """BANKNIFTY weekly, 2022-12-30, four trading days before expiry: real, simulated days of 2022-2023 alike."""
    minute = pl.col("ts").dt.hour().cast(pl.Int32) * 60 + pl.col("ts").dt.minute().cast(pl.Int32) - 555
    rows = pl.read_parquet(folder / BANKNIFTY_DAY).with_columns(date=pl.col("ts").dt.date(), minute=minute)
    rows = rows.filter(pl.col("minute") < FULL_SESSION)
    spot = rows.filter(pl.col("option_type") == "SPOT").sort("minute")
    options = rows.filter(pl.col("option_type").is_in(["CE", "PE"]))
    real = (
        _with_distance(options, spot, 100).with_columns(lots=pl.col("volume") / 25).sort("symbol", "minute")
    )
    days = _regular(
        dt.date(2022, 7, 1),
        dt.date(2023, 6, 30),
        lambda day: days_to_expiry(day, nearest_expiry("BANKNIFTY", day)) == 4,
    )
    made, index = simulated_days("BANKNIFTY", days, seed, 15)
    made = made.with_columns(lots=pl.col("volume") / 25)
    return bar_statistics(real, spot), bar_statistics(made, index)


def compare_quotes(folder: Path, seed: int) -> tuple[Statistics, Statistics]:
    """NIFTY weekly quotes, 2025-08-29, two trading days before expiry: real, simulated days of 2025 alike."""
    chain = pl.read_parquet(folder / SNAPSHOTS).filter(
        (pl.col("underlying") == "NIFTY")
        & (pl.col("expiry") == dt.date(2025, 9, 2))
        & (pl.col("bid") > 0)
        & (pl.col("ask") > 0)
    )
    keys = ["ts_exch", "strike"]
    mid = ((pl.col("bid") + pl.col("ask")) / 2).alias
    call = chain.filter(pl.col("option_type") == "CE").select(*keys, mid("call"))
    put = chain.filter(pl.col("option_type") == "PE").select(*keys, mid("put"))
    forward = (
        call.join(put, on=keys)
        .with_columns(
            off=(pl.col("call") - pl.col("put")).abs(), at=pl.col("strike") + pl.col("call") - pl.col("put")
        )
        .sort("off")
        .group_by("ts_exch")
        .first()
        .select(minute="ts_exch", close="at")
    )
    real = _with_distance(chain.rename({"ts_exch": "minute"}), forward, 50)
    minute = (
        pl.col("minute").dt.hour().cast(pl.Int32) * 60 + pl.col("minute").dt.minute().cast(pl.Int32) - 555
    )
    traded = real.filter(pl.col("strike").is_between(24_400, 24_700)).with_columns(
        minute, date=pl.lit(dt.date(2025, 8, 29)), total=pl.col("cum_vol_lots")
    )
    days = _regular(
        dt.date(2025, 1, 1),
        dt.date(2025, 12, 31),
        lambda day: days_to_expiry(day, nearest_expiry("NIFTY", day)) == 2,
    )
    made, _ = simulated_days("NIFTY", days[::2], seed, 12)
    near = pl.col("distance").first().over("date", "symbol").abs() <= 3
    totals = made.filter(near).with_columns(
        total=pl.col("volume").cast(pl.Int64).cum_sum().over("date", "symbol")
    )
    return (
        quote_statistics(real) | volume_statistics(traded),
        quote_statistics(made) | volume_statistics(totals),
    )


COMPARISONS: Mapping[str, Callable[[Path, int], tuple[Statistics, Statistics]]] = {
    NIFTY_INDEX: compare_index,
    NIFTY_CLOSES: compare_closes,
    BANKNIFTY_DAY: compare_bars,
    SNAPSHOTS: compare_quotes,
}


def table(folder: Path, seed: int = DEFAULT_SEED) -> str:
    """All comparisons as Markdown tables, one per real file."""
    lines: list[str] = []
    for file, measure in COMPARISONS.items():
        real, made = measure(folder, seed)
        lines += [
            f"### {file}",
            "",
            (measure.__doc__ or "").strip(),
            "",
            "| measure | real | simulated |",
            "|---|---:|---:|",
        ]
        lines += [f"| {name} | {value:.4g} | {made[name]:.4g} |" for name, value in real.items()]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
