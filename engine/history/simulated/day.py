"""One simulated day as the frame the lake stores: the model's stages put together.

The day depends on the seed, the underlying and the date alone.
"""

import datetime as dt

import numpy as np
import polars as pl

from engine.history.simulated.levels import day_level, known
from engine.history.simulated.options import days_to_expiry, fair_values
from engine.history.simulated.quotes import Bars, activity, draw, make_bars, shared_activity
from engine.history.simulated.spot import DayPath, day_path
from engine.market.calendar import nearest_expiry, session_minutes, windows
from engine.market.contracts import lot_size, strike_step
from engine.market.prices import TICKS_PER_RUPEE

DEFAULT_SEED = 7
DEFAULT_STRIKES_EACH_SIDE = 10
ONE_MINUTE = dt.timedelta(minutes=1)
CENTRE_STEP = 100
"""At the money is the multiple of 100 nearest to the opening index (reference strategy, section 1)."""


def simulate_day(
    underlying: str,
    date: dt.date,
    *,
    seed: int = DEFAULT_SEED,
    strikes_each_side: int = DEFAULT_STRIKES_EACH_SIDE,
) -> pl.DataFrame:
    """
    One day of simulated 1-minute bars: an index and the options of its nearest expiry.

    The prices come from a model and never happened. Same seed, underlying and date give the same day, bit
    for bit, whichever other days are made; a contract is the same whatever the number of strikes.

    Parameters
    ----------
    underlying : str
        "NIFTY" or "BANKNIFTY".
    date : date
        Trading day from 2021 on.
    seed : int, >= 0
    strikes_each_side : int, >= 0
        Strikes above and below the one nearest the opening index; 10 gives 42 contracts.

    Returns
    -------
    polars frame
        `symbol, expiry, strike` (rupees)`, option_type` (CE, PE; SPOT for the index, with null strike, expiry,
        oi, bid, ask and volume 0)`, minute` (0 = first of the session)`, open, high, low, close` (ticks)`,
        volume, oi` (units)`, bid, ask` (ticks, at the minute's end). No row where nothing traded.

    Raises
    ------
    DataError
        If the model does not know the underlying or the date is no trading day.
    """
    index = known(underlying)
    level = day_level(underlying, date, seed)
    minutes = session_minutes(date)
    expiry = nearest_expiry(underlying, date)
    step = strike_step(underlying, date)
    entropy = [seed, date.toordinal(), index.number]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    path = day_path(level, minutes, rng)
    shared = shared_activity(path, rng)

    centre = round(level.open / CENTRE_STEP) * CENTRE_STEP
    strikes = centre + step * np.arange(-strikes_each_side, strikes_each_side + 1, dtype=np.int64)
    both = np.tile(strikes, 2)
    is_call = np.arange(both.size) < strikes.size
    days_left = days_to_expiry(date, expiry) + 0.5
    lots, out_of_money = activity(index, both, is_call, path.spot[:, -1], step, days_left)
    draws = draw(
        [[*entropy, int(strike), int(call)] for strike, call in zip(both, is_call, strict=True)], minutes
    )
    fair = fair_values(path, strikes, date, expiry, level.skew)
    size = lot_size(underlying, expiry)
    bars = make_bars(fair, path, lots, out_of_money, shared, draws, size)

    stem = f"{underlying}{expiry:%d%b%y}".upper()
    symbols = [f"{stem}{strike}{'CE' if call else 'PE'}" for strike, call in zip(both, is_call, strict=True)]
    rows = pl.concat([_option_rows(bars, symbols, both, is_call, expiry), _spot_rows(path, underlying)])
    return rows.filter(pl.col("minute").is_in(_open_minutes(date))) if len(windows(date)) > 1 else rows


def _open_minutes(date: dt.date) -> list[int]:
    """Minutes of the session outside its breaks."""
    first = windows(date)[0].open
    spans = [((w.open - first) // ONE_MINUTE, (w.close - first) // ONE_MINUTE) for w in windows(date)]
    return [minute for begin, end in spans for minute in range(begin, end)]


_SCHEMA = pl.Schema(
    {
        "symbol": pl.String,
        "expiry": pl.Date,
        "strike": pl.Int32,
        "option_type": pl.String,
        "minute": pl.Int16,
        "open": pl.Int32,
        "high": pl.Int32,
        "low": pl.Int32,
        "close": pl.Int32,
        "volume": pl.Int32,
        "oi": pl.Int64,
        "bid": pl.Int32,
        "ask": pl.Int32,
    }
)


def _option_rows(
    bars: Bars, symbols: list[str], strikes: np.ndarray, is_call: np.ndarray, expiry: dt.date
) -> pl.DataFrame:
    contract, minute = np.nonzero(bars.traded)
    columns = {name: getattr(bars, name)[contract, minute] for name in _SCHEMA if hasattr(bars, name)}
    return pl.DataFrame(columns).select(
        pl.Series("symbol", symbols).gather(contract),
        pl.lit(expiry).alias("expiry"),
        pl.Series("strike", strikes[contract]).cast(pl.Int32),
        pl.Series("option_type", np.where(is_call, "CE", "PE").tolist()).gather(contract),
        pl.Series("minute", minute).cast(pl.Int16),
        *(pl.col(name).cast(kind) for name, kind in _SCHEMA.items() if name in columns),
    )


def _spot_rows(path: DayPath, underlying: str) -> pl.DataFrame:
    close = path.spot[:, -1]
    prices = {
        "open": path.start,
        "high": path.high.max(axis=1),
        "low": path.low.min(axis=1),
        "close": close,
    }
    ticks = {name: np.rint(values * TICKS_PER_RUPEE).astype(np.int32) for name, values in prices.items()}
    absent = [
        pl.lit(None, kind).alias(name)
        for name, kind in _SCHEMA.items()
        if name in ("expiry", "strike", "oi", "bid", "ask")
    ]
    return (
        pl.DataFrame({"minute": np.arange(close.size, dtype=np.int16), **ticks})
        .with_columns(
            *absent,
            symbol=pl.lit(underlying),
            option_type=pl.lit("SPOT"),
            volume=pl.lit(0, pl.Int32),
        )
        .select(_SCHEMA.names())
    )
