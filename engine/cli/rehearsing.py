"""`workbench rehearse`: one day, from the exchange's opening to the comparison with the backtest, in one command."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from engine.cli.options import open_lake, read_params
from engine.cli.show import console, notes, print_json, rupees, table, warn_simulated
from engine.desk.parity_causes import CAUSES
from engine.market.prices import paise_to_rupees

if TYPE_CHECKING:
    from engine.cli.rehearsal import Rehearsal
    from engine.cli.rehearsal_processes import Look

WHAT = {"only_ours": "only in the session", "only_theirs": "only in the backtest"}
DIFFERENCES_TO_TELL = 20
"""Differences told one by one; the rest as a count."""


def run_rehearse(
    *,
    name: str | None,
    underlying: str | None,
    day: str | None,
    source: str | None,
    changes: list[str] | None,
    filters: list[str] | None,
    speed: str,
    latency_ms: int,
    faults: list[str] | None,
    seed: int,
    keep: bool,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """
    Rehearse a day and tell how it compares with the backtest; exit code 1 when not all is well.

    Parameters
    ----------
    day : str, optional
        Default: the last day the lake holds, else the last trading day; one that no source has is simulated.

    Raises
    ------
    RehearsalError, DataError, ParamsError, FaultError
        As `rehearse_day`.
    """
    from engine.cli.practice import day_to_play
    from engine.cli.rehearsal import rehearse_day

    params = read_params(name, underlying, changes, filters)
    lake = open_lake(data_folder)
    date = day_to_play(lake, params.underlying, day, source)
    before = signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # ends like Ctrl-C: everything is ended
    try:
        with progress_of_day(quiet=as_json) as progress:
            made = rehearse_day(
                lake, params, date, source=source, speed=speed, delay_ms=latency_ms, faults=faults or (), seed=seed,
                keep=keep, progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        notes.print("rehearsal broken off; its processes are ended")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)
    if as_json:
        print_json(made.as_dict())
    else:
        tell(made)
    if not made.is_well:
        raise typer.Exit(1)


@contextmanager
def progress_of_day(*, quiet: bool = False) -> Iterator[Callable[["Look"], None]]:
    """A progress bar of a day in play, on standard error: its clock, trades, positions and P&L."""
    bar = Progress(
        TextColumn("rehearsing"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
        console=notes,
        transient=True,
        disable=quiet or not notes.is_terminal,
    )
    with bar:
        task = bar.add_task("day", total=None, told="starting the exchange and the session")

        def step(look: "Look") -> None:
            money = "" if look.net_paise is None else f"  {rupees(paise_to_rupees(look.net_paise))}"
            told = f"{look.clock} {look.phase}  {look.trades} trades, {look.open} open{money}"
            bar.update(task, completed=look.minute, total=look.minutes, told=told)

        yield step


def tell(made: "Rehearsal") -> None:
    """The outcome for a person at a terminal."""
    answer, found = made.as_dict(), made.comparison
    console.print()
    warn_simulated(made.entry.simulated)
    p50, p99 = (answer["latency_ms"][name] for name in ("p50", "p99"))
    latency = f"p50 {p50} ms, p99 {p99} ms" if p50 is not None else "not measured"
    console.print(
        table(
            f"Rehearsal of {answer['underlying']} {answer['date']} ({answer['source']}) at speed {made.speed}",
            ["", "session", "backtest"],
            [
                ("trades", found.trades, len(made.backtest.trades)),
                ("P&L before charges", rupees(answer["pnl"]), rupees(answer["backtest_pnl"])),
                ("trade hash", found.trade_hash, found.backtest_trade_hash),
                ("decisions", found.decisions, f"{len(made.backtest.decisions)}  ({'equal row for row' if found.decisions_equal else 'DIFFERENT'})"),
                ("fills", found.fills, ""),
                ("flat at the end", "yes" if made.flat else "NO", "by the exchange's own account"),
                ("runner restarts", made.restarts, ""),
                ("tick to decision", latency, ""),
                ("time", f"{made.seconds:.1f} s", ""),
            ],
        )
    )  # fmt: skip
    if made.struck:
        console.print("faults: " + ", ".join(f"{name} {count}" for name, count in made.struck.items()))
    if found.differences:
        _tell_differences(made)
    if found.equal:
        verdict = "equal to the backtest, row for row"
    elif made.is_well:
        verdict = "different from the backtest, every difference has its cause"
    else:
        verdict = "NOT WELL: " + ("not flat" if not made.flat else "differences without a good cause")
    console.print(f"\n{verdict}", highlight=False)
    if made.folder.exists():
        console.print(f"kept: {made.folder}", highlight=False, soft_wrap=True)


def _tell_differences(made: "Rehearsal") -> None:
    found = made.comparison
    console.print()
    console.print("Differences", style="bold")
    for each in found.differences[:DIFFERENCES_TO_TELL]:
        detail = f": {each.detail}" if each.detail else ""
        console.print(f"{WHAT.get(each.what, each.what)}  {each.key}", highlight=False, soft_wrap=True)
        for name, words in (
            ("session", each.ours),
            ("backtest", each.theirs),
            ("cause", each.cause + detail),
        ):
            if words:
                console.print(f"    {name:9} {words}", highlight=False, markup=False, soft_wrap=True)
    if len(found.differences) > DIFFERENCES_TO_TELL:
        console.print(f"and {len(found.differences) - DIFFERENCES_TO_TELL} more; --json tells all")
    console.print("causes:")
    for cause, count in found.causes.items():
        console.print(f"    {count} x {cause}: {CAUSES[cause]}", highlight=False, soft_wrap=True)
