"""`workbench data ...`: what goes into the lake and what is in it."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.options import open_lake, parse_date
from engine.cli.show import console, print_json, progress, table, warn_simulated
from engine.errors import DataError

if TYPE_CHECKING:
    from engine.history.check import Problem


def run_import(
    files: list[Path],
    source: str | None,
    underlying: str | None,
    column_map: Path | None,
    replace: bool,
    strict: bool,
    force: bool,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """
    Import files one after another; an error stops at the file it concerns, what landed before stays.

    A path that is no file stops it before the first one is imported.
    """
    from engine.history.importers import import_file

    lake = open_lake(data_folder)
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise DataError(f"no such file: {', '.join(absent)}; nothing was imported, correct the path")
    told: list[dict[str, Any]] = []
    for path in files:
        with progress(f"import {path.name}", quiet=as_json) as step:
            report = import_file(
                path,
                lake,
                source=source,
                underlying=underlying,
                column_map=column_map,
                replace=replace,
                strict=strict,
                force=force,
                progress=lambda what, done, total, step=step: step(done, total, what),  # type: ignore[misc]
            )
        told.append(
            {
                "file": path.name,
                "kind": report.kind,
                "source": report.source,
                "rows_read": report.rows_read,
                "rows_kept": report.rows_kept,
                "rows_rejected": report.rows_rejected,
                "duplicates": report.duplicates,
                "rejected": [
                    {"reason": r.reason, "count": r.count, "example": r.example} for r in report.rejected
                ],
                "days": [
                    {
                        "underlying": day.underlying,
                        "date": day.date,
                        "landing": day.landing,
                        "rows": day.rows,
                        "contracts": day.contracts,
                        "quality": day.day.quality if day.day else "end_of_day",
                    }
                    for day in report.days
                ],
            }
        )
        if not as_json:
            for line in report.lines():
                console.print(line, highlight=False)
            close_only = sum(day.day is not None and day.day.quality == "close_only" for day in report.days)
            if close_only:
                console.print(
                    f"{close_only} days are close-only: high, low and volume are unknown, so they can be looked at "
                    "but not traded in a backtest",
                    highlight=False,
                )
    if as_json:
        print_json({"files": told})


def run_list(
    underlying: str | None,
    source: str | None,
    start: str | None,
    end: str | None,
    days: bool,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """One line per underlying and source, or per day; a day with an unreadable manifest is reported apart."""
    lake = open_lake(data_folder)
    entries, problems = lake.listing(
        underlying, parse_date(start) if start else None, parse_date(end) if end else None, source
    )
    if as_json:
        print_json(
            {
                "data": str(lake.root),
                "days": [
                    {
                        "underlying": e.underlying,
                        "date": e.date,
                        "source": e.source,
                        "simulated": e.simulated,
                        "quality": e.quality,
                        "contracts": e.contracts,
                        "rows": e.rows,
                        "minutes": e.minutes,
                        "missing": e.gaps.missing,
                        "expiries": [str(x) for x in e.expiries],
                    }
                    for e in entries
                ],
                "unreadable": [_told(problem) for problem in problems],
            }
        )
        return
    for problem in problems:
        console.print(f"warning, left out: {problem}", highlight=False, markup=False)
    if not entries:
        console.print(
            f"the lake at {lake.root} holds no such day; bring some in with `workbench data import FILE` or "
            "`workbench data simulate`",
            highlight=False,
        )
        return
    if days:
        rows: list[tuple[Any, ...]] = [
            (
                e.underlying,
                e.date,
                e.source,
                e.quality,
                e.contracts,
                e.rows,
                e.gaps.missing,
                e.expiries[0] if e.expiries else "",
            )
            for e in entries
        ]
        columns = ["underlying", "date", "source", "quality", "contracts", "bars", "missing", "first expiry"]
    else:
        rows = []
        for und, src, quality in sorted({(e.underlying, e.source, e.quality) for e in entries}):
            these = [e for e in entries if (e.underlying, e.source, e.quality) == (und, src, quality)]
            rows.append(
                (und, src, quality, len(these), these[0].date, these[-1].date, sum(e.rows for e in these),
                 sum(e.gaps.missing for e in these))
            )  # fmt: skip
        columns = ["underlying", "source", "quality", "days", "first", "last", "bars", "missing"]
    console.print(
        table(f"Lake at {lake.root}", columns, rows, right={"days", "bars", "missing", "contracts"})
    )
    warn_simulated(any(e.simulated for e in entries))


def run_check(data_folder: Path | None, as_json: bool) -> None:
    """Print every problem; exit code 1 when there is one."""
    import typer

    lake = open_lake(data_folder)
    problems = lake.check()
    days = len(lake.entries()) if not problems else None
    if as_json:
        print_json(
            {
                "problems": [_told(problem) for problem in problems],
                "days": days,
            }
        )
    elif problems:
        for problem in problems:
            console.print(str(problem), highlight=False)
    else:
        console.print(f"{days} days checked: files, hashes, labels and calendar agree")
    if problems:
        raise typer.Exit(1)


def _told(problem: "Problem") -> dict[str, str]:
    return {"path": str(problem.path), "what": problem.what, "remedy": problem.remedy}


def run_simulate(
    underlying: str,
    start: str | None,
    end: str | None,
    day: str | None,
    seed: int,
    strikes: int,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """Make the missing simulated days of a range."""
    from engine.history.simulate import simulate
    from engine.market.calendar import next_trading_day, trading_days

    if day is not None and (start is not None or end is not None):
        raise DataError("--date means one day; leave out --start and --end")
    if day is None and (start is None or end is None):
        raise DataError("say which days to simulate: --start and --end, or --date, as YYYY-MM-DD")
    first = parse_date(day or start or "")
    last = parse_date(day or end or "")
    if first > last:
        raise DataError(f"the range {first} to {last} is empty; give the earlier date first")
    if not trading_days(first, last):
        raise DataError(f"{first} to {last} holds no trading day; the next one is {next_trading_day(last)}")
    lake = open_lake(data_folder)
    written: list[dt.date]
    with progress(f"simulate {underlying}", quiet=as_json) as step:
        written = simulate(lake, underlying, first, last, seed=seed, strikes_each_side=strikes, progress=step)
    if as_json:
        print_json({"underlying": underlying, "seed": seed, "written": written})
    else:
        console.print(
            f"{len(written)} simulated days of {underlying} written, "
            f"{len(lake.entries(underlying, first, last, 'simulated'))} held for {first} to {last}",
            highlight=False,
        )
        warn_simulated(True)
