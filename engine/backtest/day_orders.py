"""Orders and positions of a day at one moment: what arrives, fills, is stopped, is asked of the exchange.

The day loop calls these in the order of time. How an order matches, what a limit allows and what a fill is worth
stand in `engine.execution`; this is where a fill becomes a position and a position a trade.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.backtest.day_record import (
    AMBIGUOUS,
    LATCH,
    ORDER_NUMBERS,
    REALISED,
    TRADES,
    Record,
    Setup,
    log_exit,
    log_order,
)
from engine.compiled import Row, Rows, inner
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, WORST, price_at
from engine.execution.fills import exit_at_fill, same_swing, stop_at_fill
from engine.execution.ledger import (
    NO_PRICE,
    OPEN,
    STOP,
    STOP_GAP,
    short_pnl,
    short_risk,
)
from engine.execution.matching import BUY, SELL, UNFILLED, inside_bar, slipped, stop_limit_fill
from engine.execution.orders import (
    CANCEL,
    CANCELLED,
    ENTRY,
    FILLED,
    KEEP,
    MARKET_EXIT,
    MODIFIED,
    NOT_PENDING,
    PLACED,
    PROTECTIVE_STOP,
    REJECTED,
    SWITCH,
    TRIGGERED,
    reconcile,
)
from engine.execution.risk import CE, PE, may_open
from engine.strategy.candidates import Pool, drop
from engine.strategy.swing_break import NOBODY, Day


class Book(NamedTuple):
    """Orders and positions of the day."""

    working: Row  # WORKING[2], CE and PE
    positions: Rows  # POSITION[C]
    held: npt.NDArray[np.int32]  # contracts with a position, in opening order, in held[:size[0]]
    size: npt.NDArray[np.int64]  # [1]
    blocked: npt.NDArray[np.bool_]  # [C], True where a position is open


@inner(cache=True, forceinline=True)
def open_counts(day: Day, book: Book) -> tuple[int, int]:
    """Open CE and open PE positions."""
    ce, pe = 0, 0
    for k in range(book.size[0]):
        if day.is_call[book.held[k]]:
            ce += 1
        else:
            pe += 1
    return ce, pe


@inner(cache=True)
def close_position(
    book: Book, record: Record, contract: int, minute: int, moment: int, ms: int, fill: int, reason: int
) -> None:
    """Book the end of a position and free its contract."""
    position = book.positions[contract]
    trade = record.trades[position.trade]
    trade.exit_minute = minute
    trade.exit_moment = moment
    trade.exit_price = fill
    trade.reason = reason
    if reason == NO_PRICE:
        trade.invalid = True
    else:
        trade.pnl = short_pnl(position.entry_price, fill, position.quantity)
        record.counts[REALISED] += trade.pnl
    if reason == STOP:
        log_exit(record, minute, ms, position.stop_number, position, PROTECTIVE_STOP, FILLED, fill)
    else:
        log_exit(record, minute, ms, position.stop_number, position, PROTECTIVE_STOP, CANCELLED, 0)
    if reason not in (STOP, NO_PRICE):
        record.counts[ORDER_NUMBERS] += 1
        log_exit(record, minute, ms, record.counts[ORDER_NUMBERS], position, MARKET_EXIT, FILLED, fill)
    n = book.size[0]
    place = 0
    while book.held[place] != contract:
        place += 1
    for k in range(place, n - 1):
        book.held[k] = book.held[k + 1]
    book.size[0] = n - 1
    book.blocked[contract] = False


@inner(cache=True, forceinline=True)
def day_paise(book: Book, record: Record) -> int:
    """Realised and open profit of the day at the last traded prices, in paise."""
    total = record.counts[REALISED]
    for k in range(book.size[0]):
        position = book.positions[book.held[k]]
        total += short_pnl(position.entry_price, position.mark, position.quantity)
    return total


@inner(cache=True)
def ask_exit(book: Book, contract: int, reason: int, at_ms: int) -> None:
    """Ask for a position to be bought back; the first reason stands."""
    position = book.positions[contract]
    if position.exit_reason == OPEN:
        position.exit_reason = reason
        position.exit_ms = at_ms


@inner(cache=True, forceinline=True)
def ask_all_exits(book: Book, reason: int, at_ms: int) -> None:
    """Ask for every position to be bought back."""
    for k in range(book.size[0]):
        ask_exit(book, book.held[k], reason, at_ms)


@inner(cache=True)
def _last_price(day: Day, setup: Setup, contract: int, minute: int, moment: int) -> int:
    """Price (ticks) last traded before a moment of a minute; a price beyond any trigger when there was none."""
    if moment > 0 and day.valid[contract, minute]:
        return price_at(
            day.open[contract, minute], day.high[contract, minute], day.low[contract, minute],
            day.close[contract, minute], moment - 1, setup.path,
        )  # fmt: skip
    last = minute - 1
    while last >= 0 and not day.valid[contract, last]:
        last -= 1
    return day.close[contract, last] if last >= 0 else 2**31 - 1


@inner(cache=True)
def apply_pending(
    day: Day, setup: Setup, book: Book, pool: Pool, record: Record, minute: int, moment: int, ms: int
) -> None:
    """Let what was asked of the exchange and has now arrived take effect."""
    lot = setup.rules.lot_size
    for kind in range(2):
        slot = book.working[kind]
        if slot.next_ms > ms:
            continue
        slot.next_ms = NOT_PENDING
        asked = slot.next
        action = reconcile(asked, slot.order)
        if action == KEEP:
            continue
        if action in (CANCEL, SWITCH):
            log_order(record, minute, ms, slot.number, ENTRY, CANCELLED, slot.order, slot.order.lots * lot, 0)
            slot.order.contract = NOBODY
            slot.triggered = False
        if action == CANCEL:
            continue
        number = slot.number
        if slot.order.contract == NOBODY:
            record.counts[ORDER_NUMBERS] += 1
            number = record.counts[ORDER_NUMBERS]
        # the exchange refuses a SELL stop whose trigger the market has already reached
        if asked.trigger >= _last_price(day, setup, asked.contract, minute, moment):
            log_order(record, minute, ms, number, ENTRY, REJECTED, asked, asked.lots * lot, 0)
            continue
        event = PLACED if slot.order.contract == NOBODY else MODIFIED
        slot.number = number
        slot.order = asked
        log_order(record, minute, ms, number, ENTRY, event, asked, asked.lots * lot, 0)
        candidate = pool.slots[asked.contract]
        if candidate.active and candidate.conf_minute == asked.conf_minute:
            candidate.level = max(candidate.level, len(pool.funnel) - 2)


@inner(cache=True, forceinline=True)
def ask_order(slot: Row, desired: Row, at_ms: int) -> None:
    """Send what is wanted of one slot, unless just that stands or is on its way."""
    standing = slot.next if slot.next_ms != NOT_PENDING else slot.order
    if reconcile(desired, standing) != KEEP:
        slot.next = desired
        slot.next_ms = at_ms


@inner(cache=True, forceinline=True)
def ask_cancel(book: Book, nothing: Row, at_ms: int) -> None:
    """Ask for both entry orders to be cancelled."""
    for kind in range(2):
        ask_order(book.working[kind], nothing, at_ms)


@inner(cache=True)
def _open_position(
    day: Day, setup: Setup, book: Book, pool: Pool, record: Record, slot: Row, minute: int, moment: int,
    ms: int, fill: int, highest: int,
) -> None:  # fmt: skip
    """Book an entry fill; `highest` is the high of the bar in progress so far (ticks)."""
    order = slot.order
    contract = order.contract
    ce, pe = open_counts(day, book)
    allowed = may_open(CE if day.is_call[contract] else PE, ce, pe, setup.limits)
    trade = record.trades[record.counts[TRADES]]
    quantity = order.lots * setup.rules.lot_size
    candidate = pool.slots[contract]
    stop = stop_at_fill(candidate, order, highest, setup.rules.stop_buffer)
    trade.contract = contract
    trade.conf_minute = order.conf_minute
    trade.swing_index = order.swing_index
    trade.swing_minute = order.swing_minute
    trade.swing_low = order.swing_low
    trade.trigger = order.trigger
    trade.limit = order.limit
    trade.lots = order.lots
    trade.quantity = quantity
    trade.entry_minute = minute
    trade.entry_moment = moment
    trade.entry_price = fill
    trade.exit_minute = -1
    trade.exit_moment = 0
    trade.exit_price = 0
    trade.reason = OPEN
    trade.gap_minutes = 0
    trade.ambiguous = False
    trade.invalid = False
    trade.pnl = 0
    trade.planned_stop = order.stop
    trade.stop = stop
    trade.planned_risk = short_risk(order.swing_low, order.stop, quantity)
    trade.risk = short_risk(fill, stop, quantity)
    log_order(record, minute, ms, slot.number, ENTRY, FILLED, order, quantity, fill)

    position = book.positions[contract]
    position.trade = record.counts[TRADES]
    position.entry_price = fill
    position.quantity = quantity
    position.mark = fill
    position.stop = stop
    position.stop_limit = stop + setup.rules.stop_limit_buffer
    position.stop_live_ms = ms + setup.latency_ms
    record.counts[ORDER_NUMBERS] += 1
    position.stop_number = record.counts[ORDER_NUMBERS]
    position.stop_triggered = False
    position.triggered_ms = 0
    position.exit_reason = OPEN
    position.exit_ms = NOT_PENDING
    record.counts[TRADES] += 1
    book.held[book.size[0]] = contract
    book.size[0] += 1
    book.blocked[contract] = True
    log_exit(record, minute, ms, position.stop_number, position, PROTECTIVE_STOP, PLACED, 0)
    reason = exit_at_fill(record.counts[LATCH], minute >= setup.exit_minute, allowed)
    if reason != OPEN:
        ask_exit(book, contract, reason, ms + setup.latency_ms)

    if same_swing(candidate, order):
        candidate.level = len(pool.funnel) - 1
        drop(pool, contract)
    slot.order.contract = NOBODY
    slot.triggered = False
    slot.next_ms = NOT_PENDING  # a change still on its way finds the order filled


@inner(cache=True)
def _try_exit(
    setup: Setup, day: Day, book: Book, record: Record, contract: int, minute: int, moment: int, ms: int
) -> bool:
    """Fill a position's exit order if it has arrived and the contract trades at this moment."""
    position = book.positions[contract]
    if position.exit_reason == OPEN or position.exit_ms > ms:
        return False
    fill = inside_bar(
        slipped(position.mark, BUY, setup.slip_ticks, setup.slip_basis_points),
        day.low[contract, minute],
        day.high[contract, minute],
    )
    close_position(book, record, contract, minute, moment, ms, fill, position.exit_reason)
    return True


@inner(cache=True)
def play_position(
    setup: Setup, day: Day, book: Book, record: Record, contract: int, minute: int, moment: int, ms: int,
    previous: int, price: int,
) -> bool:  # fmt: skip
    """Show an open position one moment of its bar; True when that closed it."""
    position = book.positions[contract]
    position.mark = price
    if _try_exit(setup, day, book, record, contract, minute, moment, ms):
        return True
    if position.stop_live_ms > ms:
        return False
    was = position.stop_triggered
    high, low = day.high[contract, minute], day.low[contract, minute]
    if was and ms - position.triggered_ms >= setup.stop_unfilled_ms:
        # triggered earlier and still unfilled: it went to market somewhere between the two prices, so the worse
        fill = slipped(max(previous, price), BUY, setup.slip_ticks, setup.slip_basis_points)
        reason = STOP_GAP
    else:
        # a stop that came to stand on the way between two prices met the worse of them
        just_live = moment > 0 and position.stop_live_ms > minute * MINUTE_MS + MOMENT_MS[moment - 1]
        met = max(previous, price) if just_live else price
        triggered, fill = stop_limit_fill(
            BUY, position.stop, position.stop_limit, was, previous, met, moment == 0,
            setup.slip_ticks, setup.slip_basis_points,
        )  # fmt: skip
        reason = STOP
        if triggered and not was:
            position.stop_triggered = True
            position.triggered_ms = ms
            log_exit(record, minute, ms, position.stop_number, position, PROTECTIVE_STOP, TRIGGERED, 0)
        if fill == UNFILLED:
            return False
    trade = record.trades[position.trade]
    if (
        not trade.ambiguous
        and trade.entry_minute == minute
        and trade.entry_moment > 0
        and day.close[contract, minute] < position.stop
    ):
        # the bar's high may have come before the entry; the worse order is taken and counted
        trade.ambiguous = True
        record.counts[AMBIGUOUS] += 1
    close_position(book, record, contract, minute, moment, ms, inside_bar(fill, low, high), reason)
    return True


@inner(cache=True)
def play_entry(
    setup: Setup, day: Day, book: Book, pool: Pool, record: Record, kind: int, minute: int, moment: int, ms: int,
) -> None:  # fmt: skip
    """Show a working entry order one moment of its contract's bar."""
    slot = book.working[kind]
    contract = slot.order.contract
    if contract == NOBODY or not day.valid[contract, minute]:
        return
    high, low = day.high[contract, minute], day.low[contract, minute]
    open_, close = day.open[contract, minute], day.close[contract, minute]
    price = price_at(open_, high, low, close, moment, setup.path)
    previous = price_at(open_, high, low, close, max(moment - 1, 0), setup.path)
    triggered, fill = stop_limit_fill(
        SELL, slot.order.trigger, slot.order.limit, slot.triggered, previous, price, moment == 0,
        setup.slip_ticks, setup.slip_basis_points,
    )  # fmt: skip
    if triggered and not slot.triggered:
        slot.triggered = True
        log_order(
            record, minute, ms, slot.number, ENTRY, TRIGGERED, slot.order,
            slot.order.lots * setup.rules.lot_size, 0,
        )  # fmt: skip
    if fill == UNFILLED:
        return
    highest = open_
    for earlier in range(1, moment + 1):
        highest = max(highest, price_at(open_, high, low, close, earlier, setup.path))
    fill = inside_bar(fill, low, high)
    planned_stop = slot.order.stop
    _open_position(day, setup, book, pool, record, slot, minute, moment, ms, fill, highest)
    position = book.positions[contract]
    position.mark = price
    if setup.path != WORST and moment > 0 and highest == high and high >= planned_stop:
        # the path put the high before the entry; had it come after, the stop would have been hit
        record.trades[position.trade].ambiguous = True
        record.counts[AMBIGUOUS] += 1


@inner(cache=True, forceinline=True)
def settle_exits(
    setup: Setup, day: Day, book: Book, record: Record, minute: int, moment: int, ms: int
) -> None:
    """Fill the exits that were asked for at this very moment."""
    place = 0
    while place < book.size[0]:
        contract = book.held[place]
        if day.valid[contract, minute] and _try_exit(setup, day, book, record, contract, minute, moment, ms):
            continue
        place += 1
