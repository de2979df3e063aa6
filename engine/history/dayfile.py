"""The Parquet file of one lake day: its columns, its order, and the fast way back to a dense day.

Rows are sorted by (options before the rest, expiry, option type, strike, symbol, minute) and each expiry is a
row group of its own. The footer lists the contracts with their row counts, so loading a contract that has a bar
in every minute is a reshape: neither the symbol nor the minute column is read.

Every price in the file is in **paise**: exact for options and futures, which trade on 5 paise, and for index
values, which need not. Kernels get ticks.
"""

import datetime as dt
import hashlib
import io
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow.parquet as pq

from engine.errors import DataError
from engine.history.day import DayBars, Quality
from engine.history.manifest import SCHEMA_VERSION, SIMULATED_SOURCE, Gaps
from engine.market.calendar import session_minutes
from engine.market.contracts import lot_size
from engine.market.prices import PAISE_PER_TICK

FOOTER_KEY = b"workbench.day"
OPTION_TYPES = ("CE", "PE")
INSTRUMENT_TYPES = (*OPTION_TYPES, "FUT", "SPOT")
PRICE_COLUMNS = ("open", "high", "low", "close")
OPTIONAL_COLUMNS = ("oi", "bid", "ask")
COMPRESSION_LEVEL = 3
PriceUnit = Literal["ticks", "paise"]
_Ints = npt.NDArray[np.int32]

_POLARS_SCHEMA: dict[str, Any] = {
    "symbol": pl.String,
    "expiry": pl.Date,  # null for spot and for a continuous future
    "strike": pl.Int32,  # rupees; null for futures and spot
    "option_type": pl.String,  # CE, PE, FUT or SPOT
    "minute": pl.Int16,  # 0 = first of the session
    "open": pl.Int32,  # paise; open, high and low are null on close_only days
    "high": pl.Int32,
    "low": pl.Int32,
    "close": pl.Int32,
    "volume": pl.Int32,  # units; null on close_only days
    "oi": pl.Int64,  # units at the minute's end; null where the source has none
    "bid": pl.Int32,  # paise at the minute's end; null where the source has none
    "ask": pl.Int32,
}


@dataclass(frozen=True)
class Contract:
    """An instrument of a day file and how many bars it has there."""

    symbol: str
    expiry: dt.date | None
    strike: int | None
    option_type: str
    rows: int


@dataclass(frozen=True)
class Footer:
    """What a day file says of itself; compared with the manifest before a bar is read."""

    schema: int
    underlying: str
    date: dt.date
    source: str
    simulated: bool
    quality: Quality
    minutes: int
    content: str
    contracts: tuple[Contract, ...]


@dataclass(frozen=True)
class PreparedDay:
    """
    A checked, sorted and encoded day, ready to land.

    Attributes
    ----------
    footer : Footer
    gaps : Gaps
    encoded : bytes
        The Parquet file.
    """

    footer: Footer
    gaps: Gaps
    encoded: bytes

    @property
    def rows(self) -> int:
        """Bars of the day."""
        return sum(contract.rows for contract in self.footer.contracts)

    @property
    def expiries(self) -> tuple[dt.date, ...]:
        """Expiries of its options, ascending."""
        return option_expiries(self.footer.contracts)


def option_expiries(contracts: Sequence[Contract]) -> tuple[dt.date, ...]:
    """Expiries of the options among `contracts`, ascending."""
    found = {c.expiry for c in contracts if c.option_type in OPTION_TYPES and c.expiry is not None}
    return tuple(sorted(found))


def prepare_day(
    frame: pl.DataFrame,
    *,
    underlying: str,
    date: dt.date,
    source: str,
    simulated: bool,
    quality: Quality = "ohlcv",
    prices: PriceUnit = "ticks",
) -> PreparedDay:
    """
    Check, sort and encode one day's bars.

    Parameters
    ----------
    frame : polars frame
        One row per instrument and minute, in any order: `symbol, expiry, strike` (rupees)`, option_type`
        (CE, PE, FUT, SPOT)`, minute, open, high, low, close, volume` (units), and where known `oi, bid, ask`.
        Prices are integers in the unit told by `prices`.
    simulated : bool
        True exactly when `source` is "simulated".
    prices : "ticks" or "paise"
        Unit of the frame's prices.

    Raises
    ------
    DataError
        If the label is false, a column is missing or a bar is impossible.
    MarketFactError
        If the date is no trading day or an expiry is none of the underlying.
    """
    if simulated != (source == SIMULATED_SOURCE):
        raise DataError(
            f"source {source!r} with simulated={simulated}: the source name {SIMULATED_SOURCE!r} is kept for "
            "simulated prices and they carry no other; rename the source"
        )
    _check_source_name(source)
    minutes = session_minutes(date)
    ordered = _ordered(frame, prices)
    _check_bars(ordered, minutes, date, quality)
    contracts = _contracts(ordered)
    for expiry in option_expiries(contracts):
        lot_size(underlying, expiry)  # what lands must load: refuse an expiry the market does not know
    footer = Footer(
        schema=SCHEMA_VERSION,
        underlying=underlying,
        date=date,
        source=source,
        simulated=simulated,
        quality=quality,
        minutes=minutes,
        content=_content_hash(ordered, (underlying, date.isoformat(), source, quality)),
        contracts=contracts,
    )
    return PreparedDay(footer=footer, gaps=_gaps(ordered), encoded=_encode(ordered, footer))


def read_footer(file: pq.ParquetFile, path: Path) -> Footer:
    """
    The footer of an opened day file.

    Raises
    ------
    DataError
        If the file was not written by the lake.
    """
    raw = (file.metadata.metadata or {}).get(FOOTER_KEY)
    if raw is None:
        raise DataError(f"{path} is no day of the lake (no {FOOTER_KEY.decode()} in its footer); import it")
    fields = json.loads(raw)
    fields["date"] = dt.date.fromisoformat(fields["date"])
    fields["contracts"] = tuple(
        Contract(symbol, dt.date.fromisoformat(expiry) if expiry else None, strike, kind, rows)
        for symbol, expiry, strike, kind, rows in fields["contracts"]
    )
    return Footer(**fields)


def read_dense(
    file: pq.ParquetFile,
    footer: Footer,
    *,
    expiry: dt.date | None = None,
    strikes: Collection[int] | None = None,
) -> DayBars:
    """
    The options of one expiry of a day file as a dense day, prices in ticks.

    Parameters
    ----------
    expiry : date, optional
        Default: the nearest one not before the day.
    strikes : collection of int, optional
        Strikes (rupees) to keep; default all.

    Raises
    ------
    DataError
        If the day has no such expiry or none of the strikes.
    """
    expiry = _choose_expiry(footer, expiry)
    block = [c for c in footer.contracts if c.option_type in OPTION_TYPES and c.expiry == expiry]
    keep = [strikes is None or c.strike in strikes for c in block]
    kept = [c for c, wanted in zip(block, keep, strict=True) if wanted]
    if not kept:
        raise DataError(
            f"{footer.underlying} {footer.date} expiry {expiry} has none of the wanted strikes; it has "
            f"{min(c.strike or 0 for c in block)} to {max(c.strike or 0 for c in block)}"
        )
    close_only = footer.quality == "close_only"
    shape = (len(kept), footer.minutes)
    full = all(c.rows == footer.minutes for c in kept)
    names = (["close"] if close_only else [*PRICE_COLUMNS, "volume"]) + ([] if full else ["minute"])
    table = file.read_row_group(_group_of(footer, expiry), columns=names, use_threads=False)
    # not Arrow's own to_numpy: it imports pandas, a second that a backtest need not pay
    columns: dict[str, Any] = {name: np.from_dlpack(table.column(name).combine_chunks()) for name in names}
    if len(kept) < len(block):
        rows = np.repeat(keep, [c.rows for c in block])
        columns = {name: values[rows] for name, values in columns.items()}
    if full:
        grids = {name: values.reshape(shape) for name, values in columns.items()}
        valid = np.ones(shape, np.bool_)
    else:
        grids, valid = _scatter(columns, kept, shape)
    close = grids["close"] // PAISE_PER_TICK
    if close_only:
        opened, high, low = close.copy(), close.copy(), close.copy()
        volume = np.zeros(shape, np.int32)
    else:
        opened, high, low = (grids[name] // PAISE_PER_TICK for name in PRICE_COLUMNS[:3])
        volume = np.array(grids["volume"], np.int32)
    return DayBars(
        underlying=footer.underlying,
        date=footer.date,
        expiry=expiry,
        lot_size=lot_size(footer.underlying, expiry),
        symbols=tuple(c.symbol for c in kept),
        strike=np.array([c.strike for c in kept], np.int32),
        is_call=np.array([c.option_type == "CE" for c in kept], np.bool_),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
        valid=valid,
        quality=footer.quality,
        source=footer.source,
        simulated=footer.simulated,
    )


def listed_strikes(footer: Footer, expiry: dt.date | None) -> tuple[int, ...]:
    """Strikes (rupees) of one expiry of a day file, ascending; by default of the nearest expiry."""
    chosen = _choose_expiry(footer, expiry)
    found = {c.strike for c in footer.contracts if c.option_type in OPTION_TYPES and c.expiry == chosen}
    return tuple(sorted(strike for strike in found if strike is not None))


def read_opening(file: pq.ParquetFile, footer: Footer) -> int | None:
    """Open (paise) of the first spot bar of a day file; reads only the rows that are no options."""
    if not any(c.option_type == "SPOT" for c in footer.contracts):
        return None
    last = file.num_row_groups - 1
    table = file.read_row_group(last, columns=["option_type", "minute", "open"], use_threads=False)
    spot = pl.DataFrame(table).filter(pl.col("option_type") == "SPOT").sort("minute")
    return None if spot.is_empty() else spot["open"][0]


def read_rows(path: Path) -> pl.DataFrame:
    """All rows of a day file as stored: sorted, prices in paise."""
    return pl.read_parquet(path, hive_partitioning=False)


def _choose_expiry(footer: Footer, expiry: dt.date | None) -> dt.date:
    held = option_expiries(footer.contracts)
    chosen = expiry or next((each for each in held if each >= footer.date), None)
    if chosen not in held or chosen is None:
        what = f"no options of expiry {expiry}" if expiry else "no options that expire on the day or later"
        raise DataError(
            f"{footer.underlying} {footer.date} from {footer.source} has {what}; "
            f"it has {', '.join(map(str, held)) or 'none'}"
        )
    return chosen


def _group_of(footer: Footer, expiry: dt.date) -> int:
    return option_expiries(footer.contracts).index(expiry)


def _scatter(
    columns: dict[str, _Ints], kept: Sequence[Contract], shape: tuple[int, int]
) -> tuple[dict[str, _Ints], npt.NDArray[np.bool_]]:
    contract = np.repeat(np.arange(len(kept)), [c.rows for c in kept])
    place = contract * shape[1] + columns["minute"]
    valid = np.zeros(shape[0] * shape[1], np.bool_)
    valid[place] = True
    grids = {}
    for name, values in columns.items():
        if name != "minute":
            grid = np.zeros(shape[0] * shape[1], np.int32)
            grid[place] = values
            grids[name] = grid.reshape(shape)
    return grids, valid.reshape(shape)


def _check_source_name(source: str) -> None:
    if (
        not source
        or not source.isascii()
        or not source.replace("_", "").isalnum()
        or source != source.lower()
    ):
        raise DataError(f"source {source!r} must be lower-case letters, digits and _; rename it, e.g. 'nse'")


def _ordered(frame: pl.DataFrame, prices: PriceUnit) -> pl.DataFrame:
    missing = [name for name in _POLARS_SCHEMA if name not in frame.columns and name not in OPTIONAL_COLUMNS]
    if missing:
        raise DataError(f"day frame lacks column {', '.join(missing)}; it has {', '.join(frame.columns)}")
    if frame.is_empty():
        raise DataError("day frame has no rows; a day needs at least one bar")
    money = [name for name in (*PRICE_COLUMNS, "bid", "ask") if name in frame.columns]
    for name in (*money, "volume"):
        if not (frame.schema[name].is_integer() or frame.schema[name] == pl.Null):
            raise DataError(
                f"day frame column {name} is {frame.schema[name]}; give integers ({prices} or units)"
            )
    factor = PAISE_PER_TICK if prices == "ticks" else 1
    absent = [pl.lit(None).alias(name) for name in OPTIONAL_COLUMNS if name not in frame.columns]
    try:
        typed = (
            frame.with_columns(absent)
            .with_columns(pl.col(money).cast(pl.Int64) * factor)
            .select(pl.col(name).cast(kind) for name, kind in _POLARS_SCHEMA.items())
        )
    except pl.exceptions.PolarsError as error:
        text = str(error).splitlines()[0]
        raise DataError(f"day frame holds a value that its column cannot: {text}; mend the frame") from error
    return typed.sort(
        pl.col("option_type").is_in(OPTION_TYPES).not_(),
        "expiry",
        "option_type",
        "strike",
        "symbol",
        "minute",
    )


def _check_bars(ordered: pl.DataFrame, minutes: int, date: dt.date, quality: Quality) -> None:
    option = pl.col("option_type").is_in(OPTION_TYPES)
    ranged = pl.any_horizontal(pl.col("open", "high", "low", "volume").is_null())
    rules = {
        "a null symbol, option type, minute or close": pl.any_horizontal(
            pl.col("symbol", "option_type", "minute", "close").is_null()
        ),
        f"an option type other than {', '.join(INSTRUMENT_TYPES)}": ~pl.col("option_type").is_in(
            INSTRUMENT_TYPES
        ),
        "an option without strike or expiry": option
        & (pl.col("strike").is_null() | pl.col("expiry").is_null()),
        "an expiry before the day": pl.col("expiry") < date,
        f"a minute outside the session of {minutes}": (pl.col("minute") < 0) | (pl.col("minute") >= minutes),
        "a minute that appears twice": pl.struct("symbol", "minute").is_duplicated(),
        "a price that is not positive": pl.any_horizontal(pl.col(PRICE_COLUMNS) <= 0),
        "an option or future price off the tick of Rs 0.05": (pl.col("option_type") != "SPOT")
        & pl.any_horizontal(pl.col(PRICE_COLUMNS) % PAISE_PER_TICK != 0),
        "open, high, low and close that contradict each other": (
            (pl.col("low") > pl.min_horizontal("open", "close"))
            | (pl.col("high") < pl.max_horizontal("open", "close"))
        ),
        "a negative volume": pl.col("volume") < 0,
        "no open, high, low or volume on an ohlcv day": ranged & (quality == "ohlcv"),
    }
    for what, rule in rules.items():
        wrong = ordered.filter(rule.fill_null(value=False))
        if not wrong.is_empty():
            bar = wrong.row(0, named=True)
            raise DataError(
                f"{date} {bar['symbol']} minute {bar['minute']}: {what} "
                f"(open {bar['open']}, high {bar['high']}, low {bar['low']}, close {bar['close']} paise, "
                f"volume {bar['volume']}); {wrong.height} such rows, drop or mend them"
            )
    identity = ordered.select("symbol", "expiry", "strike", "option_type").unique()
    doubled = identity.filter(pl.col("symbol").is_duplicated())
    twice = identity.filter(option & pl.struct("expiry", "strike", "option_type").is_duplicated())
    for what, wrong in (("means two contracts", doubled), ("shares its contract with another symbol", twice)):
        if not wrong.is_empty():
            raise DataError(f"{date}: symbol {wrong['symbol'].sort()[0]} {what}; one symbol is one contract")


def _contracts(ordered: pl.DataFrame) -> tuple[Contract, ...]:
    counted = ordered.group_by("symbol", "expiry", "strike", "option_type", maintain_order=True).len("rows")
    return tuple(Contract(*row) for row in counted.iter_rows())


def _gaps(ordered: pl.DataFrame) -> Gaps:
    missing = (
        ordered.group_by("symbol", maintain_order=True)
        .agg((pl.col("minute").max() - pl.col("minute").min() + 1 - pl.len().cast(pl.Int32)).alias("missing"))
        .sort("missing", descending=True, maintain_order=True)
    )
    worst_symbol, worst = missing.row(0)
    return Gaps(int(missing["missing"].sum()), worst_symbol if worst else None, int(worst))


def _content_hash(ordered: pl.DataFrame, label: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr((SCHEMA_VERSION, label)).encode())
    for name, kind in _POLARS_SCHEMA.items():
        column = ordered[name]
        if kind == pl.String:
            digest.update("\n".join(column.to_list()).encode())
        else:
            digest.update(column.is_null().to_numpy().tobytes())
            digest.update(column.to_physical().cast(pl.Int64).fill_null(0).to_numpy().tobytes())
    return digest.hexdigest()


def _encode(ordered: pl.DataFrame, footer: Footer) -> bytes:
    fields = {name: getattr(footer, name) for name in Footer.__dataclass_fields__}
    fields["date"] = footer.date.isoformat()
    fields["contracts"] = [
        (c.symbol, c.expiry.isoformat() if c.expiry else None, c.strike, c.option_type, c.rows)
        for c in footer.contracts
    ]
    label = {FOOTER_KEY: json.dumps(fields, separators=(",", ":")).encode()}
    table = ordered.to_arrow(compat_level=pl.CompatLevel.oldest()).replace_schema_metadata(label)
    blocks = [
        sum(c.rows for c in footer.contracts if c.option_type in OPTION_TYPES and c.expiry == expiry)
        for expiry in option_expiries(footer.contracts)
    ]
    rest = table.num_rows - sum(blocks)
    target = io.BytesIO()
    with pq.ParquetWriter(
        target,
        table.schema,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=["symbol", "option_type", "expiry", "strike"],
        write_statistics=["minute"],
    ) as writer:
        start = 0
        for rows in [*blocks, rest] if rest else blocks:
            writer.write_table(table.slice(start, rows), row_group_size=max(rows, 1))
            start += rows
    return target.getvalue()
