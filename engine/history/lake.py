"""The lake: every trading day the workbench holds, as Parquet under `data/`, found through its manifest.

Importers and the market simulator write days here; backtests, panels and notebooks read them. Prices made by a
model carry the source name "simulated" and a flag in both manifest and file, checked at every load: no path
through the lake loses that label, and no run mixes such days with real ones.
"""

import datetime as dt
import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import DataError
from engine.history import eod
from engine.history.check import Problem, check_lake, fault_of, remedy_for, unreadable_manifest
from engine.history.day import DayBars, Quality
from engine.history.dayfile import (
    Footer,
    PreparedDay,
    PriceUnit,
    listed_strikes,
    prepare_day,
    read_dense,
    read_footer,
    read_opening,
    read_rows,
)
from engine.history.manifest import (
    SCHEMA_VERSION,
    LakeDay,
    day_path,
    decode,
    encode,
    manifest_key,
    manifest_name,
)
from engine.history.writing import commit_pair, finish_interrupted, one_writer
from engine.market import clock
from engine.market.prices import PAISE_PER_RUPEE, PAISE_PER_TICK

READERS = 2
_BARS = ("open", "high", "low", "close")
_BOOK = ("bid", "ask")
_CHAIN_COLUMNS = ("expiry", "strike", "option_type", "symbol", "minute", *_BARS, *_BOOK, "volume", "oi")
_CONTRACT = ("symbol", "underlying", "expiry", "strike", "option_type")
_TIDY_COLUMNS = (*_CONTRACT, "ts", "minute", *_BARS, "volume", "oi", *_BOOK)
StrikeChoice = Callable[[int | None, tuple[int, ...]], Iterable[int] | None]
Landing = Literal["written", "unchanged", "replaced"]


class Lake:
    """
    The stored days under one data folder.

    Parameters
    ----------
    root : path
        Data folder; the days lie in its `lake/`, end-of-day tables in its `eod/`. It need not exist yet.
    """

    def __init__(self, root: str | Path = "data") -> None:
        self.root = Path(root)

    def entries(
        self,
        underlying: str | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        source: str | None = None,
    ) -> list[LakeDay]:
        """
        Manifests of the stored days, by underlying, date and source; no Parquet file is opened.

        Parameters
        ----------
        underlying, source : str, optional
            Keep only these.
        start, end : date, optional
            First and last trading day to keep, both included.

        Raises
        ------
        DataError
            If one of these manifests is unreadable; `listing` goes on without it.
        """
        return [
            decode(path.read_bytes(), data, path)
            for path, data in self._named(underlying, start, end, source)
        ]

    def listing(
        self,
        underlying: str | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        source: str | None = None,
    ) -> tuple[list[LakeDay], list[Problem]]:
        """As `entries`, but a day whose manifest is unreadable comes as a problem, beside the readable days."""
        days, problems = [], []
        for path, data in self._named(underlying, start, end, source):
            try:
                days.append(decode(path.read_bytes(), data, path))
            except DataError as error:
                problems.append(unreadable_manifest(path, error))
        return days, problems

    def _named(
        self, underlying: str | None, start: dt.date | None, end: dt.date | None, source: str | None
    ) -> list[tuple[Path, Path]]:
        """Manifest and Parquet file of the days of a choice, by underlying, date and source."""
        folder = self._manifests
        wanted = []
        for path in folder.iterdir() if folder.is_dir() else ():
            key = manifest_key(path.name)
            if key is None:
                continue
            its_source, its_underlying, date = key
            if (
                (underlying is None or its_underlying == underlying)
                and (source is None or its_source == source)
                and (start is None or date >= start)
                and (end is None or date <= end)
            ):
                wanted.append((its_underlying, date, its_source, path))
        return [(path, day_path(self._lake, src, und, date)) for und, date, src, path in sorted(wanted)]

    def select(
        self, underlying: str, start: dt.date, end: dt.date, source: str | None = None
    ) -> list[LakeDay]:
        """
        The days a run over [start, end] uses, ascending.

        Without a source, real days are used and simulated ones only where the range has no real day at all;
        the two are never mixed.

        Raises
        ------
        DataError
            If the data folder does not exist, the range holds no day, or two real sources hold the same date.
        """
        days = self.entries(underlying, start, end, source)
        if not days:
            raise DataError(self._nothing(underlying, start, end, source))
        real = [day for day in days if not day.simulated]
        chosen = real or days
        for before, after in itertools.pairwise(chosen):
            if before.date == after.date:
                raise DataError(
                    f"{underlying} {before.date} is held from two sources, {before.source!r} and {after.source!r}; "
                    "name the one to use (source=... / --source)"
                )
        return chosen

    def load(
        self,
        day: LakeDay,
        *,
        expiry: dt.date | None = None,
        strikes: Iterable[int] | StrikeChoice | None = None,
    ) -> DayBars:
        """
        The options of one expiry of a day, dense.

        Parameters
        ----------
        expiry : date, optional
            Default: the nearest one not before the day.
        strikes : iterable of int, or function, optional
            Strikes in rupees to keep; default all. A function is given the underlying's opening price (paise, or
            None where the day has no spot) and the listed strikes, and names those to keep (None = all).

        Raises
        ------
        DataError
            If the file is missing, is not the one the manifest tells of, or lacks the expiry or the strikes.
        """
        if callable(strikes):
            file, footer = self._open(day)
            with _reading(day):
                opening = read_opening(file, footer)
            wanted = strikes(opening, listed_strikes(footer, expiry))
            with _reading(day):
                return read_dense(
                    file, footer, expiry=expiry, strikes=None if wanted is None else frozenset(wanted)
                )
        return self._load(day, expiry, None if strikes is None else frozenset(strikes))

    def load_many(
        self, days: Iterable[LakeDay], *, expiry: dt.date | None = None, strikes: Iterable[int] | None = None
    ) -> list[DayBars]:
        """
        Several days as `load` gives them, in the order asked for, read by two threads.

        Raises
        ------
        DataError
            As `load`, for the first day that cannot be loaded.
        """
        kept = None if strikes is None else frozenset(strikes)
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(lambda day: self._load(day, expiry, kept), days))

    def spot(self, day: LakeDay) -> pl.DataFrame | None:
        """
        The underlying's own bars of a day, or None where the day has none.

        Returns
        -------
        polars frame
            `minute` (int16), `open, high, low, close` (int32, **paise**: an index value need not lie on a tick).
        """
        rows = self._rows(day).filter(pl.col("option_type") == "SPOT")
        return None if rows.is_empty() else rows.select("minute", *_BARS)

    def chain(self, day: LakeDay, minute: int, *, expiry: dt.date | None = None) -> pl.DataFrame:
        """
        The option chain as known when a minute has closed: the last bar of each contract up to that minute.

        Parameters
        ----------
        minute : int
            Minute of the session.
        expiry : date, optional
            Keep one expiry; default all that the day holds.

        Returns
        -------
        polars frame
            `expiry, strike` (rupees)`, option_type, symbol, minute` (that of the bar: smaller than asked where
            the contract did not trade)`, open, high, low, close, bid, ask` (ticks)`, volume, oi` (units), sorted by
            expiry, strike, option type.
        """
        rows = self._rows(day).filter(pl.col("option_type").is_in(["CE", "PE"]), pl.col("minute") <= minute)
        if expiry is not None:
            rows = rows.filter(pl.col("expiry") == expiry)
        return (
            rows.group_by("symbol", maintain_order=True)
            .last()
            .with_columns(pl.col(*_BARS, *_BOOK) // PAISE_PER_TICK)
            .select(_CHAIN_COLUMNS)
            .sort("expiry", "strike", "option_type")
        )

    def frame(self, day: LakeDay) -> pl.DataFrame:
        """
        A whole day for people: tidy rows, prices in rupees (float), `ts` = aware IST start of the minute.

        Columns `symbol, underlying, expiry, strike, option_type, ts, minute, open, high, low, close, volume, oi,
        bid, ask`; options first, then futures and spot.
        """
        first = clock.minute_start(day.date, 0)
        return (
            self._rows(day)
            .with_columns(
                pl.col(*_BARS, *_BOOK) / PAISE_PER_RUPEE,
                underlying=pl.lit(day.underlying),
                ts=pl.lit(clock.to_ns(first))
                .cast(pl.Datetime("ns", "UTC"))
                .dt.convert_time_zone("Asia/Kolkata")
                + pl.duration(minutes=pl.col("minute"), time_unit="ns"),
            )
            .select(_TIDY_COLUMNS)
        )

    def eod(self, underlying: str, date: dt.date) -> pl.DataFrame:
        """
        The exchange's end-of-day table of one underlying; columns as in `engine.history.eod`.

        Raises
        ------
        DataError
            If that day's bhavcopy was not imported.
        """
        return eod.read(self.root, underlying, date)

    def write_day(
        self,
        frame: pl.DataFrame,
        *,
        underlying: str,
        date: dt.date,
        source: str,
        simulated: bool,
        importer: str,
        quality: Quality = "ohlcv",
        prices: PriceUnit = "ticks",
        rejected: Mapping[str, int] | None = None,
        replace: bool = False,
    ) -> LakeDay:
        """
        Check a day's bars and land them; columns and units as in `dayfile.prepare_day`.

        Landing the same bars again changes nothing.

        Raises
        ------
        DataError
            If a bar is impossible, or the day is held with other bars and `replace` is False.
        """
        prepared = prepare_day(
            frame,
            underlying=underlying,
            date=date,
            source=source,
            simulated=simulated,
            quality=quality,
            prices=prices,
        )
        day, _ = self.land(prepared, importer=importer, rejected=rejected, replace=replace)
        return day

    def land(
        self,
        prepared: PreparedDay,
        *,
        importer: str,
        rejected: Mapping[str, int] | None = None,
        replace: bool = False,
    ) -> tuple[LakeDay, Landing]:
        """
        Put a prepared day in its place, whole or not at all; a second writer waits for the first.

        A day whose manifest is unreadable is not held: this is how it is mended.

        Returns
        -------
        LakeDay, landing
            The day as held now, and "written", "unchanged" (it was there with the same bars) or "replaced".

        Raises
        ------
        DataError
            If the day is held with other bars and `replace` is False, or another writer does not end.
        """
        footer = prepared.footer
        data = day_path(self._lake, footer.source, footer.underlying, footer.date)
        manifest = self._manifests / manifest_name(footer.source, footer.underlying, footer.date)
        with one_writer(data.parent):
            finish_interrupted(data, manifest)
            held = next(iter(self._held(footer)), None)
            if held is not None and held.content == footer.content and fault_of(held) is None:
                return held, "unchanged"
            if held is not None and held.content != footer.content and not replace:
                raise DataError(
                    f"{held} is held with other bars ({held.rows} rows, imported {held.imported_at}; these are "
                    f"{prepared.rows}); import with replace=True / --replace to overwrite, or under another source "
                    "name (source=... / --source)"
                )
            day = _entry(prepared, data, importer, rejected or {})
            commit_pair(data, prepared.encoded, manifest, encode(day))
        return day, "written" if held is None else "replaced"

    def conflict(self, prepared: PreparedDay) -> LakeDay | None:
        """The stored day that `prepared` would overwrite with other bars, if there is one."""
        held = self._held(prepared.footer)
        return next((day for day in held if day.content != prepared.footer.content), None)

    def _held(self, footer: Footer) -> list[LakeDay]:
        days, _ = self.listing(footer.underlying, footer.date, footer.date, footer.source)
        return days

    def check(self) -> list[Problem]:
        """
        Compare every file with its manifest and with the calendar; an empty list is a sound lake.

        Found are: bars changed since they landed (hash), bars without a manifest and the reverse, an interrupted
        landing, a false or missing simulated label, another layout, a date or session the calendar denies.
        """
        return check_lake(self._lake)

    @property
    def _lake(self) -> Path:
        return self.root / "lake"

    @property
    def _manifests(self) -> Path:
        return self._lake / "manifest"

    def _load(self, day: LakeDay, expiry: dt.date | None, strikes: Collection[int] | None) -> DayBars:
        file, footer = self._open(day)
        with _reading(day):
            return read_dense(file, footer, expiry=expiry, strikes=strikes)

    def _rows(self, day: LakeDay) -> pl.DataFrame:
        self._open(day)
        with _reading(day):
            return read_rows(day.path)

    def _open(self, day: LakeDay) -> tuple[pq.ParquetFile, Footer]:
        again = remedy_for(day.source, day.underlying, day.date, day.importer)
        try:
            file = pq.ParquetFile(day.path)
        except FileNotFoundError as error:
            raise DataError(f"{day}: {day.path} is missing; {again}") from error
        except pa.ArrowInvalid as error:
            raise DataError(f"{day}: {day.path} is not readable ({error}); {again}") from error
        footer = read_footer(file, day.path)
        told = (
            footer.schema,
            footer.content,
            footer.simulated,
            footer.source,
            footer.underlying,
            footer.date,
        )
        if told != (day.schema, day.content, day.simulated, day.source, day.underlying, day.date):
            raise DataError(
                f"{day}: the file and its manifest disagree (file: {footer.underlying} {footer.date} from "
                f"{footer.source}, simulated {footer.simulated}); list the lake again, or {again}"
            )
        if file.metadata.num_rows != day.rows:
            raise DataError(f"{day}: {file.metadata.num_rows} rows, manifest says {day.rows}; {again}")
        return file, footer

    def _nothing(self, underlying: str, start: dt.date, end: dt.date, source: str | None) -> str:
        held = []
        readable, problems = self.listing()
        for und, src in sorted({(day.underlying, day.source) for day in readable}):
            days = [day for day in readable if (day.underlying, day.source) == (und, src)]
            held.append(f"{und} from {src}: {len(days)} days {days[0].date} to {days[-1].date}")
        if problems:
            held.append(f"{len(problems)} days with an unreadable manifest, see `workbench data check`")
        asked = f"{underlying} {start} to {end}" + (f" from source {source!r}" if source else "")
        if not self.root.is_dir():
            return (
                f"the data folder {self.root} does not exist, so it holds no day of {asked}; give the right folder "
                "(Lake(...) / --data), or bring days in with `workbench data import FILE` or `workbench data simulate`"
            )
        return (
            f"the lake at {self._lake} holds no day of {asked}; it holds {'; '.join(held) or 'nothing'}. "
            "Bring days in with `workbench data import FILE` or make them with `workbench data simulate`"
        )


@contextmanager
def _reading(day: LakeDay) -> Iterator[None]:
    """Bars that cannot be read although the file opens: said with the day and its remedy."""
    try:
        yield
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        again = remedy_for(day.source, day.underlying, day.date, day.importer)
        raise DataError(f"{day}: {day.path} is damaged ({str(error).splitlines()[0]}); {again}") from error


def _entry(prepared: PreparedDay, data: Path, importer: str, rejected: Mapping[str, int]) -> LakeDay:
    footer = prepared.footer
    return LakeDay(
        source=footer.source,
        underlying=footer.underlying,
        date=footer.date,
        path=data,
        schema=SCHEMA_VERSION,
        sha256=hashlib.sha256(prepared.encoded).hexdigest(),
        content=footer.content,
        rows=prepared.rows,
        contracts=len(footer.contracts),
        minutes=footer.minutes,
        expiries=prepared.expiries,
        simulated=footer.simulated,
        quality=footer.quality,
        gaps=prepared.gaps,
        importer=importer,
        imported_at=clock.from_ns(time.time_ns()).isoformat(timespec="seconds"),
        rejected=dict(rejected),
    )
