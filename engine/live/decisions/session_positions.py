"""Positions: every fill gets its stop, every exit goes on until the position is flat.

One handler takes in fills, however they were learnt: by a trade (booked once by its id) or by what an order's
report says has filled. Where the stop stands and why a position must go are `execution.fills`.
"""

from engine.execution.fills import exit_at_fill, same_swing, stop_at_fill
from engine.execution.ledger import EXIT_REASONS, OPEN, STOP, STOP_GAP, TIME_EXIT
from engine.execution.risk import CE, PE, may_open
from engine.live.decisions import session_entries as entries
from engine.live.decisions.session_inputs import OrderUpdate, RequestRefused, Trade
from engine.live.decisions.session_intents import (
    Alert,
    CancelOrder,
    ExitPosition,
    PlaceStop,
    ReplaceStop,
    TakeBack,
)
from engine.live.decisions.session_state import ClosedTrade, Entry, SessionState, Short
from engine.live.log.state import OUTSIDE
from engine.strategy.candidates import drop

RETRY_NS = 1_000_000_000
"""A refused exit is asked for again after 1 s."""

TIDY_NS = 5_000_000_000
"""What is left of a position that is flat is taken away again after 5 s, until it is gone."""

IN_DOUBT_NS = 10_000_000_000
"""A stop that has been asked for and is not known to stand after 10 s is not waited for: the position goes."""

UNPROTECTED = "unprotected"
"""Why a position is bought back whose stop cannot stand. Beside it and EXIT_REASONS, commands name themselves."""


def open_counts(state: SessionState) -> tuple[int, int]:
    """Open CE and open PE positions."""
    kinds = [short.kind for short in state.open]
    return kinds.count(CE), kinds.count(PE)


def traded(state: SessionState, event: Trade) -> None:
    """Book a trade."""
    if event.trade_id in state.booked:
        return
    entry = state.entries.get(event.position)
    if entry is None:
        state.outbox.append(
            Alert("error", f"trade {event.trade_id} belongs to position {event.position}, unknown here")
        )
        return
    state.booked.add(event.trade_id)
    if event.leg == "entry":
        short = _sold_more(state, entry, event.time_ns)
        short.sold += event.quantity
        short.sold_value += event.quantity * event.price
        if state.price[short.contract] == 0:
            state.price[short.contract] = event.price
    else:
        short = _sold_more(state, entry, event.time_ns)  # its sale may be booked after it in the log
        _bought(state, short, event)
    protect(state, short)
    if short.flat:
        _close(state, short, event.time_ns)


def _bought(state: SessionState, short: Short, event: Trade) -> None:
    units = -event.quantity if event.reversal else event.quantity
    short.bought += units
    short.bought_value += units * event.price
    if event.reversal:
        return
    entries.margin_freed(state)
    if event.leg == "exit":
        short.bought_by_exit += event.quantity
    own_stop = event.leg == "stop" and not (short.exit_reason and short.stop_is_exit)
    short.closed_by = EXIT_REASONS[STOP] if own_stop else short.exit_reason or OUTSIDE
    excess = short.bought - max(short.sold, short.told)
    if excess > 0:
        short.tidied_ns = state.now_ns
        state.outbox.append(TakeBack(short.position))
        state.outbox.append(Alert("error", f"{_symbol(state, short)}: bought {excess} units too many"))


def told_filled(state: SessionState, entry: Entry, event: OrderUpdate) -> None:
    """An entry order's report tells fills whose trades may still be on their way."""
    entry.filled = max(entry.filled, event.filled)
    if not event.filled:
        return
    short = _sold_more(state, entry, event.at_ns)
    short.told = max(short.told, event.filled)
    protect(state, short)


def closing_updated(state: SessionState, event: OrderUpdate) -> None:
    """Take in what stands of a stop or of an exit."""
    short = state.shorts.get(event.position)
    if short is None:
        return
    if event.leg == "exit":
        short.exit_told = max(short.exit_told, event.filled)
        short.exit_covers = 0 if event.status == "ended" else event.quantity
        if event.status == "ended" and short.units:
            _ask_exit_again(state, short)
        return
    short.stop_told = max(short.stop_told, event.filled)
    if event.status == "ended":
        short.stop_covers, short.stop_request, short.stop_triggered_ns = 0, "", 0
    else:
        short.stop_covers = event.quantity
        short.stop_is_exit = event.trigger == 0
        if event.quantity == short.stop_asked:
            short.stop_request = ""
        if event.status == "triggered" and not short.stop_triggered_ns:
            short.stop_triggered_ns = event.at_ns
    protect(state, short)


def closing_refused(state: SessionState, event: RequestRefused) -> None:
    """A stop was refused: the position goes. A refused exit is asked for again."""
    short = state.shorts.get(event.position)
    if short is None or event.request == "cancel":
        return
    if event.leg == "exit":
        _ask_exit_again(state, short)
        return
    short.stop_request = ""
    state.outbox.append(
        Alert("error", f"{_symbol(state, short)}: stop refused ({event.reason}), buying back")
    )
    exit_position(state, short, UNPROTECTED)


def protect(state: SessionState, short: Short) -> None:
    """See to it that the stop, and an exit asked for, covers exactly what has filled."""
    if not short.units:
        return
    covered = _protected(short)
    if not short.stop_asked:
        short.stop_request, short.stop_asked, short.stop_asked_ns = "place", covered, state.now_ns
        state.outbox.append(PlaceStop(*_stop(state, short, covered)))
    elif not short.stop_request and not short.stop_covers:
        exit_position(state, short, UNPROTECTED)
    elif not short.stop_request and not short.stop_is_exit and short.stop_covers < covered:
        short.stop_request, short.stop_asked, short.stop_asked_ns = "modify", covered, state.now_ns
        state.outbox.append(ReplaceStop(*_stop(state, short, covered)))
    if short.must_go:
        exit_position(state, short, short.must_go)
    bought = max(short.bought_by_exit, short.exit_told)
    if short.exit_reason and short.exit_asked < bought + short.units and state.now_ns >= short.exit_retry_ns:
        _ask_exit(state, short)


def _protected(short: Short) -> int:
    """Units that the stop shall cover, those included that it has bought."""
    return max(short.told, short.sold) - max(short.bought_by_exit, short.exit_told)


def exit_position(state: SessionState, short: Short, reason: str) -> None:
    """Buy a position back; the first reason stands."""
    if short.exit_reason or not short.units:
        return
    short.exit_reason = reason
    _ask_exit(state, short)


def exit_all(state: SessionState, reason: str) -> None:
    """Buy every position back."""
    for short in state.open:
        exit_position(state, short, reason)


def watch(state: SessionState) -> None:
    """What time brings: the forced exit, a stop that triggered and does not fill, what is left of the flat ones."""
    for short in state.shorts.values():
        if not short.units:
            _tidy(state, short)
    for short in state.open:
        if state.now_ns >= state.plan.exit_ns:
            exit_position(state, short, EXIT_REASONS[TIME_EXIT])
        since = short.stop_triggered_ns
        if since and state.now_ns - since >= max(state.plan.stop_unfilled_ns, 1):  # not in its own moment
            exit_position(state, short, EXIT_REASONS[STOP_GAP])
        if not short.stop_asked_ns:
            short.stop_asked_ns = state.now_ns  # asked for by an earlier process
        if short.stop_request and state.now_ns - short.stop_asked_ns >= IN_DOUBT_NS:
            _doubted(state, short)
        protect(state, short)


def _tidy(state: SessionState, short: Short) -> None:
    """Nothing may stand over a position that is flat, and nothing may be held the other way round."""
    if state.now_ns - short.tidied_ns < TIDY_NS:
        return
    asked = len(state.outbox)
    if short.bought > max(short.sold, short.told):
        state.outbox.append(TakeBack(short.position))
    if short.stop_covers > max(short.stop_told, short.bought - short.bought_by_exit):
        state.outbox.append(CancelOrder(short.position, "stop", "flat"))
    if short.exit_covers > max(short.exit_told, short.bought_by_exit):
        state.outbox.append(CancelOrder(short.position, "exit", "flat"))
    if len(state.outbox) > asked:
        short.tidied_ns = state.now_ns


def _doubted(state: SessionState, short: Short) -> None:
    """Nobody knows whether the stop stands, or whether it has grown: what it may not cover must not stay."""
    if short.exit_reason or short.stop_covers >= _protected(short):
        return
    state.outbox.append(Alert("error", f"{_symbol(state, short)}: its stop is in doubt, buying back"))
    exit_position(state, short, UNPROTECTED)


def _sold_more(state: SessionState, entry: Entry, at_ns: int) -> Short:
    """The position of an entry order that has filled; opened with its first fill."""
    if entry.position in state.shorts:
        return state.shorts[entry.position]
    contract, order = entry.contract, entry.order[0]
    candidate = state.pool.slots[contract]
    highest = max((int(highs[contract]) for highs in state.highs.values()), default=0)
    stop = int(stop_at_fill(candidate, order, highest, state.plan.rules.stop_buffer))
    ce, pe = open_counts(state)
    allowed = may_open(entry.kind, ce, pe, state.plan.limits)
    reason = exit_at_fill(state.day_latch, at_ns >= state.plan.exit_ns, allowed)
    short = Short(
        entry.position, entry.kind, contract, entry, at_ns, int(order["stop"]), stop,
        stop + state.plan.rules.stop_limit_buffer,
    )  # fmt: skip
    state.shorts[entry.position] = short
    if same_swing(candidate, order):
        candidate["level"] = len(state.pool.funnel) - 1
        drop(state.pool, contract)
    entries.filled(state, entry)
    if state.latch == "FLATTENING":
        short.must_go = "kill"
    elif reason != OPEN:
        short.must_go = EXIT_REASONS[reason]
    return short


def _close(state: SessionState, short: Short, at_ns: int) -> None:
    """Book the round trip and take away what still stands of it."""
    short.tidied_ns = state.now_ns
    if short.stop_covers and short.stop_told < short.stop_covers and short.closed_by != EXIT_REASONS[STOP]:
        state.outbox.append(CancelOrder(short.position, "stop", "flat"))
    elif short.exit_asked and short.closed_by == EXIT_REASONS[STOP]:
        state.outbox.append(CancelOrder(short.position, "exit", "flat"))
    entries.withdraw(state, short.entry)
    order = short.entry.order[0]
    state.trades[short.position] = ClosedTrade(
        short.position, short.contract, _symbol(state, short), short.kind, int(order["conf_minute"]),
        int(order["swing_index"]), short.sold, short.opened_ns, short.sold_value, short.stop, at_ns,
        short.bought_value, short.closed_by, short.pnl(0),
    )  # fmt: skip


def _ask_exit_again(state: SessionState, short: Short) -> None:
    short.exit_asked = 0
    short.exit_retry_ns = state.now_ns + RETRY_NS


def _ask_exit(state: SessionState, short: Short) -> None:
    short.exit_asked = max(short.bought_by_exit, short.exit_told) + short.units
    state.outbox.append(
        ExitPosition(short.position, short.contract, _symbol(state, short), short.units, short.exit_reason)
    )


def _stop(state: SessionState, short: Short, quantity: int) -> tuple[int, int, str, int, int, int]:
    return (
        short.position, short.contract, _symbol(state, short), quantity, short.stop, short.stop_limit,
    )  # fmt: skip


def _symbol(state: SessionState, short: Short) -> str:
    return state.plan.symbols[short.contract]
