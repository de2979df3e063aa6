"""The swing-break decision: at each bar's close, which CE and which PE should have an entry order.

`close_minute` is the step that backtest and live session share: it applies the minute's confirmed swing lows,
breaks or ages the others, judges them and names the best of each type. `trace` shows what it decides over a
day when nothing is ever traded. Source: swing-break rules 4.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.compiled import Row, Rows, njit
from engine.history.day import DayBars
from engine.market.prices import TICKS_PER_RUPEE
from engine.params import SwingBreakParams
from engine.strategy.candidates import (
    LOW_EVENT,
    SIZED,
    SLOT,
    STOP_ALLOWED,
    Pool,
    day_lows,
    drop,
    level_names,
    new_pool,
    take,
)
from engine.strategy.filters import NO_RANK, affordable_lots, rank, stop_distance_allowed
from engine.strategy.predicates import CANDIDATE, keeps
from engine.strategy.rules import Rules, rules_for

NOBODY = -1

DESIRED_ORDER = np.dtype(
    [
        ("contract", np.int32),  # NOBODY when no entry order is wanted
        ("conf_minute", np.int32),  # with swing_index the identity of the swing low
        ("swing_index", np.int32),
        ("swing_minute", np.int32),
        ("swing_low", np.int32),  # ticks
        ("highest_high", np.int32),  # ticks
        ("bars_after", np.int32),
        ("trigger", np.int32),  # ticks; SELL stop-limit
        ("limit", np.int32),  # ticks
        ("lots", np.int32),
        ("stop", np.int32),  # ticks; where the BUY stop-limit is planned
    ],
    align=True,
)


class Day(NamedTuple):
    """The arrays of a DayBars that kernels read; shapes and units as there."""

    high: npt.NDArray[np.int32]
    low: npt.NDArray[np.int32]
    close: npt.NDArray[np.int32]
    open: npt.NDArray[np.int32]
    volume: npt.NDArray[np.int32]
    valid: npt.NDArray[np.bool_]
    strike: npt.NDArray[np.int32]
    is_call: npt.NDArray[np.bool_]
    days_to_expiry: int


def kernel_day(day: DayBars) -> Day:
    """What the compiled code needs of a day."""
    to_expiry = (day.expiry - day.date).days if day.expiry and day.date else -1
    return Day(
        day.high, day.low, day.close, day.open, day.volume, day.valid, day.strike, day.is_call, to_expiry
    )


class Choice(NamedTuple):
    """Outcome of one bar's close for one option type."""

    contract: int  # NOBODY when none qualifies
    candidates: int  # unbroken swing lows that passed stage 1
    qualified: int  # of these, allowed by stage 2


@njit(cache=True)
def describe(day: Day, slot: Row, contract: int, minute: int, row: Rows) -> None:
    """Fill a CANDIDATE row from a judged slot."""
    row.minute = minute
    row.contract = contract
    row.strike = day.strike[contract]
    row.is_call = day.is_call[contract]
    row.days_to_expiry = day.days_to_expiry
    row.conf_minute = slot.conf_minute
    row.swing_minute = slot.swing_minute
    row.age = minute - slot.conf_minute
    row.swing_low = slot.swing_low
    row.highest_high = slot.highest_high
    row.stop = slot.stop
    row.lots = slot.lots
    last = minute
    while last > 0 and not day.valid[contract, last]:
        last -= 1
    row.close = day.close[contract, last]
    row.volume = day.volume[contract, minute]
    row.price = slot.swing_low / TICKS_PER_RUPEE
    row.vwap = slot.vwap_numerator / (slot.vwap_denominator * TICKS_PER_RUPEE)
    row.vwap_premium_percent = 100.0 * (row.price / row.vwap - 1.0)
    row.stop_points = (slot.stop - slot.swing_low) / TICKS_PER_RUPEE
    row.stop_percent = 100.0 * (slot.stop - slot.swing_low) / slot.swing_low


@njit(cache=True, forceinline=True)
def judge(
    day: Day,
    pool: Pool,
    contract: int,
    minute: int,
    rules: Rules,
    predicates: npt.NDArray[np.int64],
    row: Rows,
    stop: int,
) -> None:
    """Stage 2 for one candidate whose stop would stand at `stop` (ticks)."""
    slot = pool.slots[contract]
    if stop == slot.stop and len(predicates) == 0:
        return  # nothing that is judged has changed
    slot.stop = stop
    slot.lots = 0
    slot.rank = NO_RANK
    distance = stop - slot.swing_low
    if not stop_distance_allowed(slot.swing_low, distance, rules):
        return
    slot.level = max(slot.level, STOP_ALLOWED)
    slot.lots = affordable_lots(distance, rules)
    if slot.lots < 1:
        return
    slot.level = max(slot.level, SIZED)
    if len(predicates) > 0:
        describe(day, slot, contract, minute, row[0])
        for k in range(len(predicates)):
            if not keeps(predicates[k], row):
                return
            slot.level = max(slot.level, SIZED + 1 + k)
    slot.rank = rank(slot.swing_low, distance, day.strike[contract], contract, rules)


@njit(cache=True, forceinline=True)
def age(day: Day, pool: Pool, contract: int, minute: int) -> bool:
    """Show a candidate the bar that has just closed; False when the bar broke its swing low."""
    slot = pool.slots[contract]
    if slot.conf_minute >= minute or not day.valid[contract, minute]:
        return True
    if day.low[contract, minute] < slot.swing_low:
        return False
    high = day.high[contract, minute]
    slot.highest_high = high if slot.bars_after == 0 else max(slot.highest_high, high)
    slot.bars_after += 1
    return True


@njit(cache=True, forceinline=True)
def close_minute(
    day: Day,
    minute: int,
    events: Rows,
    order: npt.NDArray[np.int32],
    pool: Pool,
    blocked: npt.NDArray[np.bool_],
    rules: Rules,
    predicates: npt.NDArray[np.int64],
    row: Rows,
    bar_in_progress: bool,
) -> tuple[Choice, Choice]:
    """
    Decide at the close of `minute`.

    Parameters
    ----------
    day : Day
        Only bars up to `minute` are read (with `bar_in_progress` also the highs of the next one).
    events, order : LOW_EVENT[n], int32[k]
        Stage-1 outcomes of this minute are events[order[0]], ...
    pool : Pool
        Candidates so far; changed in place.
    blocked : bool[C]
        Contracts that may not be chosen: those with an open position.
    predicates : int64[f]
        Addresses of the user filters.
    row : CANDIDATE[1]
        Working room.
    bar_in_progress : bool
        Also count the highs of the following bar, as a decision taken just before its close would.

    Returns
    -------
    (ce, pe) : Choice
    """
    for k in range(len(order)):
        take(pool, events[order[k]])
    best_rank = (np.int64(NO_RANK), np.int64(NO_RANK))
    best_ce, best_pe = NOBODY, NOBODY
    ce_rank, pe_rank = best_rank
    seen_ce, seen_pe, ok_ce, ok_pe = 0, 0, 0, 0
    place = 0
    while place < pool.size[0]:
        contract = pool.active[place]
        if not age(day, pool, contract, minute):
            drop(pool, contract)
            continue
        place += 1
        slot = pool.slots[contract]
        highest = slot.highest_high
        if bar_in_progress and minute + 1 < day.valid.shape[1] and day.valid[contract, minute + 1]:
            highest = max(highest, day.high[contract, minute + 1])
        judge(day, pool, contract, minute, rules, predicates, row, highest + rules.stop_buffer)
        free = not blocked[contract]
        if day.is_call[contract]:
            seen_ce += 1
            ok_ce += slot.rank < NO_RANK
            if free and slot.rank < ce_rank:
                ce_rank, best_ce = slot.rank, contract
        else:
            seen_pe += 1
            ok_pe += slot.rank < NO_RANK
            if free and slot.rank < pe_rank:
                pe_rank, best_pe = slot.rank, contract
    for contract in (best_ce, best_pe):
        if contract != NOBODY:
            slot = pool.slots[contract]
            slot.level = max(slot.level, SIZED + len(predicates) + 1)
    return Choice(best_ce, seen_ce, ok_ce), Choice(best_pe, seen_pe, ok_pe)


@njit(cache=True)
def desire(slot: Row, contract: int, rules: Rules, out: Rows) -> None:
    """The entry order wanted for a chosen candidate (rules 5.1, 5.5), written to a DESIRED_ORDER."""
    out.contract = contract
    out.conf_minute = slot.conf_minute
    out.swing_index = slot.swing_index
    out.swing_minute = slot.swing_minute
    out.swing_low = slot.swing_low
    out.highest_high = slot.highest_high
    out.bars_after = slot.bars_after
    out.trigger = slot.swing_low - rules.trigger_offset
    out.limit = max(out.trigger - rules.entry_buffer, 1)
    out.lots = slot.lots
    out.stop = slot.stop


_TRACE = np.dtype(
    [
        ("contract", np.int32),
        ("swing_low", np.int32),
        ("swing_index", np.int32),
        ("highest_high", np.int32),
        ("stop", np.int32),
        ("lots", np.int32),
        ("n_stage1", np.int32),
        ("n_qualified", np.int32),
    ]
)


@njit(cache=True, nogil=True)
def _trace(
    day: Day,
    rules: Rules,
    predicates: npt.NDArray[np.int64],
    events: Rows,
    slots: Rows,
    row: Rows,
    funnel: npt.NDArray[np.int64],
    bar_in_progress: bool,
    out: Rows,
) -> None:
    _, order, first = day_lows(day.high, day.low, day.close, day.volume, day.valid, rules, funnel, events)
    pool = new_pool(slots, funnel)
    blocked = np.zeros(day.high.shape[0], np.bool_)
    for minute in range(day.high.shape[1]):
        choices = close_minute(
            day, minute, events, order[first[minute] : first[minute + 1]], pool, blocked, rules, predicates, row,
            bar_in_progress,
        )  # fmt: skip
        for kind in range(2):
            line = out[2 * minute + kind]
            choice = choices[kind]
            line.contract = choice.contract
            line.n_stage1 = choice.candidates
            line.n_qualified = choice.qualified
            if choice.contract != NOBODY:
                slot = pool.slots[choice.contract]
                line.swing_low = slot.swing_low
                line.swing_index = slot.swing_index
                line.highest_high = slot.stop - rules.stop_buffer
                line.stop = slot.stop
                line.lots = slot.lots


def trace(day: DayBars, params: SwingBreakParams, *, bar_in_progress: bool = False) -> pl.DataFrame:
    """
    Best CE and best PE after each bar's close, as if nothing were ever traded.

    Parameters
    ----------
    day : DayBars
    params : SwingBreakParams
        Its saved `filters` apply.
    bar_in_progress : bool
        Also count the highs of the bar that follows, as a decision just before its close would.

    Returns
    -------
    polars frame, one row per minute and option type
        `minute, option_type, symbol, swing_low, swing_index, highest_high, stop` (ticks)`, lots, n_stage1`
        (unbroken candidates of the type)`, n_qualified`; symbol to lots are null when none qualifies.
        `swing_index` counts the contract's own bars.
    """
    from engine.strategy.predicates import load_filter

    predicates = tuple(load_filter(name) for name in params.filters)
    addresses = np.array([p.address for p in predicates], np.int64)
    out = np.zeros(2 * day.minutes, _TRACE)
    _trace(
        kernel_day(day),
        rules_for(params, day.lot_size),
        addresses,
        np.zeros(day.contracts * (day.minutes // 2 + 1), LOW_EVENT),
        np.zeros(day.contracts, SLOT),
        np.zeros(1, CANDIDATE),
        np.zeros(len(level_names(params.filters)), np.int64),
        bar_in_progress,
        out,
    )
    frame = pl.DataFrame(
        {
            "minute": np.repeat(np.arange(day.minutes, dtype=np.int32), 2),
            "option_type": ["CE", "PE"] * day.minutes,
            **{name: out[name] for name in _TRACE.names or ()},
        }
    )
    none = pl.col("contract") == NOBODY
    symbols = pl.Series("symbol", [day.symbols[c] if c >= 0 else None for c in out["contract"]], pl.String)
    values = ("swing_low", "swing_index", "highest_high", "stop", "lots")
    return frame.with_columns(
        symbols, *(pl.when(none).then(None).otherwise(pl.col(v)).alias(v) for v in values)
    ).select("minute", "option_type", "symbol", *values, "n_stage1", "n_qualified")
