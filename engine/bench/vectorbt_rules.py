"""The swing-break rules as a vectorbt user writes them: callbacks of `flex_simulate_nb`.

For the benchmark only. A day is a group of columns that share cash, a contract is a column, a bar is a row.
`find_swings` (before a group) searches the day's swing lows by the literal rule and judges them, `next_fill`
(the flexible order function) plays a bar's four prices and returns one fill per call, `decide` (after a segment)
chooses the entry orders. Positions and cash are vectorbt's own. Of the engine only leaf functions are called
(does this stop-limit fill, is this premium enough), so the trades are a second opinion on its day loop.

Importing this module imports vectorbt.
"""

from typing import Any

import numpy as np
from numba import njit
from vectorbt.portfolio.enums import Direction
from vectorbt.portfolio.nb import order_nb, order_nothing_nb

from engine.bench.vectorbt_book import (
    HELD,
    NEVER,
    NOBODY,
    NOTES,
    PLAN,
    WATCHED,
    Book,
    Context,
    OrderOf,
    Row,
    ask,
    forget,
    open_counts,
    same_plan,
)
from engine.bench.vectorbt_swings import Job, Swings, find_swings
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS, price_at
from engine.execution.ledger import (
    DAY_STOP,
    DAY_TARGET,
    LIMIT_BREACH,
    OPEN,
    STOP,
    STOP_GAP,
    TIME_EXIT,
)
from engine.execution.matching import BUY, SELL, UNFILLED, inside_bar, slipped, stop_limit_fill
from engine.execution.risk import CE, PE, loss_reached, may_open, target_reached
from engine.market.prices import PAISE_PER_TICK
from engine.strategy.filters import NO_RANK, rank, stop_distance_allowed

# where in a moment the order function goes on when it is called again
BEGIN, HOLDINGS, ENTRIES, LIMITS, SETTLE = 0, 1, 2, 3, 4


@njit
def begin_day(c: Context, job: Job, swings: Swings, book: Book) -> Any:
    """`pre_group_func_nb`: clear the book and search the day's swings."""
    book.counts[WATCHED] = 0
    book.counts[HELD] = 0
    book.cursor[0].latch = 0
    for k in range(c.group_len):
        book.contracts[k].watched = False
    for kind in range(2):
        slot = book.working[kind]
        slot.plan.column = NOBODY
        slot.asked.column = NOBODY
        slot.asked_ms = NEVER
        slot.triggered = False
    if not swings.handed:
        find_swings(job, swings, c.group, c.from_col, c.to_col)
    return (job, swings, book)


@njit
def end_day(book: Book, reason: int, ms: int) -> None:
    """Ask for the exit of every position and for the cancelling of every entry order."""
    for k in range(book.counts[HELD]):
        contract = book.contracts[book.held[k]]
        if contract.exit_reason == OPEN:
            contract.exit_reason = reason
    nothing = np.zeros(1, PLAN)
    nothing[0].column = NOBODY
    for kind in range(2):
        ask(book.working[kind], nothing[0], ms)


@njit
def arrive(c: Context, job: Job, book: Book, ms: int) -> None:
    """Let what was asked take effect; a trigger the market has already reached is refused."""
    for kind in range(2):
        slot = book.working[kind]
        if slot.asked_ms > ms:
            continue
        slot.asked_ms = NEVER
        if same_plan(slot.asked, slot.plan):
            continue
        if slot.plan.column != slot.asked.column:
            slot.plan.column = NOBODY
            slot.triggered = False
        column = slot.asked.column
        if column == NOBODY:
            continue
        last = c.i - 1
        while last >= 0 and not job.valid[column, last]:
            last -= 1
        if last < 0 or slot.asked.trigger < job.close[column, last]:
            slot.plan = slot.asked


@njit
def is_quiet(c: Context, job: Job, book: Book) -> bool:
    """Whether nothing can happen in this bar; then the marks go to the closes."""
    worst = (c.last_cash[c.group] - c.init_cash[c.group]) * PAISE_PER_TICK
    for k in range(book.counts[HELD]):
        place = book.held[k]
        column = c.from_col + place
        contract = book.contracts[place]
        high = job.high[column, c.i]
        if (
            not job.valid[column, c.i]
            or high >= contract.sold_stop
            or contract.triggered
            or contract.exit_reason != OPEN
        ):
            return False
        worst += c.last_position[column] * high * PAISE_PER_TICK
    for kind in range(2):
        slot = book.working[kind]
        column = slot.plan.column
        if slot.asked_ms != NEVER:
            return False
        if (
            column != NOBODY
            and job.valid[column, c.i]
            and (slot.triggered or job.low[column, c.i] <= slot.plan.trigger)
        ):
            return False
    if book.counts[HELD] > 0 and (c.i == job.exit_minute[c.group] or loss_reached(worst, job.limits)):
        return False
    for k in range(book.counts[HELD]):
        book.contracts[book.held[k]].mark = job.close[c.from_col + book.held[k], c.i]
    return True


@njit
def day_paise(c: Context, book: Book) -> Any:
    """Realised and open profit of the group, by vectorbt's cash and positions and the last traded prices."""
    total = c.last_cash[c.group] - c.init_cash[c.group]
    for k in range(book.counts[HELD]):
        place = book.held[k]
        total += c.last_position[c.from_col + place] * book.contracts[place].mark
    return np.int64(total) * PAISE_PER_TICK


@njit
def price_now(job: Job, column: int, minute: int, moment: int) -> Any:
    """Price (ticks) of a bar at one of its moments."""
    return price_at(
        job.open[column, minute], job.high[column, minute], job.low[column, minute], job.close[column, minute],
        moment, job.path,
    )  # fmt: skip


@njit
def exit_fill(job: Job, contract: Row, column: int, minute: int, moment: int, ms: int) -> Any:
    """Show an open position one moment; the fill (UNFILLED while it stays open) and its reason."""
    low, high = job.low[column, minute], job.high[column, minute]
    price = price_now(job, column, minute, moment)
    contract.mark = price
    slip, share = job.slip_ticks, job.slip_basis_points
    if contract.exit_reason != OPEN:
        return inside_bar(slipped(price, BUY, slip, share), low, high), contract.exit_reason
    previous = price_now(job, column, minute, max(moment - 1, 0))
    limit = contract.sold_stop + job.rules.stop_limit_buffer
    was = contract.triggered
    if was and ms - contract.triggered_ms >= job.stop_unfilled_ms:
        # it went to market somewhere between the two prices, so the worse
        return inside_bar(slipped(max(previous, price), BUY, slip, share), low, high), STOP_GAP
    triggered, fill = stop_limit_fill(
        BUY, contract.sold_stop, limit, was, previous, price, moment == 0, slip, share
    )
    if triggered and not was:
        contract.triggered = True
        contract.triggered_ms = ms
    return inside_bar(fill, low, high), STOP


@njit
def buy_back(c: Context, book: Book, index: int, fill: int, reason: int) -> OrderOf:
    """Take a position off the book and return the order that closes it."""
    place = book.held[index]
    column = c.from_col + place
    for k in range(index, book.counts[HELD] - 1):
        book.held[k] = book.held[k + 1]
    book.counts[HELD] -= 1
    note = book.notes[book.counts[NOTES]]
    book.counts[NOTES] += 1
    note.moment = book.cursor[0].moment
    note.reason = reason
    return column, order_nb(
        size=c.last_position[column], price=np.float64(fill), direction=Direction.ShortOnly
    )


@njit
def sell_short(c: Context, job: Job, book: Book, kind: int, fill: int, highest: int) -> OrderOf:
    """Put a position on the book and return the order that opens it."""
    slot = book.working[kind]
    plan = slot.plan
    column = plan.column
    place = column - c.from_col
    contract = book.contracts[place]
    ce, pe = open_counts(c, job, book)
    contract.mark = price_now(job, column, c.i, book.cursor[0].moment)
    contract.sold_stop = max(plan.stop, highest + job.rules.stop_buffer)
    contract.triggered = False
    contract.exit_reason = OPEN if may_open(kind, ce, pe, job.limits) else LIMIT_BREACH
    book.held[book.counts[HELD]] = place
    book.counts[HELD] += 1
    if contract.watched and contract.confirmed == plan.confirmed:
        forget(book, place)
    slot.plan.column = NOBODY
    slot.triggered = False
    note = book.notes[book.counts[NOTES]]
    book.counts[NOTES] += 1
    note.moment = book.cursor[0].moment
    note.stop = contract.sold_stop
    size = np.float64(plan.lots * job.lot[c.group])
    return column, order_nb(size=size, price=np.float64(fill), direction=Direction.ShortOnly)


@njit
def entry_fill(c: Context, job: Job, slot: Row, moment: int) -> Any:
    """Show an entry order one moment; the fill (UNFILLED while it rests) and the high of the bar so far."""
    column = slot.plan.column
    price = price_now(job, column, c.i, moment)
    previous = price_now(job, column, c.i, max(moment - 1, 0))
    slot.triggered, fill = stop_limit_fill(
        SELL, slot.plan.trigger, slot.plan.limit, slot.triggered, previous, price, moment == 0, job.slip_ticks,
        job.slip_basis_points,
    )  # fmt: skip
    if fill == UNFILLED:
        return UNFILLED, 0
    highest = job.open[column, c.i]
    for earlier in range(1, moment + 1):
        highest = max(highest, price_now(job, column, c.i, earlier))
    return inside_bar(fill, job.low[column, c.i], job.high[column, c.i]), highest


@njit
def next_fill(c: Context, job: Job, swings: Swings, book: Book) -> OrderOf:  # noqa: ARG001
    """`flex_order_func_nb`: the next fill of this bar, or column -1 when it has no more."""
    at = book.cursor[0]
    if c.call_idx == 0:
        idle = (
            book.counts[HELD] == 0
            and book.working[CE].plan.column == NOBODY
            and book.working[PE].plan.column == NOBODY
            and book.working[CE].asked_ms == NEVER
            and book.working[PE].asked_ms == NEVER
        )
        if idle or c.i >= job.minutes[c.group]:
            return -1, order_nothing_nb()
        arrive(c, job, book, c.i * MINUTE_MS)
        at.moment, at.stage = 0, BEGIN
        if is_quiet(c, job, book):
            at.moment, at.stage, at.place = MOMENTS - 1, SETTLE, book.counts[HELD]
    while at.moment < MOMENTS:
        ms = c.i * MINUTE_MS + MOMENT_MS[at.moment]
        if at.stage == BEGIN:
            arrive(c, job, book, ms)
            if c.i == job.exit_minute[c.group] and at.moment == 0:
                for k in range(book.counts[HELD]):
                    if book.contracts[book.held[k]].exit_reason == OPEN:
                        book.contracts[book.held[k]].exit_reason = TIME_EXIT
            at.stage, at.place = HOLDINGS, 0
        if at.stage == HOLDINGS:
            while at.place < book.counts[HELD]:
                column = c.from_col + book.held[at.place]
                if job.valid[column, c.i]:
                    contract = book.contracts[book.held[at.place]]
                    fill, reason = exit_fill(job, contract, column, c.i, at.moment, ms)
                    if fill != UNFILLED:
                        return buy_back(c, book, at.place, fill, reason)
                at.place += 1
            at.stage, at.place = ENTRIES, 0
        if at.stage == ENTRIES:
            while at.place < 2:
                kind = at.place
                at.place += 1
                column = book.working[kind].plan.column
                if column != NOBODY and job.valid[column, c.i]:
                    fill, highest = entry_fill(c, job, book.working[kind], at.moment)
                    if fill != UNFILLED:
                        return sell_short(c, job, book, kind, fill, highest)
            at.stage = LIMITS
        if at.stage == LIMITS:
            if at.latch == 0 and loss_reached(day_paise(c, book), job.limits):
                at.latch = 1
                end_day(book, DAY_STOP, ms)
            at.stage, at.place = SETTLE, 0
        while at.place < book.counts[HELD]:
            contract = book.contracts[book.held[at.place]]
            column = c.from_col + book.held[at.place]
            if contract.exit_reason != OPEN and job.valid[column, c.i]:
                price = slipped(contract.mark, BUY, job.slip_ticks, job.slip_basis_points)
                fill = inside_bar(price, job.low[column, c.i], job.high[column, c.i])
                return buy_back(c, book, at.place, fill, contract.exit_reason)
            at.place += 1
        if (
            at.moment == MOMENTS - 1
            and at.latch == 0
            and book.counts[HELD] > 0
            and target_reached(day_paise(c, book), job.limits)
        ):
            at.latch = 2
            end_day(book, DAY_TARGET, ms)
            at.place = 0
            continue
        at.moment += 1
        at.stage = BEGIN
    return -1, order_nothing_nb()


@njit
def watch(c: Context, swings: Swings, book: Book) -> None:
    """Let the swing lows confirmed by this bar take or empty their contracts' places."""
    place = swings.first[c.group, c.i]
    while place >= 0:
        event = swings.events[place]
        place = event.next
        at = event.column - c.from_col
        contract = book.contracts[at]
        if not event.passed:
            if contract.watched:
                forget(book, at)
            continue
        if not contract.watched:
            book.watched[book.counts[WATCHED]] = at
            book.counts[WATCHED] += 1
        contract.watched = True
        contract.confirmed = c.i
        contract.base = event.base
        contract.low = event.low
        contract.highest = event.highest
        contract.after = event.after
        contract.stop = 0


@njit
def judge(job: Job, contract: Row, place: int, column: int, lot: int) -> None:
    """Stage 2 of a candidate whose highest high has moved."""
    stop = contract.highest + job.rules.stop_buffer
    if stop == contract.stop:
        return
    contract.stop = stop
    contract.rank = NO_RANK
    low = np.int64(contract.low)
    distance = stop - low
    if not stop_distance_allowed(low, distance, job.rules):
        return
    contract.lots = min(job.rules.r_value // (distance * PAISE_PER_TICK * lot), job.rules.max_lots)
    if contract.lots > 0:
        contract.rank = rank(low, distance, job.strike[column], place, job.rules)


@njit
def best_of_each(c: Context, job: Job, book: Book) -> Any:
    """Break, age and judge the candidates; the best CE and the best PE without a position, NOBODY if none."""
    ce, pe = NOBODY, NOBODY
    ce_rank, pe_rank = np.int64(NO_RANK), np.int64(NO_RANK)
    k = 0
    while k < book.counts[WATCHED]:
        place = book.watched[k]
        column = c.from_col + place
        contract = book.contracts[place]
        if contract.confirmed < c.i and job.valid[column, c.i]:
            if job.low[column, c.i] < contract.low:
                forget(book, place)
                continue
            high = job.high[column, c.i]
            contract.highest = high if contract.after == 0 else max(contract.highest, high)
            contract.after += 1
        k += 1
        judge(job, contract, place, column, job.lot[c.group])
        if c.last_position[column] != 0:
            continue
        if job.is_call[column] and contract.rank < ce_rank:
            ce, ce_rank = place, contract.rank
        elif not job.is_call[column] and contract.rank < pe_rank:
            pe, pe_rank = place, contract.rank
    return ce, pe


@njit
def decide(c: Context, job: Job, swings: Swings, book: Book) -> None:
    """`post_segment_func_nb`: the bar has closed; choose and ask for the entry orders."""
    if c.i >= job.minutes[c.group]:
        return
    watch(c, swings, book)
    best = best_of_each(c, job, book)
    if (
        best[CE] == NOBODY
        and best[PE] == NOBODY
        and book.working[CE].plan.column == NOBODY
        and book.working[PE].plan.column == NOBODY
        and book.working[CE].asked_ms == NEVER
        and book.working[PE].asked_ms == NEVER
    ):
        return
    ce, pe = open_counts(c, job, book)
    in_hours = job.entry_from[c.group] <= c.i + 1 < job.entry_until[c.group]
    plan = np.zeros(1, PLAN)[0]
    first = CE
    if book.working[CE].plan.column == NOBODY and book.working[PE].plan.column != NOBODY:
        first = PE
    for turn in range(2):
        kind = first if turn == 0 else 1 - first
        place = best[kind]
        plan.column = NOBODY
        if place != NOBODY and book.cursor[0].latch == 0 and in_hours and may_open(kind, ce, pe, job.limits):
            contract = book.contracts[place]
            plan.column = c.from_col + place
            plan.confirmed = contract.confirmed
            plan.base = contract.base
            plan.trigger = contract.low - job.rules.trigger_offset
            plan.limit = max(plan.trigger - job.rules.entry_buffer, 1)
            plan.lots = contract.lots
            plan.stop = contract.stop
            if kind == CE:
                ce += 1
            else:
                pe += 1
        ask(book.working[kind], plan, (c.i + 1) * MINUTE_MS)
