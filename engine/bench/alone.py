"""One engine in a process of its own: what importing, compiling, a warm run and its memory cost.

Run as `python -m engine.bench.alone ENGINE --data FOLDER`; prints one JSON object. The days are loaded first, so
every engine's memory contains the same bars.
"""

import argparse
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENGINES = {
    "ours": "engine.backtest.run",
    "ours_from_lake": "engine.backtest.run",
    "vectorbt_whole_job": "vectorbt",
    "vectorbt_handed_swings": "vectorbt",
    "backtesting_py": "backtesting",
}
"""Engines by name, and the module whose import is timed."""


def peak_rss_mb() -> float:
    """Peak memory of this process, MB; not that of the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def measure(name: str, data: str, sample_size: int) -> dict[str, float]:
    """Import one engine, load the days, run it twice."""
    began = time.perf_counter()
    importlib.import_module(ENGINES[name])
    answer = {"import_s": time.perf_counter() - began}
    run = _prepared(name, data, sample_size)
    for label in ("first_s", "warm_s"):
        began = time.perf_counter()
        run()
        answer[label] = time.perf_counter() - began
    return {key: round(value, 3) for key, value in answer.items()} | {"rss_mb": round(peak_rss_mb(), 1)}


def _prepared(name: str, data: str, sample_size: int) -> Callable[[], Any]:
    from engine.bench.ours import load_days, play, year
    from engine.history.lake import Lake
    from engine.history.manifest import SIMULATED_SOURCE
    from engine.params import load_params

    params, lake = load_params("swing_break"), Lake(data)
    if name == "ours_from_lake":
        from engine.backtest.run import backtest

        first, last = year()
        return lambda: backtest(params, lake, first, last, source=SIMULATED_SOURCE)
    days = load_days(lake, params)
    if name == "ours":
        return lambda: play(days, params)
    if name == "backtesting_py":
        from engine.bench.backtesting_job import run_sample, sample

        picked = sample(days, params, sample_size)
        return lambda: run_sample(picked)
    from engine.bench.vectorbt_job import find_swings, market_of, simulate

    market = market_of(days, params)
    days.clear()
    handed = find_swings(market) if name == "vectorbt_handed_swings" else None
    return lambda: simulate(market, handed)


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=tuple(ENGINES))
    parser.add_argument("--data", required=True)
    parser.add_argument("--sample", type=int, default=4)
    told = parser.parse_args()
    print(json.dumps(measure(told.engine, told.data, told.sample)))


if __name__ == "__main__":
    main()
