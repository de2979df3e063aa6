"""End-of-day reference tables of the exchange (bhavcopy), one Parquet file per underlying and day.

They carry what minute bars do not: settlement prices, lots as listed that day, official open interest. Backtests
settle and cross-check against them; no decision reads them during the day.

Columns: `symbol, expiry, strike` (rupees, null for futures)`, option_type, open, high, low, close, settle,
underlying_close` (paise; open, high and low null where the contract did not trade)`, volume, oi, oi_change` (units)`,
trades, lot` (units per lot).
"""

import datetime as dt
import io
from pathlib import Path
from typing import Any, Literal

import polars as pl

from engine.errors import DataError
from engine.history.writing import one_writer, write_atomic

SCHEMA: dict[str, Any] = {
    "symbol": pl.String,
    "expiry": pl.Date,
    "strike": pl.Int32,
    "option_type": pl.String,
    "open": pl.Int32,
    "high": pl.Int32,
    "low": pl.Int32,
    "close": pl.Int32,
    "settle": pl.Int32,
    "underlying_close": pl.Int32,
    "volume": pl.Int64,
    "oi": pl.Int64,
    "oi_change": pl.Int64,
    "trades": pl.Int64,
    "lot": pl.Int32,
}


def write(
    root: Path, frame: pl.DataFrame, *, underlying: str, date: dt.date, replace: bool = False
) -> Literal["written", "unchanged", "replaced"]:
    """
    Land one day's table, whole or not at all; the same table again changes nothing.

    Raises
    ------
    DataError
        If another table is held for the day and `replace` is False.
    """
    table = _table(frame)
    path = _path(root, underlying, date)
    with one_writer(path.parent):
        held = pl.read_parquet(path, hive_partitioning=False) if path.exists() else None
        if held is not None and held.equals(table):
            return "unchanged"
        if held is not None and not replace:
            raise DataError(
                f"{underlying} {date}: another end-of-day table is held ({held.height} rows, these are "
                f"{table.height}); import with --replace to overwrite"
            )
        target = io.BytesIO()
        table.write_parquet(target, compression="zstd")
        write_atomic(path, target.getvalue())
    return "written" if held is None else "replaced"


def conflicts(root: Path, frame: pl.DataFrame, *, underlying: str, date: dt.date) -> bool:
    """Whether another table is held for that day."""
    path = _path(root, underlying, date)
    return path.exists() and not pl.read_parquet(path, hive_partitioning=False).equals(_table(frame))


def read(root: Path, underlying: str, date: dt.date) -> pl.DataFrame:
    """
    One day's table.

    Raises
    ------
    DataError
        If it was not imported.
    """
    path = _path(root, underlying, date)
    if not path.exists():
        held = sorted(each.stem.removeprefix("date=") for each in path.parent.glob("date=*.parquet"))
        span = f"{held[0]} to {held[-1]}, {len(held)} days" if held else "none"
        raise DataError(
            f"no end-of-day table of {underlying} for {date} (held: {span}); import that day's NSE bhavcopy"
        )
    return pl.read_parquet(path, hive_partitioning=False)


def _table(frame: pl.DataFrame) -> pl.DataFrame:
    typed = frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())
    return typed.sort("expiry", "option_type", "strike", "symbol")


def _path(root: Path, underlying: str, date: dt.date) -> Path:
    return root / "eod" / f"underlying={underlying}" / f"date={date.isoformat()}.parquet"
