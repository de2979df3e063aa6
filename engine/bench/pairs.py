"""Engines run alternately on the same days: times, ratios pair by pair, and whether the trades are equal."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.backtest.outcome import DayOutcome, trade_hash
from engine.backtest.run import backtest
from engine.bench.ours import bars_of, play
from engine.history.day import DayBars
from engine.history.lake import Lake
from engine.history.manifest import SIMULATED_SOURCE
from engine.params import SwingBreakParams

THREADS = 2


@dataclass(frozen=True, eq=False)
class Contender:
    """One row of the benchmark; `run` returns the seconds of one warm run."""

    key: str
    name: str
    note: str
    bars: int
    run: Callable[[], float]
    paired: bool


@dataclass(frozen=True, eq=False)
class Pairs:
    """
    Outcome of the alternating runs.

    Attributes
    ----------
    rows : list of dict
        `key, name, note, bars_per_s, wall_s` (medians) of ours and of every contender.
    ratios, spread : dict by key
        Time per bar over that of ours on one thread: median; smallest, largest, number of pairs.
    trades : dict
        `count, hash, hash_2_threads, hash_vectorbt, hash_vectorbt_handed_swings, in_common_with_vectorbt, equal`.
    """

    rows: list[dict[str, Any]]
    ratios: dict[str, float]
    spread: dict[str, dict[str, float]]
    trades: dict[str, Any]


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return run


def run_pairs(
    days: Sequence[DayBars], params: SwingBreakParams, lake: Lake, pairs: int, sample_size: int
) -> Pairs:
    """
    Run ours and each other engine alternately.

    Parameters
    ----------
    days : sequence of DayBars
        Simulated days of `lake`, ascending, all of the lake's days between the first and the last.
    pairs : int
        Runs of each engine; every one of a paired engine has a run of ours just before it.
    sample_size : int
        Contract-days that backtesting.py runs.
    """
    from engine.bench.backtesting_job import NOTE, run_sample, sample
    from engine.bench.vectorbt_job import find_swings, market_of, simulate, trades_of

    bars = bars_of(days)
    market = market_of(days, params)
    whole = simulate(market)  # compiles; so does each first run below, before any is timed
    handed = find_swings(market)
    ours = Contender(
        "ours", "this engine, 1 thread", "days in memory", bars, _timed(lambda: play(days, params)), False
    )
    picked = sample(days, params, sample_size)

    def from_lake(threads: int) -> Callable[[], float]:
        first, last = days[0].date, days[-1].date
        assert first is not None
        assert last is not None
        return _timed(lambda: backtest(params, lake, first, last, source=SIMULATED_SOURCE, threads=threads))

    others = (
        Contender(
            "vectorbt_whole_job",
            "vectorbt, whole job",
            "flexible order function, swing search included; days in memory",
            bars,
            _timed(lambda: simulate(market)),
            True,
        ),
        Contender(
            "vectorbt_handed_swings",
            "vectorbt, handed the swings",
            "flexible order function, swing lows found beforehand; days in memory",
            bars,
            _timed(lambda: simulate(market, handed)),
            True,
        ),
        Contender(
            "backtesting_py",
            "backtesting.py",
            f"sample of {sample_size} contract-days; {NOTE}",
            sum(len(one.frame) for one in picked),
            lambda: run_sample(picked)[0],
            True,
        ),
        Contender(
            "ours_2_threads",
            f"this engine, {THREADS} threads",
            "days in memory",
            bars,
            _timed(lambda: play(days, params, THREADS)),
            False,
        ),
        Contender(
            "ours_from_lake",
            "this engine, 1 thread, loading included",
            "from Parquet to result",
            bars,
            from_lake(1),
            False,
        ),
        Contender(
            "ours_from_lake_2_threads",
            f"this engine, {THREADS} threads, loading included",
            "from Parquet to result",
            bars,
            from_lake(THREADS),
            False,
        ),
    )
    trades = _compare(
        play(days, params),
        play(days, params, THREADS),
        trades_of(market, whole),
        trades_of(market, simulate(market, handed)),
    )
    return Pairs(*_alternate(ours, others, pairs), trades)


def _alternate(
    ours: Contender, others: Sequence[Contender], pairs: int
) -> tuple[list[dict[str, Any]], dict[str, float], dict[str, dict[str, float]]]:
    for contender in (ours, *others):
        contender.run()
    seconds: dict[str, list[float]] = {contender.key: [] for contender in (ours, *others)}
    ratios: dict[str, list[float]] = {contender.key: [] for contender in others if contender.paired}
    for _ in range(pairs):
        for contender in others:
            if contender.paired:
                seconds[ours.key].append(ours.run())
            seconds[contender.key].append(contender.run())
            if contender.paired:
                theirs = seconds[contender.key][-1] / contender.bars
                ratios[contender.key].append(theirs / (seconds[ours.key][-1] / ours.bars))
    rows = []
    for contender in (ours, *others):
        wall = statistics.median(seconds[contender.key])
        rows.append(
            {
                "key": contender.key,
                "name": contender.name,
                "bars_per_s": round(contender.bars / wall),
                "best_bars_per_s": round(contender.bars / min(seconds[contender.key])),
                "wall_s": round(wall, 4),
                "rss_mb": None,
                "import_s": None,
                "first_s": None,
                "note": contender.note,
            }
        )
    spread = {
        key: {"min": round(min(values), 2), "max": round(max(values), 2), "pairs": len(values)}
        for key, values in ratios.items()
    }
    return rows, {key: round(statistics.median(values), 2) for key, values in ratios.items()}, spread


def _facts(days: Sequence[DayOutcome]) -> set[tuple[object, ...]]:
    fields = ["entry_minute", "entry_price", "exit_minute", "exit_price", "quantity"]
    return {
        (day.date, day.symbols[trade["contract"]], *trade[fields].tolist())
        for day in days
        for trade in day.trades
    }


def _compare(
    one: list[DayOutcome], two: list[DayOutcome], vectorbt: list[DayOutcome], handed: list[DayOutcome]
) -> dict[str, Any]:
    hashes = [trade_hash(days) for days in (one, two, vectorbt, handed)]
    return {
        "count": sum(len(day.trades) for day in one),
        "hash": hashes[0],
        "hash_2_threads": hashes[1],
        "hash_vectorbt": hashes[2],
        "hash_vectorbt_handed_swings": hashes[3],
        "in_common_with_vectorbt": len(_facts(one) & _facts(vectorbt)),
        "equal": len(set(hashes)) == 1,
    }
