"""The benchmark: measure the engine and the others on the same simulated year, in one run.

The machine under it may be shared and noisy, so a ratio is never made of two figures taken at different times:
ours and the other are run alternately (A B A B ...), each pair gives one ratio, and the median of the pairs is
told together with the smallest and the largest. Compile time is outside every such figure and told apart.
"""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.bench.live import measure_live
from engine.bench.ours import Progress, bars_of, load_days, make_year
from engine.bench.pairs import run_pairs
from engine.bench.start import alone, measure_start
from engine.history.lake import Lake
from engine.params import load_params, project_folder

PAIRS, QUICK_PAIRS = 7, 3
SAMPLE, QUICK_SAMPLE = 24, 8
REPEATS, QUICK_REPEATS = 3, 1
GOAL_OVER_VECTORBT = 4.0
GOAL_BARS_PER_CORE = 25e6

# which process tells the memory of a row
_ALONE = {
    "ours": "ours",
    "ours_from_lake_2_threads": "ours_from_lake",
    "vectorbt_whole_job": "vectorbt_whole_job",
    "vectorbt_handed_swings": "vectorbt_handed_swings",
    "backtesting_py": "backtesting_py",
}
_LEFT_OUT_WHEN_QUICK = "vectorbt_handed_swings"
_PACKAGES = ("numpy", "numba", "polars", "pyarrow", "vectorbt", "backtesting")


def run_bench(
    *, quick: bool = False, progress: Progress | None = None, lake: Lake | None = None
) -> dict[str, Any]:
    """
    Run the benchmark; about six minutes, with `quick` about half of it.

    Parameters
    ----------
    quick : bool
        Fewer pairs and repeats.
    progress : callable, optional
        Called with (steps done, steps in all, what is measured).
    lake : Lake, optional
        Where the simulated year lies or is made; by default the project's `data/`.

    Returns
    -------
    dict, ready for JSON
        `engines` : rows of `key, name, bars_per_s, best_bars_per_s, wall_s, rss_mb, import_s, first_s, note`. `wall_s` and
        `bars_per_s` are medians; `rss_mb` (peak), `import_s` and `first_s` (first run, with whatever had to be
        compiled) are of a fresh process of that engine, null where none was started.
        `ratios` : time per bar of the other over that of ours on one thread, median of the pairs, by key;
        `ratio_spread` : smallest, largest and number of pairs.
        `trades` : number, hashes of all runs, number in common with vectorbt, whether all are equal.
        `start` : see `start.measure_start`; with `year_rss_mb`.
        `live` : see `live.measure_live`.
        `goals`, `machine`, `days`, `contracts`, `bars`, `simulated`.
    """
    steps = ["simulated year", "loading", "pairs", *_ALONE, "start", "live"]

    def tell(step: str) -> None:
        if progress is not None:
            progress(steps.index(step), len(steps), step)

    params = load_params("swing_break")
    lake = lake or Lake(project_folder() / "data")
    tell("simulated year")
    make_year(lake, params)
    machine = machine_facts()
    tell("loading")
    days = load_days(lake, params)
    facts = {
        "days": len(days),
        "contracts": max(day.contracts for day in days),
        "bars": bars_of(days),
    }
    tell("pairs")
    pairs = run_pairs(days, params, lake, QUICK_PAIRS if quick else PAIRS, QUICK_SAMPLE if quick else SAMPLE)
    days.clear()
    rows = {row["key"]: row for row in pairs.rows}
    for key, process in _ALONE.items():
        tell(key)
        if not (quick and key == _LEFT_OUT_WHEN_QUICK):
            figures = alone(process, lake.root.resolve(), QUICK_SAMPLE)
            rows[key].update({name: figures[name] for name in ("rss_mb", "import_s", "first_s")})
    tell("start")
    start = measure_start(lake.root.resolve(), QUICK_REPEATS if quick else REPEATS)
    start["year_rss_mb"] = rows["ours_from_lake_2_threads"]["rss_mb"]
    tell("live")
    live = measure_live(quick=quick)
    return {
        "simulated": True,
        **facts,
        "engines": pairs.rows,
        "ratios": pairs.ratios,
        "ratio_spread": pairs.spread,
        "trades": pairs.trades,
        "start": start,
        "live": live,
        "goals": {
            "over_vectorbt_whole_job": GOAL_OVER_VECTORBT,
            "over_vectorbt_whole_job_met": pairs.ratios["vectorbt_whole_job"] >= GOAL_OVER_VECTORBT,
            "bars_per_s_per_core": GOAL_BARS_PER_CORE,
            "bars_per_s_per_core_met": rows["ours"]["bars_per_s"] >= GOAL_BARS_PER_CORE,
        },
        "machine": {**machine, "load_after": [round(load, 2) for load in os.getloadavg()]},
    }


def machine_facts() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_model(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "load_before": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu_model() -> str:
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
