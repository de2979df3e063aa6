"""One path for a bar: how its four prices become moments of its minute.

The only function that says in which order open, high, low and close were traded. The backtest matches
against it; paper and practice sessions play it as ticks; so all of them fill alike. All contracts pass the
same moments in step. Source: architecture, fidelity rules.
"""

import numpy as np
import numpy.typing as npt

from engine.compiled import njit

Ints = npt.NDArray[np.int32]

MOMENTS = 4
MOMENT_MS = np.array([0, 20_000, 40_000, 59_000], np.int64)
"""When the four prices are traded, milliseconds after the minute's start."""

MINUTE_MS = 60_000

WORST = 0  # open, low, high, close: a short entry first, then the high that may stop it
HIGH_FIRST = 1  # open, high, low, close
NEAREST_FIRST = 2  # the extreme nearer to the open first
PATHS = {"worst": WORST, "high_first": HIGH_FIRST, "nearest_first": NEAREST_FIRST}


@njit(cache=True, forceinline=True)
def price_at(open_: int, high: int, low: int, close: int, moment: int, path: int) -> int:
    """
    Price (ticks) of a bar at one of its moments 0..3.

    Between two moments the price moves through every tick; from one bar's close to the next open it jumps.
    """
    if moment == 0:
        return open_
    if moment == 3:
        return close
    high_first = path == HIGH_FIRST or (path == NEAREST_FIRST and high - open_ < open_ - low)
    return high if (moment == 1) == high_first else low


@njit(cache=True)
def moment_prices(opened: Ints, high: Ints, low: Ints, close: Ints, path: int) -> Ints:
    """Prices of bars [C, M] at their moments [C, M, 4]."""
    made = np.zeros((*opened.shape, MOMENTS), np.int32)
    for row in range(opened.shape[0]):
        for minute in range(opened.shape[1]):
            for moment in range(MOMENTS):
                made[row, minute, moment] = price_at(
                    opened[row, minute], high[row, minute], low[row, minute], close[row, minute], moment, path
                )
    return made
