"""`import_file`: one file into the lake, day by day, each day whole or not at all."""

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from engine.errors import DataError
from engine.history import eod
from engine.history.dayfile import PreparedDay, prepare_day
from engine.history.importers.bhavcopy import is_bhavcopy, read_bhavcopy
from engine.history.importers.checks import Checked, check_rows, refuse_if_mostly_bad, refuse_if_strict
from engine.history.importers.column_map import ColumnMap, read_column_map
from engine.history.importers.report import DayLanded, ImportReport
from engine.history.importers.tidy import TIDY_MAP, canonical, read_table
from engine.history.lake import Lake
from engine.history.manifest import SIMULATED_SOURCE

DEFAULT_SOURCE = "imported"
EOD_SOURCE = "nse"
Progress = Callable[[str, int, int], None]


def import_file(
    path: str | Path,
    lake: Lake,
    *,
    source: str | None = None,
    underlying: str | None = None,
    column_map: str | Path | ColumnMap | None = None,
    replace: bool = False,
    strict: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """
    Check a file of minute bars or of end-of-day rows and land its days.

    Recognised are tidy columns (Parquet or CSV), NSE's UDiFF bhavcopy, and any table a column map describes.

    Parameters
    ----------
    path : path
    lake : Lake
    source : str, optional
        Name to hold the bars under, e.g. the vendor's; default "imported". "simulated" is refused.
    underlying : str, optional
        Keep only this one of the file.
    column_map : path or ColumnMap, optional
        How to read a vendor's columns.
    replace : bool
        Overwrite days that are held with other bars.
    strict : bool
        Make any bad row an error, before anything is written.
    force : bool
        Import what is left of a file of minute bars that has more than a fifth of its option rows refused, or all
        of one day.
    progress : callable, optional
        Called with (what, days done, days in all) after each day.

    Returns
    -------
    ImportReport

    Raises
    ------
    DataError
        If the file as a whole cannot be used, too much of it is refused, or a day is held with other bars and `replace` is False. Nothing
        is written then. An import that is cut short has landed whole days; the same call finishes it.
    """
    path = Path(path)
    source = source or DEFAULT_SOURCE
    if source == SIMULATED_SOURCE:
        raise DataError(
            f"source {source!r} is kept for prices made by the simulator; name the file's true source "
            "(source=... / --source)"
        )
    table = read_table(path)
    if column_map is None and is_bhavcopy(table):
        return _import_eod(path, table, lake, underlying, replace=replace, strict=strict, progress=progress)
    how = TIDY_MAP if column_map is None else column_map
    if not isinstance(how, ColumnMap):
        how = read_column_map(how)
    rows = _only(path, canonical(path, table, how), underlying)
    checked = check_rows(rows)
    rejections = checked.rejections()
    _refuse_if_useless(path, checked)
    refuse_if_strict(str(path), rejections, strict=strict)
    refuse_if_mostly_bad(str(path), checked, force=force)
    prepared = list(_prepared(checked.good, source))
    if not replace:
        _refuse_conflicts(path, lake, prepared)
    landed = []
    for number, each in enumerate(prepared, start=1):
        footer = each.footer
        day, landing = lake.land(
            each,
            importer=f"import_file {path.name}",
            rejected=checked.counts(footer.underlying, footer.date),
            replace=replace,
        )
        landed.append(
            DayLanded(day.underlying, day.date.isoformat(), landing, day.rows, day.contracts, day.gaps, day)
        )
        if progress is not None:
            progress(str(day), number, len(prepared))
    return ImportReport(
        path=path,
        kind="minute bars",
        source=source,
        rows_read=rows.height,
        rows_kept=checked.good.height,
        duplicates=checked.duplicates,
        rejected=rejections,
        days=tuple(landed),
    )


def _import_eod(
    path: Path,
    table: pl.DataFrame,
    lake: Lake,
    underlying: str | None,
    *,
    replace: bool,
    strict: bool,
    progress: Progress | None,
) -> ImportReport:
    checked = read_bhavcopy(table)
    if underlying is not None:
        kept = pl.col("underlying") == underlying
        checked = Checked(checked.good.filter(kept), checked.bad.filter(kept), checked.duplicates)
    rejections = checked.rejections()
    _refuse_if_useless(path, checked)
    refuse_if_strict(str(path), rejections, strict=strict)
    days = list(_by_day(checked.good))
    for its_underlying, date, rows in days if not replace else ():
        if eod.conflicts(lake.root, rows, underlying=its_underlying, date=date):
            raise DataError(
                f"{path}: another end-of-day table of {its_underlying} {date} is held; nothing was written. "
                "Import with replace=True / --replace to overwrite"
            )
    landed = []
    for number, (its_underlying, date, rows) in enumerate(days, start=1):
        landing = eod.write(lake.root, rows, underlying=its_underlying, date=date, replace=replace)
        contracts = rows["symbol"].n_unique()
        landed.append(
            DayLanded(its_underlying, date.isoformat(), landing, rows.height, contracts, None, None)
        )
        if progress is not None:
            progress(f"{its_underlying} {date} end of day", number, len(days))
    return ImportReport(
        path=path,
        kind="end of day",
        source=EOD_SOURCE,
        rows_read=table.height,
        rows_kept=checked.good.height,
        duplicates=checked.duplicates,
        rejected=rejections,
        days=tuple(landed),
    )


def _only(path: Path, rows: pl.DataFrame, underlying: str | None) -> pl.DataFrame:
    if underlying is None:
        return rows
    kept = rows.filter(pl.col("underlying") == underlying)
    if kept.is_empty():
        held = ", ".join(sorted(rows["underlying"].drop_nulls().unique()))
        raise DataError(
            f"{path} has no row of underlying {underlying!r}; it has {held or 'none'}; name "
            "one of them (underlying=... / --underlying)"
        )
    return kept


def _refuse_if_useless(path: Path, checked: Checked) -> None:
    if checked.good.is_empty():
        first = next(iter(checked.rejections()), "no rows")
        raise DataError(
            f"{path}: not one good row, nothing was written ({first}); is it the right file and column map "
            "(column_map=... / --map)?"
        )


def _by_day(rows: pl.DataFrame) -> Iterator[tuple[str, dt.date, pl.DataFrame]]:
    for (underlying, date), part in sorted(
        rows.partition_by("underlying", "date", as_dict=True).items(),
        key=lambda item: (item[0][1], item[0][0]),
    ):
        yield underlying, date, part


def _prepared(good: pl.DataFrame, source: str) -> Iterator[PreparedDay]:
    for underlying, date, rows in _by_day(good):
        yield prepare_day(
            rows,
            underlying=underlying,
            date=date,
            source=source,
            simulated=False,
            quality="close_only" if rows["close_only"][0] else "ohlcv",
            prices="paise",
        )


def _refuse_conflicts(path: Path, lake: Lake, prepared: list[PreparedDay]) -> None:
    held = [day for each in prepared if (day := lake.conflict(each)) is not None]
    if held:
        raise DataError(
            f"{path}: {len(held)} of {len(prepared)} days are held with other bars, the first is {held[0]}; nothing "
            "was written. Import with replace=True / --replace to overwrite, or under another source name "
            "(source=... / --source)"
        )
