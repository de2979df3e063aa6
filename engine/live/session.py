"""The session: a state machine without I/O, clock or chance. `step(state, event)` returns what is to be done.

The runner feeds it closed bars, prices, order reports, trades, commands and the time, and carries out the intents
it returns; tests and the fault simulator feed it too. What is decided, how a desired order is compared with the
working one, where a stop stands and when the day is over are functions of `strategy` and `execution`, the same as
in the backtest. Here stands what only a live day knows: requests on their way, partial fills, commands, doubt.
"""

from functools import singledispatch

import numpy as np

from engine.history.price_step import take_prices
from engine.live.decisions import session_bars as bars
from engine.live.decisions import session_entries as entries
from engine.live.decisions import session_positions as positions
from engine.live.decisions.session_inputs import (
    BarsClosed,
    BrokerSnapshot,
    Command,
    EntryKnown,
    FeedStatus,
    Input,
    LatchKnown,
    OrderUpdate,
    Quotes,
    RequestRefused,
    Timer,
    Trade,
)
from engine.live.decisions.session_intents import Alert, Intent, Record
from engine.live.decisions.session_state import MINUTE_NS, Entry, SessionState, no_order
from engine.live.log.events import LatchChanged, LatchState


def step(state: SessionState, event: Input) -> tuple[Intent, ...]:
    """
    Take in one event and say what is to be done.

    The only function that changes a session's state.

    Parameters
    ----------
    state : SessionState
        From `new_state`; changed in place.
    event : Input
        Repeated and late reports are harmless. Reports of a moment come before the `Timer` of that moment, and
        the closed bars of a minute before the first price of a later one where that can be had.

    Returns
    -------
    tuple of Intent
        In the order in which they shall be carried out: what protects comes before what opens.
    """
    _take(event, state)
    done = tuple(state.outbox)
    state.outbox.clear()
    return done


@singledispatch
def _take(event: Input, state: SessionState) -> None:
    del state
    raise TypeError(f"a session takes no {type(event).__name__}; see session_inputs.Input")


@_take.register
def _(event: BarsClosed, state: SessionState) -> None:
    bars.close(state, event)


@_take.register
def _(event: Quotes, state: SessionState) -> None:
    state.now_ns = max(state.now_ns, event.at_ns)
    minute = (event.at_ns - state.plan.open_ns) // MINUTE_NS
    if minute <= state.closed_minute:
        return  # late: its bar has closed and stands
    if minute not in state.highs:
        state.highs[minute] = np.zeros(len(state.price), np.int32)
    take_prices(event.ticks, state.price, state.highs[minute])


@_take.register
def _(event: Timer, state: SessionState) -> None:
    state.now_ns = max(state.now_ns, event.at_ns)
    positions.watch(state)
    bars.judge_loss(state)
    entries.retry(state)


@_take.register
def _(event: OrderUpdate, state: SessionState) -> None:
    state.now_ns = max(state.now_ns, event.at_ns)
    if event.leg != "entry":
        positions.closing_updated(state, event)
        return
    entry = state.entries.get(event.position)
    if entry is None:
        state.outbox.append(Alert("error", f"report of position {event.position}, unknown here"))
        return
    positions.told_filled(state, entry, event)
    entries.updated(state, entry, event)


@_take.register
def _(event: RequestRefused, state: SessionState) -> None:
    if event.leg != "entry":
        positions.closing_refused(state, event)
    elif event.position in state.entries:
        entries.refused(state, state.entries[event.position], event)


@_take.register
def _(event: Trade, state: SessionState) -> None:
    state.now_ns = max(state.now_ns, event.time_ns)
    positions.traded(state, event)


@_take.register
def _(event: Command, state: SessionState) -> None:
    if event.verb == "kill":
        _set_latch(state, "FLATTENING", event)
        positions.exit_all(state, "kill")
        entries.withdraw_all(state)
    elif event.verb == "pause":
        if state.latch == "ACTIVE":
            _set_latch(state, "REDUCING", event)
        entries.withdraw_all(state)
    elif event.verb == "resume":
        if state.latch == "REDUCING":
            _set_latch(state, "ACTIVE", event)
        else:
            state.outbox.append(Alert("warning", f"resume by {event.who} refused: latch is {state.latch}"))
    elif event.position in state.shorts:
        positions.exit_position(state, state.shorts[event.position], "flatten")
    else:
        state.outbox.append(Alert("warning", f"flatten refused: no position {event.position}"))


@_take.register
def _(event: LatchKnown, state: SessionState) -> None:
    state.latch = event.state
    if event.state == "FLATTENING":
        positions.exit_all(state, "kill")
    if event.state != "ACTIVE":
        entries.withdraw_all(state)


@_take.register
def _(event: FeedStatus, state: SessionState) -> None:
    if event.fresh != state.feed_fresh:
        why = f" ({event.detail})" if event.detail else ""
        text = (
            f"prices are fresh again{why}" if event.fresh else f"no fresh prices{why}: no entries, stops stay"
        )
        state.outbox.append(Alert("info" if event.fresh else "warning", text))
    state.feed_fresh = event.fresh
    if not event.fresh:
        entries.withdraw_all(state)


@_take.register
def _(event: BrokerSnapshot, state: SessionState) -> None:
    for order in event.orders:
        _take(order, state)
    net = dict(event.net)
    ours: dict[int, int] = {}
    for short in state.shorts.values():
        ours[short.contract] = ours.get(short.contract, 0) - short.units
    for contract in sorted(ours.keys() | net.keys()):
        if ours.get(contract, 0) != net.get(contract, 0):
            text = f"{state.plan.symbols[contract]}: broker holds {net.get(contract, 0)}, log {ours.get(contract, 0)}"
            state.outbox.append(Alert("error", text))
            if state.latch == "ACTIVE":
                _set_latch(state, "REDUCING", Command("pause", "session", text))
            entries.withdraw_all(state)
    for short in state.open:
        positions.protect(state, short)


@_take.register
def _(event: EntryKnown, state: SessionState) -> None:
    order = no_order()
    for name in ("contract", "conf_minute", "swing_index", "trigger", "limit", "lots", "stop"):
        order[name] = getattr(event, name)
    entry = Entry(event.position, event.kind, order, order)
    state.entries[event.position] = entry
    state.slots[event.kind].entry = entry
    state.next_position = max(state.next_position, event.position + 1)


def _set_latch(state: SessionState, to: LatchState, command: Command) -> None:
    state.latch = to
    reason = command.reason or command.verb
    state.outbox.append(Record(LatchChanged(state=to, reason=reason, who=command.who, reset=to == "ACTIVE")))
