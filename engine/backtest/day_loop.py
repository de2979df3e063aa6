"""One day of history, minute by minute: the compiled loop that calls the shared steps.

Each minute is played first (orders and positions against the moments of its bar), then closed (swings,
candidates, desired orders). No rule stands here: swings, filters and choice are the strategy's, matching,
limits and money the execution's. What this file owns is their order in time.
"""

import numpy as np
import numpy.typing as npt

from engine.backtest.day_orders import (
    Book,
    apply_pending,
    ask_all_exits,
    ask_cancel,
    ask_order,
    close_position,
    day_paise,
    open_counts,
    play_entry,
    play_position,
    settle_exits,
)
from engine.backtest.day_record import (
    AMBIGUOUS,
    DECISIONS,
    LATCH,
    REALISED,
    Record,
    Setup,
    Snapshot,
)
from engine.compiled import Row, Rows, inner, njit
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS, price_at
from engine.execution.decisions import DECISION, decide
from engine.execution.fills import LATCHED_STOP, LATCHED_TARGET
from engine.execution.ledger import (
    DAY_STOP,
    DAY_TARGET,
    NO_PRICE,
    OPEN,
    POSITION,
    TIME_EXIT,
    short_pnl,
)
from engine.execution.orders import (
    NOT_PENDING,
    WORKING,
)
from engine.execution.risk import CE, PE, loss_reached, target_reached
from engine.strategy.candidates import SLOT, Pool, count_levels, day_lows, new_pool
from engine.strategy.predicates import CANDIDATE
from engine.strategy.swing_break import DESIRED_ORDER, NOBODY, Choice, Day, close_minute


@inner(cache=True, forceinline=True)
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


@inner(cache=True)
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
    apply_pending(day, setup, book, pool, record, minute, moment, ms)
    if minute == setup.exit_minute and moment == 0:
        ask_all_exits(book, TIME_EXIT, ms + setup.latency_ms)
    place = 0
    while place < book.size[0]:
        contract = book.held[place]
        if day.valid[contract, minute]:
            high, low = day.high[contract, minute], day.low[contract, minute]
            open_, close = day.open[contract, minute], day.close[contract, minute]
            price = price_at(open_, high, low, close, moment, setup.path)
            previous = price_at(open_, high, low, close, max(moment - 1, 0), setup.path)
            if play_position(setup, day, book, record, contract, minute, moment, ms, previous, price):
                continue
        elif moment == 0:
            record.trades[book.positions[contract].trade].gap_minutes += 1
        place += 1
    for kind in range(2):
        play_entry(setup, day, book, pool, record, kind, minute, moment, ms)
    if record.counts[LATCH] == 0 and loss_reached(day_paise(book, record), setup.limits):
        record.counts[LATCH] = LATCHED_STOP
        if 0 < moment < MOMENTS - 1 and book.size[0] > 0:
            record.counts[AMBIGUOUS] += 1
        ask_all_exits(book, DAY_STOP, ms + setup.latency_ms)
        ask_cancel(book, nothing, ms + setup.latency_ms)
    settle_exits(setup, day, book, record, minute, moment, ms)


@inner(cache=True)
def _play_minute(
    setup: Setup, day: Day, book: Book, pool: Pool, record: Record, minute: int, nothing: Row
) -> None:
    """Orders and positions through the moments of one minute."""
    apply_pending(day, setup, book, pool, record, minute, 0, minute * MINUTE_MS)
    if not _stays_quiet(setup, day, book, record, minute):
        for moment in range(MOMENTS):
            _play_moment(setup, day, book, pool, record, minute, moment, nothing)
    if (
        record.counts[LATCH] == 0
        and book.size[0] > 0
        and target_reached(day_paise(book, record), setup.limits)
    ):
        ms = minute * MINUTE_MS + MOMENT_MS[MOMENTS - 1]
        record.counts[LATCH] = LATCHED_TARGET
        ask_all_exits(book, DAY_TARGET, ms + setup.latency_ms)
        ask_cancel(book, nothing, ms + setup.latency_ms)
        settle_exits(setup, day, book, record, minute, MOMENTS - 1, ms)


@inner(cache=True, forceinline=True)
def _decide(
    setup: Setup, day: Day, book: Book, pool: Pool, record: Record, minute: int, ce: Choice, pe: Choice,
    wanted: Rows, last: Rows,
) -> None:  # fmt: skip
    """Turn the choices of a closed bar into requests for the two slots."""
    open_ce, open_pe = open_counts(day, book)
    first, changed = decide(
        minute, ce, pe, book.working[CE].order.contract != NOBODY, book.working[PE].order.contract != NOBODY,
        open_ce, open_pe, record.counts[LATCH] != 0, setup.entry_from <= minute + 1 < setup.entry_until,
        pool, setup.rules, setup.limits, wanted, last,
    )  # fmt: skip
    for turn in range(2):
        kind = first if turn == 0 else 1 - first
        if changed & (1 << kind):
            record.decisions[record.counts[DECISIONS]] = last[kind]
            record.counts[DECISIONS] += 1
        ask_order(book.working[kind], wanted[kind], (minute + 1) * MINUTE_MS + setup.latency_ms)


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
        if (
            not busy
            and pool.size[0] == 0
            and first[minute] == first[minute + 1]
            and minute != snapshot.minute
        ):
            continue  # nothing stands, nothing is new: nothing can be decided
        ce, pe = close_minute(
            day, minute, events, order[first[minute] : first[minute + 1]], pool, book.blocked, setup.rules,
            predicates, row, False,
        )  # fmt: skip
        _decide(setup, day, book, pool, record, minute, ce, pe, wanted, last)
        if minute == snapshot.minute:
            snapshot.slots[:] = pool.slots
            snapshot.blocked[:] = book.blocked
    while book.size[0] > 0:
        close_position(
            book, record, book.held[0], minutes - 1, MOMENTS - 1, minutes * MINUTE_MS - 1, 0, NO_PRICE
        )
    for k in range(pool.size[0]):
        count_levels(pool, pool.active[k])
