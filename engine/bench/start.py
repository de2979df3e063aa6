"""How long the workbench takes from nothing to an answer, each measured in fresh processes."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.bench.ours import LAST, year
from engine.errors import DataError
from engine.history.manifest import SIMULATED_SOURCE
from engine.market.calendar import trading_days
from engine.params import project_folder

WARM_DAYS = 20

_PREDICATE = """
import time, json
import engine
from engine.bench.ours import year
from engine.history.lake import Lake
def close_stop(c): return c.stop_points < {cut} and c.age < 200
params, lake = engine.load_params("swing_break"), Lake({data!r})
began = time.perf_counter()
result = engine.backtest(params, lake, *year(), filters=[close_stop], source={source!r})
print(json.dumps({{"seconds": time.perf_counter() - began, "days": len(result.days)}}))
"""


def fresh(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[float, str]:
    """
    Run this Python once with these arguments.

    Returns
    -------
    seconds, output : float, str

    Raises
    ------
    DataError
        If the process fails; its last line of complaint is told.
    """
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - this very Python, arguments from this file
        [sys.executable, *arguments],
        cwd=project_folder(),
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"a measured process ended with {done.returncode}: {complaint}")
    return seconds, done.stdout


def alone(engine: str, data: Path, sample: int) -> dict[str, float]:
    """Figures of one engine in its own process; see `engine.bench.alone`."""
    _, said = fresh("-m", "engine.bench.alone", engine, "--data", str(data), "--sample", str(sample))
    answer: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    return answer


def measure_start(data: Path, repeats: int) -> dict[str, Any]:
    """
    Seconds from a fresh process to what a person waits for; medians of `repeats`, the cold compile once.

    Returns
    -------
    dict
        `help_s`, `import_engine_s`, `import_backtest_s`, `warm_backtest_20_days_s`: the whole process.
        `cold_compile_s`: the whole process of a one-day backtest with an empty kernel cache.
        `custom_predicate_fresh_process_s`: from the call of `engine.backtest` with a filter never compiled before
        to its answer over the year, in a process that has just started; `..._whole_process_s` from its start.
    """
    days = trading_days(*year())
    backtest = ("-m", "engine.cli", "backtest", "--json", "--source", SIMULATED_SOURCE, "--data", str(data))
    span = ("--start", days[-WARM_DAYS].isoformat(), "--end", LAST.isoformat())
    fresh(*backtest, *span)  # whatever is still to be compiled is compiled here

    def median(*arguments: str) -> float:
        return round(statistics.median(fresh(*arguments)[0] for _ in range(repeats)), 3)

    answer: dict[str, Any] = {
        "help_s": median("-m", "engine.cli", "--help"),
        "import_engine_s": median("-c", "import engine"),
        "import_backtest_s": median("-c", "import engine.backtest.run"),
        f"warm_backtest_{WARM_DAYS}_days_s": median(*backtest, *span),
    }
    with tempfile.TemporaryDirectory() as empty:
        cold, _ = fresh(*backtest, "--date", LAST.isoformat(), environment={"NUMBA_CACHE_DIR": empty})
    answer["cold_compile_s"] = round(cold, 3)
    inside, outside = [], []
    for cut in range(repeats):
        source = _PREDICATE.format(cut=30 + cut, data=str(data), source=SIMULATED_SOURCE)
        seconds, said = fresh("-c", source)
        inside.append(json.loads(said.strip().splitlines()[-1])["seconds"])
        outside.append(seconds)
    answer["custom_predicate_fresh_process_s"] = round(statistics.median(inside), 3)
    answer["custom_predicate_whole_process_s"] = round(statistics.median(outside), 3)
    return answer
