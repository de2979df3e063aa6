"""One day of history, minute by minute: the compiled loop that calls the shared steps.

Each minute is played first (orders and positions against the moments of its bar), then closed (swings,
candidates, desired orders). No rule stands here: swings, filters and choice are the strategy's, matching,
limits and money the execution's. What this file owns is their order in time.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compiled import Row, Rows, njit
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS, price_at
from engine.execution.ledger import (
    DAY_STOP,
    DAY_TARGET,
    LIMIT_BREACH,
    NO_PRICE,
    OPEN,
    POSITION,
    STOP,
    STOP_GAP,
    TIME_EXIT,
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
    WORKING,
    reconcile,
    same_order,
)
from engine.execution.risk import CE, PE, Limits, loss_reached, may_open, target_reached
from engine.strategy.candidates import SLOT, Pool, count_levels, day_lows, drop, new_pool
from engine.strategy.predicates import CANDIDATE
from engine.strategy.rules import Rules
from engine.strategy.swing_break import DESIRED_ORDER, NOBODY, Choice, Day, close_minute, desire

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

LATCHES = ("", "day_stop", "day_target")


class Setup(NamedTuple):
    """What a day is run with, beside its bars."""

    rules: Rules
    limits: Limits
    path: int  # see bar_path.PATHS
    slip_ticks: int
    slip_basis_points: int
    latency_ms: int
    stop_unfilled_ms: int
    entry_from: int  # first minute in which an entry order may stand
    entry_until: int  # first minute in which none may
    exit_minute: int  # minute at whose first moment every position is bought back


class Record(NamedTuple):
    """Where a day's outcome is written."""

    trades: Rows  # TRADE[...]
    orders: Rows  # ORDER_EVENT[...]
    decisions: Rows  # DECISION[...]
    counts: npt.NDArray[np.int64]  # [COUNTS], see below
    funnel: npt.NDArray[np.int64]  # [levels]


# places in Record.counts
TRADES = 0
ORDERS = 1
DECISIONS = 2
ORDER_NUMBERS = 3
AMBIGUOUS = 4  # bars in which the assumed path decided a trade or the day latch
LATCH = 5  # place in LATCHES
REALISED = 6  # paise
COUNTS = 7


class Snapshot(NamedTuple):
    """What stood at the close of one minute, for the question "why this strike"."""

    minute: int  # -1 = not asked
    slots: Rows  # SLOT[C]
    blocked: npt.NDArray[np.bool_]  # [C]


class Book(NamedTuple):
    """Orders and positions of the day."""

    working: Row  # WORKING[2], CE and PE
    positions: Rows  # POSITION[C]
    held: npt.NDArray[np.int32]  # contracts with a position, in opening order, in held[:size[0]]
    size: npt.NDArray[np.int64]  # [1]
    blocked: npt.NDArray[np.bool_]  # [C], True where a position is open


@njit(cache=True)
def _log(
    record: Record, minute: int, ms: int, number: int, role: int, event: int, order: Row, quantity: int,
    price: int,
) -> None:  # fmt: skip
    line = record.orders[record.counts[ORDERS]]
    record.counts[ORDERS] += 1
    line.minute = minute
    line.ms = ms
    line.number = number
    line.role = role
    line.event = event
    line.contract = order.contract
    line.conf_minute = order.conf_minute
    line.swing_index = order.swing_index
    line.trigger = order.trigger
    line.limit = order.limit
    line.quantity = quantity
    line.price = price


@njit(cache=True)
def _log_exit(record: Record, minute: int, ms: int, position: Row, role: int, event: int, price: int) -> None:
    trade = record.trades[position.trade]
    line = record.orders[record.counts[ORDERS]]
    record.counts[ORDERS] += 1
    line.minute = minute
    line.ms = ms
    line.number = position.trade + 1
    line.role = role
    line.event = event
    line.contract = trade.contract
    line.conf_minute = trade.conf_minute
    line.swing_index = trade.swing_index
    line.trigger = position.stop if role == PROTECTIVE_STOP else 0
    line.limit = position.stop_limit if role == PROTECTIVE_STOP else 0
    line.quantity = position.quantity
    line.price = price


@njit(cache=True, forceinline=True)
def _open_counts(day: Day, book: Book) -> tuple[int, int]:
    ce, pe = 0, 0
    for k in range(book.size[0]):
        if day.is_call[book.held[k]]:
            ce += 1
        else:
            pe += 1
    return ce, pe


@njit(cache=True)
def _close_position(
    book: Book, record: Record, contract: int, minute: int, moment: int, ms: int, fill: int, reason: int
) -> None:
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
        role = PROTECTIVE_STOP if reason == STOP else MARKET_EXIT
        _log_exit(record, minute, ms, position, role, FILLED, fill)
    n = book.size[0]
    place = 0
    while book.held[place] != contract:
        place += 1
    for k in range(place, n - 1):
        book.held[k] = book.held[k + 1]
    book.size[0] = n - 1
    book.blocked[contract] = False


@njit(cache=True, forceinline=True)
def _day_paise(book: Book, record: Record) -> int:
    """Realised and open profit of the day at the last traded prices, in paise."""
    total = record.counts[REALISED]
    for k in range(book.size[0]):
        position = book.positions[book.held[k]]
        total += short_pnl(position.entry_price, position.mark, position.quantity)
    return total


@njit(cache=True)
def _ask_exit(book: Book, contract: int, reason: int, at_ms: int) -> None:
    position = book.positions[contract]
    if position.exit_reason == OPEN:
        position.exit_reason = reason
        position.exit_ms = at_ms


@njit(cache=True, forceinline=True)
def _ask_all_exits(book: Book, reason: int, at_ms: int) -> None:
    for k in range(book.size[0]):
        _ask_exit(book, book.held[k], reason, at_ms)


@njit(cache=True)
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


@njit(cache=True)
def _apply_pending(
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
            _log(record, minute, ms, slot.number, ENTRY, CANCELLED, slot.order, slot.order.lots * lot, 0)
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
            _log(record, minute, ms, number, ENTRY, REJECTED, asked, asked.lots * lot, 0)
            continue
        event = PLACED if slot.order.contract == NOBODY else MODIFIED
        slot.number = number
        slot.order = asked
        _log(record, minute, ms, number, ENTRY, event, asked, asked.lots * lot, 0)
        candidate = pool.slots[asked.contract]
        if candidate.active and candidate.conf_minute == asked.conf_minute:
            candidate.level = max(candidate.level, len(pool.funnel) - 2)


@njit(cache=True, forceinline=True)
def _ask_order(slot: Row, desired: Row, at_ms: int) -> None:
    """Send what is wanted of one slot, unless just that stands or is on its way."""
    standing = slot.next if slot.next_ms != NOT_PENDING else slot.order
    if reconcile(desired, standing) != KEEP:
        slot.next = desired
        slot.next_ms = at_ms


@njit(cache=True, forceinline=True)
def _ask_cancel(book: Book, nothing: Row, at_ms: int) -> None:
    for kind in range(2):
        _ask_order(book.working[kind], nothing, at_ms)


@njit(cache=True)
def _open_position(
    day: Day, setup: Setup, book: Book, pool: Pool, record: Record, slot: Row, minute: int, moment: int,
    ms: int, fill: int, highest: int,
) -> None:  # fmt: skip
    """Book an entry fill; `highest` is the high of the bar in progress so far (ticks)."""
    order = slot.order
    contract = order.contract
    ce, pe = _open_counts(day, book)
    allowed = may_open(CE if day.is_call[contract] else PE, ce, pe, setup.limits)
    trade = record.trades[record.counts[TRADES]]
    quantity = order.lots * setup.rules.lot_size
    stop = max(order.stop, highest + setup.rules.stop_buffer)
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
    _log(record, minute, ms, slot.number, ENTRY, FILLED, order, quantity, fill)

    position = book.positions[contract]
    position.trade = record.counts[TRADES]
    position.entry_price = fill
    position.quantity = quantity
    position.mark = fill
    position.stop = stop
    position.stop_limit = stop + setup.rules.stop_limit_buffer
    position.stop_live_ms = ms + setup.latency_ms
    position.stop_triggered = False
    position.triggered_ms = 0
    position.exit_reason = OPEN
    position.exit_ms = NOT_PENDING
    record.counts[TRADES] += 1
    book.held[book.size[0]] = contract
    book.size[0] += 1
    book.blocked[contract] = True
    _log_exit(record, minute, ms, position, PROTECTIVE_STOP, PLACED, 0)
    if not allowed:
        _ask_exit(book, contract, LIMIT_BREACH, ms + setup.latency_ms)

    candidate = pool.slots[contract]
    if candidate.active and candidate.conf_minute == order.conf_minute:
        candidate.level = len(pool.funnel) - 1
        drop(pool, contract)
    slot.order.contract = NOBODY
    slot.triggered = False
    slot.next_ms = NOT_PENDING  # a change still on its way finds the order filled


@njit(cache=True)
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
    _close_position(book, record, contract, minute, moment, ms, fill, position.exit_reason)
    return True


@njit(cache=True)
def _play_position(
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
        triggered, fill = stop_limit_fill(
            BUY, position.stop, position.stop_limit, was, previous, price, moment == 0,
            setup.slip_ticks, setup.slip_basis_points,
        )  # fmt: skip
        reason = STOP
        if triggered and not was:
            position.stop_triggered = True
            position.triggered_ms = ms
            _log_exit(record, minute, ms, position, PROTECTIVE_STOP, TRIGGERED, 0)
        if fill == UNFILLED:
            return False
    trade = record.trades[position.trade]
    if (
        trade.entry_minute == minute
        and trade.entry_moment > 0
        and day.close[contract, minute] < position.stop
    ):
        # the bar's high may have come before the entry; the worse order is taken and counted
        trade.ambiguous = True
        record.counts[AMBIGUOUS] += 1
    _close_position(book, record, contract, minute, moment, ms, inside_bar(fill, low, high), reason)
    return True


@njit(cache=True)
def _play_entry(
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
        _log(
            record, minute, ms, slot.number, ENTRY, TRIGGERED, slot.order,
            slot.order.lots * setup.rules.lot_size, 0,
        )  # fmt: skip
    if fill == UNFILLED:
        return
    highest = open_
    for earlier in range(1, moment + 1):
        highest = max(highest, price_at(open_, high, low, close, earlier, setup.path))
    fill = inside_bar(fill, low, high)
    _open_position(day, setup, book, pool, record, slot, minute, moment, ms, fill, highest)
    book.positions[contract].mark = price


@njit(cache=True, forceinline=True)
def _stays_quiet(setup: Setup, day: Day, book: Book, record: Record, minute: int) -> bool:
    """
    Tell whether no order can trigger and no limit can be reached anywhere in this minute's bars.

    True lets the loop skip the moments. It also moves the marks to the closes, where the moments would have
    left them.
    """
    worst = record.counts[REALISED]
    for k in range(book.size[0]):
        contract = book.held[k]
        position = book.positions[contract]
        high = day.high[contract, minute]
        if (
            not day.valid[contract, minute]
            or high >= position.stop
            or position.exit_reason != OPEN
            or position.stop_triggered
        ):
            return False
        worst += short_pnl(position.entry_price, high, position.quantity)
    for kind in range(2):
        slot = book.working[kind]
        contract = slot.order.contract
        if slot.next_ms != NOT_PENDING:
            return False
        if (
            contract != NOBODY
            and day.valid[contract, minute]
            and (slot.triggered or day.low[contract, minute] <= slot.order.trigger)
        ):
            return False
    if book.size[0] > 0 and (minute == setup.exit_minute or loss_reached(worst, setup.limits)):
        return False
    for k in range(book.size[0]):
        book.positions[book.held[k]].mark = day.close[book.held[k], minute]
    return True


@njit(cache=True)
def _play_moment(
    setup: Setup,
    day: Day,
    book: Book,
    pool: Pool,
    record: Record,
    minute: int,
    moment: int,
    nothing: Row,
) -> None:
    """Orders and positions at one moment of a minute."""
    ms = minute * MINUTE_MS + MOMENT_MS[moment]
    _apply_pending(day, setup, book, pool, record, minute, moment, ms)
    if minute == setup.exit_minute and moment == 0:
        _ask_all_exits(book, TIME_EXIT, ms + setup.latency_ms)
    place = 0
    while place < book.size[0]:
        contract = book.held[place]
        if day.valid[contract, minute]:
            high, low = day.high[contract, minute], day.low[contract, minute]
            open_, close = day.open[contract, minute], day.close[contract, minute]
            price = price_at(open_, high, low, close, moment, setup.path)
            previous = price_at(open_, high, low, close, max(moment - 1, 0), setup.path)
            if _play_position(setup, day, book, record, contract, minute, moment, ms, previous, price):
                continue
        elif moment == 0:
            record.trades[book.positions[contract].trade].gap_minutes += 1
        place += 1
    for kind in range(2):
        _play_entry(setup, day, book, pool, record, kind, minute, moment, ms)
    if record.counts[LATCH] == 0 and loss_reached(_day_paise(book, record), setup.limits):
        record.counts[LATCH] = 1
        if 0 < moment < MOMENTS - 1 and book.size[0] > 0:
            record.counts[AMBIGUOUS] += 1
        _ask_all_exits(book, DAY_STOP, ms + setup.latency_ms)
        _ask_cancel(book, nothing, ms + setup.latency_ms)
    _settle_exits(setup, day, book, record, minute, moment, ms)


@njit(cache=True)
def _play_minute(
    setup: Setup, day: Day, book: Book, pool: Pool, record: Record, minute: int, nothing: Row
) -> None:
    """Orders and positions through the moments of one minute."""
    _apply_pending(day, setup, book, pool, record, minute, 0, minute * MINUTE_MS)
    if not _stays_quiet(setup, day, book, record, minute):
        for moment in range(MOMENTS):
            _play_moment(setup, day, book, pool, record, minute, moment, nothing)
    if (
        record.counts[LATCH] == 0
        and book.size[0] > 0
        and target_reached(_day_paise(book, record), setup.limits)
    ):
        ms = minute * MINUTE_MS + MOMENT_MS[MOMENTS - 1]
        record.counts[LATCH] = 2
        _ask_all_exits(book, DAY_TARGET, ms + setup.latency_ms)
        _ask_cancel(book, nothing, ms + setup.latency_ms)
        _settle_exits(setup, day, book, record, minute, MOMENTS - 1, ms)


@njit(cache=True, forceinline=True)
def _settle_exits(
    setup: Setup, day: Day, book: Book, record: Record, minute: int, moment: int, ms: int
) -> None:
    place = 0
    while place < book.size[0]:
        contract = book.held[place]
        if day.valid[contract, minute] and _try_exit(setup, day, book, record, contract, minute, moment, ms):
            continue
        place += 1


@njit(cache=True, forceinline=True)
def _decide(
    setup: Setup, day: Day, book: Book, pool: Pool, record: Record, minute: int, ce: Choice, pe: Choice,
    wanted: Rows, last: Rows,
) -> None:  # fmt: skip
    """Turn the choices of a closed bar into requests for the two slots."""
    open_ce, open_pe = _open_counts(day, book)
    in_hours = setup.entry_from <= minute + 1 < setup.entry_until
    # a slot whose order stands keeps its reservation before a new one is made
    first = (
        PE if book.working[CE].order.contract == NOBODY and book.working[PE].order.contract != NOBODY else CE
    )
    for turn in range(2):
        kind = first if turn == 0 else 1 - first
        choice = ce if kind == CE else pe
        order = wanted[kind]
        order.contract = NOBODY
        verdict = NONE_QUALIFIES
        if choice.contract != NOBODY:
            if record.counts[LATCH] != 0:
                verdict = DAY_OVER
            elif not in_hours:
                verdict = OUTSIDE_HOURS
            elif not may_open(kind, open_ce, open_pe, setup.limits):
                verdict = NO_ROOM
            else:
                verdict = WANTED
                desire(pool.slots[choice.contract], choice.contract, setup.rules, order)
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
            record.decisions[record.counts[DECISIONS]] = line
            record.counts[DECISIONS] += 1
        _ask_order(book.working[kind], order, (minute + 1) * MINUTE_MS + setup.latency_ms)


@njit(cache=True, nogil=True)
def run_day(
    day: Day, setup: Setup, predicates: npt.NDArray[np.int64], events: Rows, record: Record,
    snapshot: Snapshot,
) -> None:  # fmt: skip
    """
    Run one day and write its outcome.

    Parameters
    ----------
    day : Day
        Dense bars, C contracts x M minutes.
    setup : Setup
    predicates : int64[f]
        Addresses of the user filters.
    events : LOW_EVENT[C x (M // 2 + 1)]
        Working room.
    record : Record
        Zeroed counts; trades for at least 2 x M, orders and decisions for at least 16 x M lines.
    snapshot : Snapshot
        Filled at the close of `snapshot.minute` when that is not negative.
    """
    contracts, minutes = day.high.shape
    _, order, first = day_lows(
        day.high, day.low, day.close, day.volume, day.valid, setup.rules, record.funnel, events
    )
    pool = new_pool(np.zeros(contracts, SLOT), record.funnel)
    book = Book(
        np.zeros(2, WORKING),
        np.zeros(contracts, POSITION),
        np.zeros(contracts, np.int32),
        np.zeros(1, np.int64),
        np.zeros(contracts, np.bool_),
    )
    nothing = np.zeros(1, DESIRED_ORDER)
    nothing[0].contract = NOBODY
    wanted = np.zeros(2, DESIRED_ORDER)
    last = np.zeros(2, DECISION)
    for kind in range(2):
        book.working[kind].order.contract = NOBODY
        book.working[kind].next.contract = NOBODY
        book.working[kind].next_ms = NOT_PENDING
        last[kind].order.contract = NOBODY
    row = np.zeros(1, CANDIDATE)
    for minute in range(minutes):
        busy = (
            book.size[0] > 0
            or book.working[CE].order.contract != NOBODY
            or book.working[PE].order.contract != NOBODY
            or book.working[CE].next_ms != NOT_PENDING
            or book.working[PE].next_ms != NOT_PENDING
        )
        if busy:
            _play_minute(setup, day, book, pool, record, minute, nothing[0])
        ce, pe = close_minute(
            day, minute, events, order[first[minute] : first[minute + 1]], pool, book.blocked, setup.rules,
            predicates, row, False,
        )  # fmt: skip
        _decide(setup, day, book, pool, record, minute, ce, pe, wanted, last)
        if minute == snapshot.minute:
            snapshot.slots[:] = pool.slots
            snapshot.blocked[:] = book.blocked
    while book.size[0] > 0:
        _close_position(
            book, record, book.held[0], minutes - 1, MOMENTS - 1, minutes * MINUTE_MS, 0, NO_PRICE
        )
    for k in range(pool.size[0]):
        count_levels(pool, pool.active[k])
