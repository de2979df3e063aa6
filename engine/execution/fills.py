"""What an entry fill brings about: where its stop stands, and whether the position must go at once.

Shared by the backtest and the live session. Source: swing-break rules 5.5, 6 FIX; architecture, fidelity rules.
"""

from engine.compiled import Row, njit
from engine.execution.ledger import DAY_STOP, DAY_TARGET, LIMIT_BREACH, OPEN, TIME_EXIT

# places in LATCHES
LATCHED_STOP = 1
LATCHED_TARGET = 2
LATCHES = ("", "day_stop", "day_target")


@njit(cache=True, forceinline=True)
def same_swing(candidate: Row, order: Row) -> bool:
    """Whether a contract's candidate (SLOT) is still the swing low behind its order (DESIRED_ORDER)."""
    return candidate.active and candidate.conf_minute == order.conf_minute


@njit(cache=True, forceinline=True)
def stop_at_fill(candidate: Row, order: Row, highest: int, stop_buffer: int) -> int:
    """
    Trigger (ticks) of the protective stop of an entry that fills now.

    The higher of the planned one and the highest high so far plus its buffer. `highest` is the high of the bar
    in progress; the candidate has seen bars that the order, with a change on its way, has not.
    """
    if same_swing(candidate, order):
        highest = max(highest, candidate.highest_high)
    return max(order.stop, highest + stop_buffer)


@njit(cache=True, forceinline=True)
def exit_at_fill(latch: int, after_exit_time: bool, allowed: bool) -> int:
    """
    Why a position is bought back as soon as it is opened; OPEN when it may stay.

    A fill that crossed the cancel of its order on the way is bought back like all others.
    """
    if latch != 0:
        return DAY_STOP if latch == LATCHED_STOP else DAY_TARGET
    if after_exit_time:
        return TIME_EXIT
    return OPEN if allowed else LIMIT_BREACH
