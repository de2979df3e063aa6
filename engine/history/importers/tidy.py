"""Any table of minute bars in one canonical form, values converted and nothing judged yet.

Canonical columns: `symbol, underlying, expiry, strike` (rupees, float)`, option_type, ts` (naive IST, start of the
minute)`, open, high, low, close, bid, ask` (paise, float)`, volume, oi` (units, float)` and `unreadable`, the name of
the first column whose text was no value of its kind. `checks` judges the rows.
"""

import difflib
from pathlib import Path

import polars as pl

from engine.errors import DataError, MarketFactError
from engine.history.importers.column_map import ColumnMap
from engine.market.contracts import lot_size
from engine.market.prices import PAISE_PER_RUPEE, PAISE_PER_TICK

REQUIRED = (
    "underlying", "expiry", "strike", "option_type", "ts", "open", "high", "low", "close", "volume",
)  # fmt: skip
OPTIONAL = ("symbol", "oi", "bid", "ask")
TIDY_MAP = ColumnMap.model_validate({"columns": {name: name for name in (*REQUIRED, *OPTIONAL)}})
_PAISE = {"rupees": PAISE_PER_RUPEE, "paise": 1, "ticks": PAISE_PER_TICK}
_SPELLINGS = {"C": "CE", "CALL": "CE", "P": "PE", "PUT": "PE"}
_IST = "Asia/Kolkata"


def read_table(path: Path) -> pl.DataFrame:
    """
    A Parquet or CSV file as it is; CSV columns stay text, so that a number is read exactly once.

    Raises
    ------
    DataError
        If the file is missing, empty, of another kind or unreadable.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file; give the path of a .parquet or .csv file")
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            table = pl.read_parquet(path, hive_partitioning=False)
        elif path.name.lower().endswith((".csv", ".csv.gz")):
            table = pl.read_csv(path, infer_schema=False)
            table = table.rename({name: name.strip() for name in table.columns})
        else:
            raise DataError(
                f"{path}: {path.suffix or 'no'} files are not read; give .parquet, .csv or .csv.gz"
            )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}; is it complete?") from error
    if table.is_empty():
        raise DataError(f"{path} has no rows; nothing to import")
    return table


def missing_columns(table: pl.DataFrame, wanted: ColumnMap = TIDY_MAP) -> list[str]:
    """Columns of the file that the map needs and the file lacks, by the file's own names."""
    needed: list[str] = []
    for name in REQUIRED:
        if name in wanted.constants:
            continue
        theirs = wanted.columns.get(name)  # type: ignore[call-overload]
        needed.extend([name] if theirs is None else [theirs] if isinstance(theirs, str) else theirs)
    return [name for name in needed if name not in table.columns]


def lacks(path: Path, table: pl.DataFrame, missing: list[str]) -> DataError:
    """The error for missing columns: what lacks, what is there, what may be meant."""
    hints = []
    lower = {name.lower(): name for name in table.columns}
    for name in missing:
        close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
        if close:
            hints.append(f"{lower[close[0]]!r} for {name!r}")
    hint = f"; did you mean {', '.join(hints)}?" if hints else "."
    return DataError(
        f"{path} lacks column {', '.join(missing)}; it has {', '.join(table.columns)}{hint} "
        "Rename them or give a column map (column_map=... / --map)"
    )


def canonical(path: Path, table: pl.DataFrame, how: ColumnMap = TIDY_MAP) -> pl.DataFrame:
    """
    A table in canonical form.

    Raises
    ------
    DataError
        If a needed column is missing.
    """
    missing = missing_columns(table, how)
    if missing:
        raise lacks(path, table, missing)
    texts = {name: _source(table, how, name) for name in (*REQUIRED, *OPTIONAL)}
    values = {
        **{name: _text(texts[name]) for name in ("symbol", "underlying", "option_type")},
        "expiry": _date(texts["expiry"], how.expiry_format),
        "ts": _minute(texts["ts"], how),
        **{name: _number(texts[name]) for name in ("strike", "volume", "oi")},
        **{
            name: _number(texts[name]) * _PAISE[how.prices]
            for name in ("open", "high", "low", "close", "bid", "ask")
        },
    }
    frame = pl.DataFrame({name: series.alias(name) for name, series in values.items()})
    unreadable = [
        pl.when(texts[name].is_not_null() & frame[name].is_null()).then(pl.lit(name)) for name in values
    ]
    frame = frame.with_columns(
        pl.coalesce(*unreadable, pl.lit(None, pl.String)).alias("unreadable"),
        pl.col("option_type").str.to_uppercase().replace(_SPELLINGS),
        pl.col("underlying").str.to_uppercase(),
    )
    if how.volume == "lots":
        frame = _in_units(frame)
    return frame.with_columns(pl.coalesce("symbol", _made_up_symbol()).alias("symbol"))


def _source(table: pl.DataFrame, how: ColumnMap, name: str) -> pl.Series:
    """The file's own values for one of our columns; null where it has none."""
    if name in how.constants:
        value = how.constants[name]  # type: ignore[index]
        return pl.Series(name, [str(value)], pl.String).new_from_index(0, table.height)
    theirs = how.columns.get(name)  # type: ignore[call-overload]
    if isinstance(theirs, tuple):
        joined = pl.concat_str([pl.col(each).cast(pl.String) for each in theirs], separator=" ")
        return table.select(joined).to_series()
    if theirs is None or theirs not in table.columns:
        return pl.Series(name, [None], pl.String).new_from_index(0, table.height)
    column: pl.Series = table[theirs]
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        return column.to_frame().select(pl.when(pl.col(theirs) != "").then(pl.col(theirs))).to_series()
    return column


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String)


def _number(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Float32:
        column = column.cast(pl.String)  # its shortest decimal is the price; its binary value is beside it
    return column.cast(pl.Float64, strict=False)


def _date(column: pl.Series, layout: str | None) -> pl.Series:
    if column.dtype != pl.String:
        return column.cast(pl.Date, strict=False)
    dates: pl.Series = column.str.to_date(layout or "%Y-%m-%d", strict=False)
    return dates


def _minute(column: pl.Series, how: ColumnMap) -> pl.Series:
    if column.null_count() == len(column):
        return pl.Series(column.name, [None], pl.Datetime("us")).new_from_index(0, len(column))
    if column.dtype == pl.String:
        column = column.str.to_datetime(how.timestamp, time_unit="us", strict=False)
    if not isinstance(column.dtype, pl.Datetime):
        raise DataError(
            f"column {column.name!r} of times has type {column.dtype}; give date-times or their text"
        )
    moment = pl.col(column.name).dt.cast_time_unit("us")
    if column.dtype.time_zone is None:
        moment = moment.dt.replace_time_zone(how.timezone, non_existent="null", ambiguous="null")
    moment = moment.dt.convert_time_zone(_IST).dt.replace_time_zone(None)
    if how.labels == "end":
        moment = (moment - pl.duration(microseconds=1)).dt.truncate("1m")
    return column.to_frame().select(moment).to_series()


def _in_units(frame: pl.DataFrame) -> pl.DataFrame:
    lots: list[tuple[str, object, int | None]] = []
    for underlying, expiry in frame.select("underlying", "expiry").unique().drop_nulls().iter_rows():
        try:
            lots.append((underlying, expiry, lot_size(underlying, expiry)))
        except MarketFactError:
            lots.append((underlying, expiry, None))  # `checks` refuses these rows by the same fact
    sizes = pl.DataFrame(lots, {"underlying": pl.String, "expiry": pl.Date, "lot": pl.Int64}, orient="row")
    joined = frame.join(sizes, on=["underlying", "expiry"], how="left", maintain_order="left")
    return joined.with_columns(volume=pl.col("volume") * pl.col("lot")).drop("lot")


def _made_up_symbol() -> pl.Expr:
    """NIFTY09JAN2523500CE for files without symbols; the underlying's name for spot."""
    option = pl.format(
        "{}{}{}{}",
        "underlying",
        pl.col("expiry").dt.strftime("%d%b%y").str.to_uppercase(),
        pl.col("strike").cast(pl.Int64, strict=False),
        "option_type",
    )
    future = pl.format("{}{}FUT", "underlying", pl.col("expiry").dt.strftime("%d%b%y").str.to_uppercase())
    return (
        pl.when(pl.col("option_type") == "SPOT")
        .then(pl.col("underlying"))
        .when(pl.col("option_type") == "FUT")
        .then(pl.coalesce(future, pl.format("{}-I", "underlying")))
        .otherwise(option)
    )
