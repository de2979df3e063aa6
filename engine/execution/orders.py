"""Desired order against working order: keep, place, modify, cancel or switch.

One entry order per option type. What the strategy wants is compared field by field with what stands at the
exchange; a difference of one tick or one lot is a difference. Source: swing-break rules 5.2, 5.3 FIX.
"""

import numpy as np

from engine.compiled import Row, njit
from engine.strategy.swing_break import DESIRED_ORDER, NOBODY

KEEP = 0
PLACE = 1
MODIFY = 2
CANCEL = 3
SWITCH = 4  # another contract: cancel, then place

WORKING = np.dtype(
    [
        ("order", DESIRED_ORDER),  # what stands at the exchange; contract NOBODY when nothing does
        ("triggered", np.bool_),  # already a limit order
        ("number", np.int32),  # of the order within the day, 1 = the first
        ("next", DESIRED_ORDER),  # what was asked for last and is still on its way
        ("next_ms", np.int64),  # when it arrives, ms after the open; NOT_PENDING when nothing is on its way
    ],
    align=True,
)
NOT_PENDING = 2**62

# what happened to an order
PLACED = 1
MODIFIED = 2
CANCELLED = 3
REJECTED = 4
TRIGGERED = 5
FILLED = 6
ORDER_EVENTS = ("", "placed", "modified", "cancelled", "rejected", "triggered", "filled")

ENTRY = 1
PROTECTIVE_STOP = 2
MARKET_EXIT = 3
ORDER_ROLES = ("", "entry", "stop", "exit")

ORDER_EVENT = np.dtype(
    [
        ("minute", np.int32),
        ("ms", np.int64),  # milliseconds after the open
        ("number", np.int32),  # of the order within the day
        ("role", np.int32),  # place in ORDER_ROLES
        ("event", np.int32),  # place in ORDER_EVENTS
        ("contract", np.int32),
        ("conf_minute", np.int32),  # with swing_index the swing low behind it
        ("swing_index", np.int32),
        ("trigger", np.int32),  # ticks
        ("limit", np.int32),  # ticks
        ("quantity", np.int32),  # units
        ("price", np.int32),  # ticks, of a fill
    ],
    align=True,
)


@njit(cache=True, forceinline=True)
def same_order(a: Row, b: Row) -> bool:
    """Whether two DESIRED_ORDERs ask for the same: nothing, or swing, trigger, limit, lots and planned stop."""
    if a.contract != b.contract or a.contract == NOBODY:
        return bool(a.contract == b.contract)
    return (
        a.conf_minute == b.conf_minute
        and a.swing_index == b.swing_index
        and a.trigger == b.trigger
        and a.limit == b.limit
        and a.lots == b.lots
        and a.stop == b.stop
    )


@njit(cache=True, forceinline=True)
def reconcile(desired: Row, working: Row) -> int:
    """
    What to do about one slot.

    Parameters
    ----------
    desired, working : DESIRED_ORDER
        Contract NOBODY where nothing is wanted or nothing stands.

    Returns
    -------
    KEEP, PLACE, MODIFY, CANCEL or SWITCH
    """
    if desired.contract == NOBODY:
        return KEEP if working.contract == NOBODY else CANCEL
    if working.contract == NOBODY:
        return PLACE
    if working.contract != desired.contract:
        return SWITCH
    return KEEP if same_order(desired, working) else MODIFY
