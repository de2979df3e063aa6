"""Many histories, on one core or several, and what they amount to."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from engine.faults.weather import ELSEWHERE, FAULTS
from engine.faults.world import History, play

CHUNK = 20


@dataclass(frozen=True)
class Campaign:
    """
    What a run of seeds amounts to.

    Attributes
    ----------
    first, seeds : int
        Seeds `first` to `first + seeds - 1`.
    violations : tuple
        (seed, invariant, detail).
    met : Counter
        Faults by number of the reference `reliability`.
    died_at : Counter
        Deaths of a process, by the point at which it died.
    fills, positions : int
    took_s : float
    """

    first: int
    seeds: int
    violations: tuple[tuple[int, str, str], ...]
    met: Counter[int]
    died_at: Counter[str]
    fills: int
    positions: int
    took_s: float

    def as_json(self) -> dict[str, Any]:
        """For `workbench faults --json`."""
        return {
            "first": self.first,
            "seeds": self.seeds,
            "violations": [
                {"seed": seed, "invariant": invariant, "detail": detail}
                for seed, invariant, detail in self.violations
            ],
            "faults": {str(number): self.met[number] for number in FAULTS},
            "crashes": self.died_at.total(),
            "crash_points": dict(self.died_at.most_common()),
            "fills": self.fills,
            "positions": self.positions,
            "seconds": round(self.took_s, 2),
            "histories_per_second": round(self.seeds / self.took_s, 2) if self.took_s else 0.0,
        }

    @property
    def missing(self) -> tuple[int, ...]:
        """Faults of this simulator that no history met."""
        return tuple(n for n in FAULTS if n not in ELSEWHERE and not self.met[n])


def explore(
    first: int, seeds: int, workers: int = 1, on_history: Callable[[History], None] | None = None
) -> Campaign:
    """
    Play `seeds` histories from `first` on.

    Parameters
    ----------
    workers : int
        Processes; the result is the same for any number.
    on_history : function, optional
        Told each as it ends.
    """
    began = time.perf_counter()
    violations: list[tuple[int, str, str]] = []
    met: Counter[int] = Counter()
    died_at: Counter[str] = Counter()
    fills = positions = 0
    for history in _histories(range(first, first + seeds), workers):
        if history.violation is not None:
            violations.append((history.seed, history.violation.invariant, history.violation.detail))
        met += history.met
        died_at += history.died_at
        fills += history.fills
        positions += history.positions
        if on_history is not None:
            on_history(history)
    took = time.perf_counter() - began
    return Campaign(first, seeds, tuple(sorted(violations)), met, died_at, fills, positions, took)


def _prepare() -> None:
    """What was imported is there to stay: not gone through again at every collection (a fifth of the time)."""
    gc.freeze()


def _histories(seeds: range, workers: int) -> Iterator[History]:
    if workers < 2 or len(seeds) < 2 * CHUNK:
        yield from map(play, seeds)
        return
    with ProcessPoolExecutor(workers, initializer=_prepare) as pool:
        yield from pool.map(play, seeds, chunksize=CHUNK)
