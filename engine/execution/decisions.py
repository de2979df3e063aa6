"""From the best candidates of a closed bar to what the two slots want: reservations, limits, hours, the day latch.

The step between the strategy's choice and the orders, called once per closed bar by the backtest and by the live
session. A line is written whenever what is wanted of a slot, or the reason for wanting nothing, has changed.
Source: swing-break rules 5.2, 6.
"""

import numpy as np

from engine.compiled import Rows, njit
from engine.execution.orders import same_order
from engine.execution.risk import CE, PE, Limits, may_open
from engine.strategy.candidates import Pool
from engine.strategy.rules import Rules
from engine.strategy.swing_break import DESIRED_ORDER, NOBODY, Choice, desire

# why a slot has or has not a desired order
NONE_QUALIFIES = 0
WANTED = 1
NO_ROOM = 2  # a position limit is reached
OUTSIDE_HOURS = 3
DAY_OVER = 4  # the day latch fell
VERDICTS = ("none_qualifies", "wanted", "no_room", "outside_hours", "day_over")

DECISION = np.dtype(
    [
        ("minute", np.int32),  # minute whose close decided
        ("kind", np.int32),  # CE or PE
        ("verdict", np.int32),  # place in VERDICTS
        ("candidates", np.int32),
        ("qualified", np.int32),
        ("order", DESIRED_ORDER),
    ],
    align=True,
)


@njit(cache=True, forceinline=True)
def decide(
    minute: int, ce: Choice, pe: Choice, ce_stands: bool, pe_stands: bool, open_ce: int, open_pe: int,
    day_over: bool, in_hours: bool, pool: Pool, rules: Rules, limits: Limits, wanted: Rows, last: Rows,
) -> tuple[int, int]:  # fmt: skip
    """
    What the two slots want after the close of `minute`.

    Parameters
    ----------
    ce, pe : Choice
        Of `close_minute`.
    ce_stands, pe_stands : bool
        Whether an entry order of that slot stands: it keeps its reservation before a new one is made.
    open_ce, open_pe : int
        Open positions.
    day_over : bool
        The day latch fell.
    in_hours : bool
        An entry order may stand in the minute that follows.
    wanted : DESIRED_ORDER[2]
        Written: what each slot wants, contract NOBODY where nothing.
    last : DECISION[2]
        The line written last for each slot; overwritten where it has changed.

    Returns
    -------
    first : CE or PE
        The slot that reserved first.
    changed : int
        Bit `kind` is set where `last[kind]` is a new line.
    """
    first = PE if not ce_stands and pe_stands else CE
    changed = 0
    for turn in range(2):
        kind = first if turn == 0 else 1 - first
        choice = ce if kind == CE else pe
        order = wanted[kind]
        order.contract = NOBODY
        verdict = NONE_QUALIFIES
        if choice.contract != NOBODY:
            if day_over:
                verdict = DAY_OVER
            elif not in_hours:
                verdict = OUTSIDE_HOURS
            elif not may_open(kind, open_ce, open_pe, limits):
                verdict = NO_ROOM
            else:
                verdict = WANTED
                desire(pool.slots[choice.contract], choice.contract, rules, order)
                if kind == CE:
                    open_ce += 1
                else:
                    open_pe += 1
        line = last[kind]
        if verdict != line.verdict or not same_order(order, line.order):
            line.minute = minute
            line.kind = kind
            line.verdict = verdict
            line.candidates = choice.candidates
            line.qualified = choice.qualified
            line.order = order
            changed |= 1 << kind
    return first, changed
