"""One trading day as dense arrays: contracts x minutes, integer ticks, a validity mask.

This is the contract between the lake and every compiled kernel. A missing minute is a False in the mask,
never a zero price. The number of minutes comes from the calendar of that date.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.errors import DataError

REQUIRED_COLUMNS = ("symbol", "strike", "option_type", "minute", "open", "high", "low", "close", "volume")
DEFAULT_MINUTES = 375
USUAL_OPEN = 9 * 60 + 15
Quality = Literal["ohlcv", "close_only"]


@dataclass(frozen=True, eq=False)
class DayBars:
    """
    A day of 1-minute option bars of one underlying and one expiry.

    Contracts are ordered by (option type, strike, symbol), CE first; kernels break ties by that order.

    Attributes
    ----------
    underlying : str
    date, expiry : date or None
        Trading day and expiry of the contracts; None only for frames built by hand.
    lot_size : int
        Units per lot of these contracts.
    symbols : tuple of str, length C
    strike : int32[C], rupees
    is_call : bool[C]
    open, high, low, close : int32[C, M], ticks
        Bar of minute m of the session (minute 0 starts at the open); 0 where `valid` is False.
    volume : int32[C, M], units traded in that minute
    valid : bool[C, M]
        True where the contract has a bar in that minute.
    quality : "ohlcv" or "close_only"
        "close_only" days know neither range nor volume: swings, stops and VWAP cannot be known on them.
    source : str
        Where the bars came from, e.g. "nse" or "simulated".
    simulated : bool
        True for prices made by a model; every result and picture must say so.
    """

    underlying: str
    date: dt.date | None
    expiry: dt.date | None
    lot_size: int
    symbols: tuple[str, ...]
    strike: npt.NDArray[np.int32]
    is_call: npt.NDArray[np.bool_]
    open: npt.NDArray[np.int32]
    high: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    volume: npt.NDArray[np.int32]
    valid: npt.NDArray[np.bool_]
    quality: Quality = "ohlcv"
    source: str = "frame"
    simulated: bool = False

    @property
    def open_minute(self) -> int:
        """Minute of the day (IST) at which minute 0 starts: 555 for 09:15, another on muhurat days."""
        from engine.market.calendar import session

        opened = session(self.date) if self.date is not None else None
        return opened.open.hour * 60 + opened.open.minute if opened is not None else USUAL_OPEN

    @property
    def contracts(self) -> int:
        """Number of contracts C."""
        return len(self.symbols)

    @property
    def minutes(self) -> int:
        """Number of minutes M in the session."""
        return int(self.open.shape[1])

    @classmethod
    def from_frame(
        cls,
        df: pl.DataFrame,
        *,
        underlying: str = "NIFTY",
        date: dt.date | None = None,
        expiry: dt.date | None = None,
        lot_size: int | None = None,
        minutes: int | None = None,
        quality: Quality = "ohlcv",
        source: str = "frame",
        simulated: bool = False,
    ) -> Self:
        """
        Build a day from a tidy frame, one row per contract and minute.

        Parameters
        ----------
        df : polars frame
            Columns `symbol, strike` (rupees)`, option_type` ("CE" or "PE")`, minute` (0 = first of the
            session)`, open, high, low, close` (integer ticks)`, volume` (units). Rows in any order.
        lot_size : int, optional
            Units per lot. Left out, it is looked up by `expiry`; without an expiry it is the lot of the
            newest contracts of the underlying.
        minutes : int, optional
            Minutes of the session. Left out, the calendar of `date` decides; without a date 375, or more
            when the frame holds later minutes.

        Raises
        ------
        DataError
            If a column is missing, a bar contradicts itself, a minute is doubled or outside the session.
        """
        from engine.market.calendar import session_minutes
        from engine.market.contracts import latest_lot_size
        from engine.market.contracts import lot_size as lot_of_contract

        missing = [name for name in REQUIRED_COLUMNS if name not in df.columns]
        if missing:
            raise DataError(
                f"frame lacks column {', '.join(missing)}; needed are {', '.join(REQUIRED_COLUMNS)}"
            )
        if df.is_empty():
            raise DataError("frame has no rows; a day needs at least one bar")
        df = _whole_numbers(df)
        if minutes is None:
            last = int(df["minute"].max())  # type: ignore[arg-type]
            minutes = session_minutes(date) if date is not None else max(DEFAULT_MINUTES, last + 1)
        if lot_size is None:
            lot_size = lot_of_contract(underlying, expiry) if expiry else latest_lot_size(underlying)
        contracts = (
            df.select("symbol", pl.col("strike").cast(pl.Int32), "option_type")
            .unique()
            .sort("option_type", "strike", "symbol")
        )
        if contracts["symbol"].n_unique() != contracts.height:
            raise DataError("a symbol appears with two strikes or option types; one symbol is one contract")
        bad_type = contracts.filter(~pl.col("option_type").is_in(["CE", "PE"]))
        if not bad_type.is_empty():
            raise DataError(f"option_type {bad_type['option_type'][0]!r} is neither CE nor PE")
        rows = df.join(contracts.with_row_index("contract").select("symbol", "contract"), on="symbol")
        at = (rows["contract"].to_numpy().astype(np.int64), rows["minute"].to_numpy().astype(np.int64))
        _check_rows(rows, at, contracts.height, minutes)
        shape = (contracts.height, minutes)
        grids = {name: np.zeros(shape, np.int32) for name in ("open", "high", "low", "close", "volume")}
        for name, grid in grids.items():
            grid[at] = rows[name].to_numpy()
        valid = np.zeros(shape, np.bool_)
        valid[at] = True
        return cls(
            underlying=underlying,
            date=date,
            expiry=expiry,
            lot_size=lot_size,
            symbols=tuple(contracts["symbol"]),
            strike=contracts["strike"].to_numpy().astype(np.int32),
            is_call=(contracts["option_type"] == "CE").to_numpy(),
            valid=valid,
            quality=quality,
            source=source,
            simulated=simulated,
            open=grids["open"],
            high=grids["high"],
            low=grids["low"],
            close=grids["close"],
            volume=grids["volume"],
        )


def _whole_numbers(df: pl.DataFrame) -> pl.DataFrame:
    """The frame with its numbers as integers; what is missing, broken or too big is told, never cast."""
    texts = df.select("symbol", "option_type").null_count().row(0)
    if any(texts):
        raise DataError("a row has no symbol or no option_type; fill it in or drop the row")
    for name in REQUIRED_COLUMNS:
        if name in ("symbol", "option_type"):
            continue
        column = df[name]
        if not column.dtype.is_numeric():
            raise DataError(
                f"column {name} is {column.dtype}, not whole numbers; give ticks, units or rupees as integers"
            )
        whole = column.cast(pl.Float64, strict=False)
        wrong = whole.is_null() | whole.is_nan() | (whole != whole.floor()) | (whole.abs() >= 2**31)
        if wrong.any():
            place = int(np.flatnonzero(wrong.to_numpy())[0])
            raise DataError(
                f"{df['symbol'][place]}: {name} is {column[place]}; needed are whole numbers below 2^31, "
                "prices in ticks of Rs 0.05; mend or drop the row"
            )
    numbers = [name for name in REQUIRED_COLUMNS if name not in ("symbol", "option_type")]
    return df.with_columns(pl.col(numbers).cast(pl.Int64))


def _check_rows(
    rows: pl.DataFrame, at: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]], contracts: int, minutes: int
) -> None:
    contract, minute = at
    outside = (minute < 0) | (minute >= minutes)
    if outside.any():
        first = int(np.argmax(outside))
        raise DataError(
            f"{rows['symbol'][first]}: minute {minute[first]} is outside the session of {minutes} minutes; "
            "drop it or give the right `minutes`"
        )
    seen = np.bincount(contract * minutes + minute, minlength=contracts * minutes)
    if (seen > 1).any():
        place = int(np.argmax(seen > 1))
        symbol = rows.filter(pl.col("contract") == place // minutes)["symbol"][0]
        raise DataError(
            f"{symbol}: minute {place % minutes} appears {seen[place]} times; keep one bar a minute"
        )
    wrong = rows.filter(
        (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("high") < pl.max_horizontal("open", "close"))
        | (pl.col("low") <= 0)
        | (pl.col("volume") < 0)
    )
    if not wrong.is_empty():
        bar = wrong.row(0, named=True)
        raise DataError(
            f"{bar['symbol']} minute {bar['minute']}: open {bar['open']}, high {bar['high']}, low {bar['low']}, "
            f"close {bar['close']} (ticks), volume {bar['volume']} contradict each other; mend or drop the bar"
        )
