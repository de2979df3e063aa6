"""Days as vectorbt's columns, and the search for swing lows that a vectorbt user would write.

For the benchmark only. The rule is played as it is written down, bar by bar, without the engine's short cuts: no
contract is left out, no vote skipped. `vectorbt_rules` calls it before each day, or is handed its outcome.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.execution.risk import Limits
from engine.strategy.filters import has_vwap_premium, in_price_range
from engine.strategy.rules import Rules

SWING_EVENT = np.dtype(
    [
        ("next", np.int32),  # another event confirmed by the same minute; -1 ends the chain
        ("column", np.int32),
        ("passed", np.bool_),  # stage 1: the low becomes its contract's candidate; else it empties the place
        ("base", np.int32),  # minute of the extreme
        ("low", np.int32),  # ticks
        ("highest", np.int32),  # ticks, of the bars after the extreme up to the confirmation
        ("after", np.int32),  # bars after the extreme up to the confirmation
    ],
    align=True,
)


class Job(NamedTuple):
    """Bars and rules. N columns, R rows, G groups; bars are contract-major, as an indicator reads them."""

    open: npt.NDArray[np.int32]  # [N, R] ticks
    high: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    volume: npt.NDArray[np.int32]
    valid: npt.NDArray[np.bool_]
    strike: npt.NDArray[np.int32]  # [N] rupees
    is_call: npt.NDArray[np.bool_]
    minutes: npt.NDArray[np.int64]  # [G] length of the session
    lot: npt.NDArray[np.int64]
    entry_from: npt.NDArray[np.int64]
    entry_until: npt.NDArray[np.int64]
    exit_minute: npt.NDArray[np.int64]
    rules: Rules
    limits: Limits
    path: int
    slip_ticks: int
    slip_basis_points: int
    stop_unfilled_ms: int


class Swings(NamedTuple):
    """Judged swing lows by group and confirming minute."""

    first: npt.NDArray[np.int32]  # [G, R] place of the first event of a minute, -1 = none
    events: npt.NDArray  # SWING_EVENT
    total: npt.NDArray[np.int64]  # [1] events written
    handed: bool  # found beforehand; else every group searches its own


@njit
def literal_lows(
    high: npt.NDArray, low: npt.NDArray, close: npt.NDArray, n: int, exact_second_vote: bool, up: npt.NDArray,
    down: npt.NDArray, found: npt.NDArray,
) -> int:  # fmt: skip
    """
    Swing lows of bars 0..n-1, bar by bar: rule 3.1 as it is written down.

    Returns
    -------
    Rows written to found[:, 3]: confirming bar, extreme bar, 1 for a new low and 0 for an update.
    """
    up[:n] = 0
    down[:n] = 0
    last, price, base, lows = 0, 0, -1, 0
    for i in range(1, n):
        h, lo, c = high[i], low[i], close[i]
        for j in range(base + 1, i):
            if h > high[j] and c > close[j]:
                up[j] += 1
                if up[j] < 2 or (exact_second_vote and up[j] > 2):
                    continue
                k = base + 1
                for m in range(base + 2, i + 1):
                    if low[m] < low[k]:
                        k = m
                if last != -1 or low[k] < price:
                    if last != -1:
                        up[:i] = 0
                        down[:i] = 0
                    found[lows, 0], found[lows, 1], found[lows, 2] = i, k, last != -1
                    lows += 1
                    last, price, base = -1, low[k], k
                    break
            elif lo < low[j] and c < close[j]:
                down[j] += 1
                if down[j] < 2 or (exact_second_vote and down[j] > 2):
                    continue
                k = base + 1
                for m in range(base + 2, i + 1):
                    if high[m] > high[k]:
                        k = m
                if last != 1 or high[k] > price:
                    if last != 1:
                        up[:i] = 0
                        down[:i] = 0
                    last, price, base = 1, high[k], k
                    break
    return lows


@njit
def find_swings(job: Job, swings: Swings, group: int, from_col: int, to_col: int) -> None:
    """Search and judge the swing lows of one day."""
    rows = job.high.shape[1]
    high, low, close = np.empty(rows, np.int32), np.empty(rows, np.int32), np.empty(rows, np.int32)
    minute = np.empty(rows, np.int32)
    above, below = np.empty(rows, np.int64), np.empty(rows, np.int64)  # VWAP as a fraction, ticks
    up, down = np.empty(rows, np.int32), np.empty(rows, np.int32)
    found = np.empty((rows, 3), np.int32)
    for column in range(from_col, to_col):
        n = 0
        paid, traded = np.int64(0), np.int64(0)
        for m in range(job.minutes[group]):
            if not job.valid[column, m]:
                continue
            high[n], low[n], close[n] = job.high[column, m], job.low[column, m], job.close[column, m]
            minute[n] = m
            typical = np.int64(high[n]) + low[n] + close[n]  # three times it
            paid += typical * job.volume[column, m]
            traded += job.volume[column, m]
            above[n], below[n] = (paid, 3 * traded) if traded > 0 else (typical, np.int64(3))
            n += 1
        origin = -1
        for k in range(literal_lows(high, low, close, n, job.rules.swing.exact_second_vote, up, down, found)):
            conf, base = found[k, 0], found[k, 1]
            if found[k, 2] or job.rules.updated_vwap:
                origin = base
            passed = False
            if in_price_range(low[base], job.rules):
                passed = has_vwap_premium(np.int64(low[base]), above[origin], below[origin], job.rules)
                if not passed and not job.rules.remove_failed:
                    continue
            event = swings.events[swings.total[0]]
            event.next = swings.first[group, minute[conf]]
            swings.first[group, minute[conf]] = swings.total[0]
            swings.total[0] += 1
            event.column = column
            event.passed = passed
            event.base = minute[base]
            event.low = low[base]
            event.highest = high[base] if conf == base else high[base + 1 : conf + 1].max()
            event.after = conf - base


@njit
def find_all_swings(job: Job, swings: Swings, group_lens: npt.NDArray[np.int64]) -> None:
    """Search and judge the swing lows of every day, to hand them to a simulation."""
    column = 0
    for group in range(len(group_lens)):
        find_swings(job, swings, group, column, column + group_lens[group])
        column += group_lens[group]
