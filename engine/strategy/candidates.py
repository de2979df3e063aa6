"""A swing low from confirmation to its end: the pool of candidates, one slot per contract.

A confirmed swing low that passes stage 1 becomes its contract's candidate. From then on every closed bar
raises its highest high or breaks it. Terminal states never return; a later swing of the same contract is
another candidate. Source: swing-break rules 4.1 to 4.3.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import Row, Rows, njit
from engine.history.vwap import add_bar
from engine.strategy.filters import NO_RANK, has_vwap_premium, in_price_range
from engine.strategy.rules import Rules
from engine.strategy.swing import LOW, NEW, NO_EVENT, SwingState, Votes, new_votes, next_event, start

ADD = 1  # the swing low passed stage 1: it takes the contract's slot
REMOVE = 2  # it failed in a way that empties the slot
IGNORE = 3  # it failed and leaves the slot as it was

LOW_EVENT = np.dtype(
    [
        ("minute", np.int32),  # minute whose close confirmed it
        ("contract", np.int32),
        ("action", np.int32),  # ADD or REMOVE
        ("swing_index", np.int32),  # bar of the extreme, counting this contract's bars
        ("swing_minute", np.int32),  # minute of the extreme
        ("swing_low", np.int32),  # ticks
        ("highest_high", np.int32),  # ticks, of the bars after the extreme; its own high when there is none
        ("bars_after", np.int32),  # bars between the extreme and the confirmation
        ("vwap_numerator", np.int64),  # of the VWAP that judged it, in ticks over the denominator
        ("vwap_denominator", np.int64),
    ],
    align=True,
)

SLOT = np.dtype(
    [
        ("active", np.bool_),
        ("conf_minute", np.int32),
        ("swing_index", np.int32),
        ("swing_minute", np.int32),
        ("swing_low", np.int32),  # ticks
        ("highest_high", np.int32),  # ticks
        ("bars_after", np.int32),
        ("stop", np.int32),  # ticks, as last judged; 0 = not judged yet
        ("lots", np.int32),
        ("level", np.int32),  # how far it has come in the funnel
        ("rank", np.int64),  # NO_RANK while it may not be chosen
        ("vwap_numerator", np.int64),
        ("vwap_denominator", np.int64),
    ],
    align=True,
)

# Funnel levels, in the order in which the rules are met. A candidate counts at each level it ever reached.
# After SIZED follows one level per user filter, then BEST, ORDERED and FILLED (`level_names`).
CONTRACT_DAYS = 0
EXAMINED = 1  # contract-days on which some bar lay in the price range and some above the VWAP premium
SWING_LOWS = 2
IN_PRICE_RANGE = 3
WITH_PREMIUM = 4
STOP_ALLOWED = 5
SIZED = 6
BUILT_IN_LEVELS = (
    "contract_days",
    "contract_days_examined",
    "swing_lows",
    "price_range",
    "vwap_premium",
    "stop_distance",
    "lots",
)
LAST_LEVELS = ("best_of_type", "ordered", "filled")


def level_names(filters: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all funnel levels of a run with these user filters."""
    return (*BUILT_IN_LEVELS, *(f"filter:{name}" for name in filters), *LAST_LEVELS)


class Pool(NamedTuple):
    """Candidates of a day."""

    slots: Rows  # SLOT[C]
    active: npt.NDArray[np.int32]  # contracts that have a candidate, ascending, in active[:size[0]]
    size: npt.NDArray[np.int64]  # [1]
    funnel: npt.NDArray[np.int64]  # candidates per level


@njit(cache=True)
def new_pool(slots: Rows, funnel: npt.NDArray[np.int64]) -> Pool:
    """An empty pool over zeroed SLOT[C]."""
    return Pool(slots, np.zeros(len(slots), np.int32), np.zeros(1, np.int64), funnel)


@njit(cache=True)
def count_levels(pool: Pool, contract: int) -> None:
    """Enter a candidate whose life ends into the funnel."""
    for level in range(WITH_PREMIUM + 1, pool.slots[contract].level + 1):
        pool.funnel[level] += 1


@njit(cache=True)
def drop(pool: Pool, contract: int) -> None:
    """Empty a contract's slot."""
    if not pool.slots[contract].active:
        return
    count_levels(pool, contract)
    pool.slots[contract].active = False
    n = pool.size[0]
    place = 0
    while pool.active[place] != contract:
        place += 1
    for k in range(place, n - 1):
        pool.active[k] = pool.active[k + 1]
    pool.size[0] = n - 1


@njit(cache=True)
def take(pool: Pool, event: Row) -> None:
    """Apply one stage-1 outcome (a LOW_EVENT) to its contract's slot."""
    contract = event.contract
    if event.action == REMOVE:
        drop(pool, contract)
        return
    slot = pool.slots[contract]
    if slot.active:
        count_levels(pool, contract)
    else:
        n = pool.size[0]
        place = n
        while place > 0 and pool.active[place - 1] > contract:
            pool.active[place] = pool.active[place - 1]
            place -= 1
        pool.active[place] = contract
        pool.size[0] = n + 1
    slot.active = True
    slot.conf_minute = event.minute
    slot.swing_index = event.swing_index
    slot.swing_minute = event.swing_minute
    slot.swing_low = event.swing_low
    slot.highest_high = event.highest_high
    slot.bars_after = event.bars_after
    slot.stop = 0
    slot.lots = 0
    slot.level = WITH_PREMIUM
    slot.rank = NO_RANK
    slot.vwap_numerator = event.vwap_numerator
    slot.vwap_denominator = event.vwap_denominator


@njit(cache=True, forceinline=True)
def stage_one(low: int, numerator: int, denominator: int, rules: Rules, funnel: npt.NDArray[np.int64]) -> int:
    """Judge a confirmed swing low: ADD, REMOVE or IGNORE."""
    funnel[SWING_LOWS] += 1
    if not in_price_range(low, rules):
        return REMOVE
    funnel[IN_PRICE_RANGE] += 1
    if not has_vwap_premium(low, numerator, denominator, rules):
        return REMOVE if rules.remove_failed else IGNORE
    funnel[WITH_PREMIUM] += 1
    return ADD


class ContractBars(NamedTuple):
    """One contract's bars without holes, with the sums behind its session VWAP."""

    high: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    minute: npt.NDArray[np.int32]
    vwap_numerator: npt.NDArray[np.int64]  # session VWAP after each bar in ticks, see history.vwap
    vwap_denominator: npt.NDArray[np.int64]


@njit(cache=True)
def room_for(minutes: int) -> ContractBars:
    """Working room for a contract of at most `minutes` bars."""
    return ContractBars(
        np.empty(minutes, np.int32),
        np.empty(minutes, np.int32),
        np.empty(minutes, np.int32),
        np.empty(minutes, np.int32),
        np.empty(minutes, np.int64),
        np.empty(minutes, np.int64),
    )


@njit(cache=True)
def pack(
    high: npt.NDArray[np.int32],
    low: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    volume: npt.NDArray[np.int32],
    valid: npt.NDArray[np.bool_],
    rules: Rules,
    room: ContractBars,
) -> tuple[int, bool]:
    """
    Close the holes of one contract's day and add up its session VWAP (rules 2.5: the bar itself counts).

    Returns
    -------
    bars : int
        Bars packed into `room`.
    possible : bool
        False when no swing low of this day can pass stage 1: no bar in the price range, or none with the
        premium over the VWAP at its own close. (An updated swing judged by a frozen VWAP is lower than the
        low that froze it, so it cannot pass where no bar does.)
    """
    n = 0
    weighted, traded = np.int64(0), np.int64(0)
    priced = False
    premium = False
    for m in range(len(high)):
        if not valid[m]:
            continue
        lo = np.int64(low[m])
        weighted, traded, numerator, denominator = add_bar(weighted, traded, high[m], lo, close[m], volume[m])
        room.high[n] = high[m]
        room.low[n] = lo
        room.close[n] = close[m]
        room.minute[n] = m
        room.vwap_numerator[n] = numerator
        room.vwap_denominator[n] = denominator
        priced |= in_price_range(lo, rules)
        premium |= has_vwap_premium(lo, numerator, denominator, rules)
        n += 1
    return n, priced and premium


@njit(cache=True, forceinline=True)
def record_low(
    bars: ContractBars,
    conf: int,
    event: int,
    state: SwingState,
    origin: int,
    contract: int,
    rules: Rules,
    funnel: npt.NDArray[np.int64],
    out: Rows,
) -> tuple[bool, int]:
    """
    Judge the swing low just confirmed by bar `conf` and write its LOW_EVENT.

    `origin` is the bar whose VWAP is frozen for the present run of updates; the new one is returned.
    """
    if event == NEW or rules.updated_vwap:
        origin = state.base
    action = stage_one(state.price, bars.vwap_numerator[origin], bars.vwap_denominator[origin], rules, funnel)
    if action == IGNORE:
        return False, origin
    out.minute = bars.minute[conf]
    out.contract = contract
    out.action = action
    out.swing_index = state.base
    out.swing_minute = bars.minute[state.base]
    out.swing_low = state.price
    highest = bars.high[state.base]
    if conf > state.base:
        highest = bars.high[state.base + 1]
        for k in range(state.base + 2, conf + 1):
            highest = max(highest, bars.high[k])
    out.highest_high = highest
    out.bars_after = conf - state.base
    out.vwap_numerator = bars.vwap_numerator[origin]
    out.vwap_denominator = bars.vwap_denominator[origin]
    return True, origin


@njit(cache=True)
def swing_lows(
    bars: ContractBars,
    n: int,
    contract: int,
    rules: Rules,
    votes: Votes,
    funnel: npt.NDArray[np.int64],
    out: Rows,
    found: int,
) -> int:
    """All stage-1 outcomes of one contract's day, appended to out[found:]; returns the new count."""
    state = start()
    origin = -1
    standing = False  # a candidate may stand; where none does there is nothing to remove
    i = 0
    while i < n:
        i, event, state = next_event(bars.high, bars.low, bars.close, i, n, state, votes, rules.swing)
        if event != NO_EVENT and state.last == LOW:
            kept, origin = record_low(bars, i - 1, event, state, origin, contract, rules, funnel, out[found])
            if kept:
                added = out[found].action == ADD
                found += added or standing
                standing = added
    return found


@njit(cache=True)
def day_lows(
    high: npt.NDArray[np.int32],
    low: npt.NDArray[np.int32],
    close: npt.NDArray[np.int32],
    volume: npt.NDArray[np.int32],
    valid: npt.NDArray[np.bool_],
    rules: Rules,
    funnel: npt.NDArray[np.int64],
    out: Rows,
) -> tuple[int, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """
    Stage-1 outcomes of a whole day and their order by minute.

    Returns
    -------
    found : int
        Events in `out`, contract by contract.
    order : int32[found]
        Their places, by confirming minute, contracts ascending within a minute.
    first : int32[M + 1]
        order[first[m]:first[m + 1]] are the events confirmed by minute m.
    """
    contracts, minutes = high.shape
    room = room_for(minutes)
    votes = new_votes(minutes)
    found = 0
    for contract in range(contracts):
        n, possible = pack(
            high[contract], low[contract], close[contract], volume[contract], valid[contract], rules, room
        )
        funnel[CONTRACT_DAYS] += 1
        if possible:
            funnel[EXAMINED] += 1
            for block in range(len(votes.up_once)):
                votes.up_once[block] = 0
                votes.up_twice[block] = 0
                votes.down_once[block] = 0
                votes.down_twice[block] = 0
            found = swing_lows(room, n, contract, rules, votes, funnel, out, found)
    first = np.zeros(minutes + 1, np.int32)
    for k in range(found):
        first[out[k].minute + 1] += 1
    for m in range(minutes):
        first[m + 1] += first[m]
    order = np.empty(found, np.int32)
    free = first[:-1].copy()
    for k in range(found):
        order[free[out[k].minute]] = k
        free[out[k].minute] += 1
    return found, order, first
