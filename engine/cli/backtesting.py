"""`workbench backtest`, `demo`, `bench`: run, tell, write the report."""

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine.cli.options import open_lake, parse_range, read_params
from engine.cli.show import console, print_json, progress, rupees, table, warn_simulated
from engine.errors import DataError

if TYPE_CHECKING:
    from engine.backtest.result import Result

DEMO_START = dt.date(2026, 10, 1)
DEMO_END = dt.date(2026, 10, 30)
SKIPPED_TO_TELL = 8
"""Skipped days told one by one; the rest as a count."""


def run_backtest(
    *,
    name: str | None,
    underlying: str | None,
    start: str | None,
    end: str | None,
    day: str | None,
    source: str | None,
    changes: list[str] | None,
    filters: list[str] | None,
    threads: int,
    report: Path | None,
    crosscheck: bool,
    data_folder: Path | None,
    as_json: bool,
) -> None:
    """Backtest and print the outcome."""
    from engine.backtest.run import backtest

    params = read_params(name, underlying, changes, filters)
    lake = open_lake(data_folder)
    first, last = parse_range(lake, params.underlying, source, start, end, day)
    with progress("backtest", quiet=as_json) as step:
        result = backtest(params, lake, first, last, source=source, threads=threads, progress=step)
    answer = result.summary()
    if report is not None:
        answer["report"] = str(result.report(report, lake))
    if crosscheck:
        answer["crosscheck"] = _crosscheck(result)
    if as_json:
        print_json(answer)
    else:
        tell(result, answer)
    if not answer["trades"] and not answer["invalid_trades"]:
        raise DataError(_why_empty(result))
    if crosscheck and not answer["crosscheck"]["equal"]:
        import typer

        raise typer.Exit(1)


def run_demo(data_folder: Path | None, as_json: bool) -> None:
    """
    The main job on an embedded default: a simulated month, a backtest, a report, and one of its days rehearsed live.

    Exit code 1 if the rehearsal is not well.
    """
    from engine.backtest.run import backtest
    from engine.cli.rehearsal import rehearse_day
    from engine.cli.rehearsing import progress_of_day
    from engine.cli.rehearsing import tell as tell_rehearsal
    from engine.history.simulate import ensure_simulated
    from engine.params import load_params, project_folder

    began = time.perf_counter()
    params = load_params("swing_break")
    lake = open_lake(data_folder)
    if not as_json:
        console.print(
            f"Swing-break on {params.underlying} weekly options, {DEMO_START} to {DEMO_END}, on days made by the "
            "simulator. The first run compiles the engine (about half a minute); later ones start at once.",
            highlight=False,
        )
    with progress("simulate", quiet=as_json) as step:
        ensure_simulated(lake, params.underlying, DEMO_START, DEMO_END, progress=step)
    with progress("backtest", quiet=as_json) as step:
        result = backtest(params, lake, DEMO_START, DEMO_END, source="simulated", progress=step)
    path = result.report(project_folder() / "reports" / "demo.html", lake)
    answer = {**result.summary(), "report": str(path)}
    if not as_json:
        tell(result, answer)
        console.print(
            "\nNow the last of these days with trades, live: an exchange of its own, the official Kite client, the runner.",
            highlight=False,
        )
    last = max((day.date for day in result.days if len(day.trades)), default=DEMO_END)
    with progress_of_day(quiet=as_json) as step_of_day:
        rehearsed = rehearse_day(lake, params, last, source="simulated", progress=step_of_day)
    if as_json:
        took = round(time.perf_counter() - began, 1)
        print_json({**answer, "rehearsal": rehearsed.as_dict(), "demo_s": took})
    else:
        tell_rehearsal(rehearsed)
        console.print(
            "\nNext: `workbench lab` opens the notebooks, `workbench rehearse --help` and `workbench live --help` tell "
            "how a day is traded."
        )
    if not rehearsed.is_well:
        raise typer.Exit(1)


def run_benchmark(quick: bool, as_json: bool) -> None:
    """Run the paired benchmark."""
    from engine.bench import render, run_bench

    with progress("bench", quiet=as_json) as step:
        figures = run_bench(quick=quick, progress=step)
    if as_json:
        print_json(figures)
    else:
        console.print(render(figures))


def _why_empty(result: "Result") -> str:
    """The rule behind an empty result, in one line."""
    reached = list(result.funnel.select("rule", "reached").iter_rows())
    place = next(k for k, (_, count) in enumerate(reached) if count == 0)
    rule, before = reached[place][0].replace("_", " "), reached[place - 1]
    if rule == "contract days examined":
        rule = "price range and VWAP premium together"
    return (
        f"no trade in {len(result.days)} days: {rule} let none of {before[1]} {before[0].replace('_', ' ')} through; "
        "loosen it (--set name=value) or take more days"
    )


def _crosscheck(result: "Result") -> dict[str, Any]:
    from engine.backtest.crosscheck import crosscheck

    check = crosscheck(result)
    return {
        "trades": check.trades,
        "ours": str(check.ours),
        "vectorbt": str(check.vectorbt),
        "equal": check.equal,
        "invalid_excluded": check.invalid,
    }


def _days(answer: dict[str, Any]) -> str:
    """Days traded, of how many, and what is not there."""
    told = f"{answer['days']} of {answer['days'] + answer['days_skipped'] + (answer['days_absent'] or 0)} trading days, "
    if answer["days_absent"]:
        told += f"{answer['days_absent']} not in the lake, "
    if answer["days_skipped"]:
        told += f"{answer['days_skipped']} not tradable, "
    return told + f"from {', '.join(answer['sources'])}"


def tell(result: "Result", answer: dict[str, Any]) -> None:
    """The outcome for a person at a terminal."""
    console.print()
    warn_simulated(answer["simulated"])
    win_rate = f"{answer['win_rate']:.1%}" if answer["win_rate"] is not None else "no trades"
    console.print(
        table(
            f"{answer['underlying']} {answer['strategy']}, {answer['start']} to {answer['end']}",
            ["", " "],
            [
                ("days traded", _days(answer)),
                ("trades", f"{answer['trades']}  (win rate {win_rate})"),
                ("result", f"{answer['total_r']:+.2f} R before charges, {answer['net_r']:+.2f} R after"),
                ("P&L", f"{rupees(answer['gross_pnl'])} - charges {rupees(answer['charges'])} = {rupees(answer['net_pnl'])}"),
                ("worst day, drawdown", f"{answer['worst_day_r']:+.2f} R, {answer['max_drawdown_r']:+.2f} R"),
                ("days ended early", f"{answer['day_targets']} at the target, {answer['day_stops']} at the stop"),
                ("exits", ", ".join(f"{reason} {count}" for reason, count in answer["exit_reasons"].items())),
                ("ambiguous bars", f"{answer['ambiguous_bars']}  (the worse order was taken)"),
                ("invalid trades", f"{answer['invalid_trades']}  (no price to close them; left out of P&L)"),
                ("missing minutes", f"{answer['missing_contract_minutes']} contract-minutes"),
                ("parameters", answer["params_hash"]),
                ("trade hash", answer["trade_hash"]),
                ("time", f"{answer['elapsed_s']:.2f} s for {answer['bars']:,} bars, loading included"),
            ],
        )
    )  # fmt: skip
    console.print()
    console.print(
        table(
            "Funnel: how far candidates came, and what each rule removed",
            ["rule", "reached", "removed"],
            [(rule, f"{reached:,}", "" if removed is None else f"{removed:,}") for rule, reached, removed in result.funnel.iter_rows()],
            right={"reached", "removed"},
        )
    )  # fmt: skip
    for skipped in result.skipped[:SKIPPED_TO_TELL]:
        console.print(f"not traded: {skipped.date}: {skipped.reason}", highlight=False)
    if len(result.skipped) > SKIPPED_TO_TELL:
        console.print(f"not traded: {len(result.skipped) - SKIPPED_TO_TELL} more days")
    if "crosscheck" in answer:
        check = answer["crosscheck"]
        verdict = "equal to the paisa" if check["equal"] else "DIFFERENT"
        console.print(
            f"\nvectorbt cross-check of {check['trades']} trades: ours {rupees(check['ours'])}, "
            f"vectorbt {rupees(check['vectorbt'])}: {verdict}",
            highlight=False,
        )
    if "report" in answer:
        console.print(f"\nreport: {answer['report']}", highlight=False, soft_wrap=True)
