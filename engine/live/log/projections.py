"""From events to rows: the pure fold behind the projection tables, recovery and the state hash.

`changes_of` tells which rows one event makes new; it reads no clock and no disk, so replaying the log gives the
same state and the same hash every time. An event that contradicts the log (a tag used twice, a second broker
order for one intent, a trade booked twice) is refused before it is written. What the broker reports as truth is
never refused for being unwelcome: a fill after a confirmed cancel, or above the quantity, counts.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from engine.live.log.events import (
    CancelPrepared,
    DayLatched,
    Event,
    Fact,
    FillBooked,
    IntentPrepared,
    IntentSent,
    LatchChanged,
    LatchState,
    Mismatch,
    ModifyPrepared,
    OrderAccepted,
    OrderNotSent,
    OrderRefused,
    OrderUnknown,
    OrderUpdated,
    OutsideFill,
    ReconcileDone,
    RequestAnswered,
    SessionEnded,
    SessionStarted,
    StopPlanned,
)
from engine.live.log.state import (
    ACCEPTED,
    ENDED_STATUSES,
    NOT_SENT,
    OUTSIDE,
    PREPARED,
    REFUSED,
    SENT,
    STRICTNESS,
    TERMINAL,
    UNKNOWN,
    Changes,
    Day,
    Fill,
    Latch,
    Order,
    Position,
    State,
    fill_key,
)
from engine.live.log.store_errors import EventRefusedError

_Rule = Callable[[State, Event, Any], Changes]
_RULES: dict[type[Fact], _Rule] = {}
NOTHING = Changes()
_NEXT_DONE = {"next_quantity": 0, "next_trigger": 0, "next_limit": 0, "next_reason": ""}


def replay(events: Iterable[Event]) -> State:
    """
    The state that a log amounts to; events of kinds outside `STATE_KINDS` may be left out.

    Raises
    ------
    EventRefusedError
        If `seq` does not ascend or an event contradicts those before it.
    """
    orders: dict[str, Order] = {}
    positions: dict[int, Position] = {}
    fills: dict[str, Fill] = {}
    days: dict[str, Day] = {}
    state = State(
        orders=MappingProxyType(orders),
        positions=MappingProxyType(positions),
        fills=MappingProxyType(fills),
        days=MappingProxyType(days),
    )
    for event in events:
        if event.seq <= state.seq:
            raise EventRefusedError(f"event {event.seq} ({event.kind}) follows {state.seq}; restore a backup")
        changes = changes_of(state, event)
        for order in changes.orders:
            orders[order.tag] = order
        for position in changes.positions:
            positions[position.position] = position
        for fill in changes.fills:
            fills[fill_key(fill.order_id, fill.trade_id)] = fill
        for day in changes.days:
            days[day.date] = day
        state = replace(state, seq=event.seq, latch=changes.latch or state.latch)
    return state


def gapless(events: Iterable[Event]) -> Iterator[Event]:
    """
    The same events, once they are known to count 1, 2, 3, ...

    Raises
    ------
    EventRefusedError
        At the first gap.
    """
    for expected, event in enumerate(events, start=1):
        if event.seq != expected:
            raise EventRefusedError(
                f"event {event.seq} ({event.kind}) stands where {expected} should; restore a backup"
            )
        yield event


def changes_of(state: State, event: Event) -> Changes:
    """
    The rows that one more event makes new.

    Raises
    ------
    EventRefusedError
        If the event contradicts the log.
    """
    rule = _RULES.get(type(event.fact))
    return rule(state, event, event.fact) if rule else NOTHING


def is_booked(state: State, fact: Fact) -> bool:
    """Whether this is a broker's trade that the log already holds."""
    return (
        isinstance(fact, FillBooked | OutsideFill) and fill_key(fact.order_id, fact.trade_id) in state.fills
    )


def loosens(now: LatchState, then: LatchState) -> bool:
    """Whether a move of the latch allows more than before; HALTED after FLATTENING is the proved end of a kill."""
    return STRICTNESS[then] < STRICTNESS[now] and (now, then) != ("FLATTENING", "HALTED")


def _projects(kind: type[Fact]) -> Callable[[_Rule], _Rule]:
    def register(rule: _Rule) -> _Rule:
        _RULES[kind] = rule
        return rule

    return register


def _order(state: State, event: Event, tag: str) -> Order:
    order = state.orders.get(tag)
    if order is None:
        raise EventRefusedError(
            f"{event.kind}: tag {tag!r} has no IntentPrepared; write the intent first, or a Mismatch if not ours"
        )
    return order


def _open_order(state: State, event: Event, tag: str) -> Order:
    order = _order(state, event, tag)
    if not order.open:
        raise EventRefusedError(
            f"{event.kind}: order {tag} has ended ({order.state} {order.status}); do not send"
        )
    return order


def _day(state: State, event: Event, date: str) -> Day:
    day = state.days.get(date)
    if day is None:
        raise EventRefusedError(f"{event.kind}: no session of {date} has started; write SessionStarted first")
    return day


def _today(state: State, **counted: int) -> tuple[Day, ...]:
    """The current day with these counts raised; none before the first session."""
    day = state.today
    if day is None:
        return ()
    return (replace(day, **{name: getattr(day, name) + more for name, more in counted.items()}),)


# ---- session ----


@_projects(SessionStarted)
def _session_started(state: State, event: Event, fact: SessionStarted) -> Changes:
    date = fact.date.isoformat()
    held = state.days.get(date)
    told: dict[str, Any] = {
        "underlying": fact.underlying,
        "expiry": fact.expiry.isoformat(),
        "mode": fact.mode,
        "params_hash": fact.params_hash,
        "lot_size": fact.lot_size,
        "broker": fact.broker,
        "feed": fact.feed,
        "simulated": fact.simulated,
        "ended_ns": 0,
        "flat": False,
        "start_seq": event.seq,
    }
    if held is not None:
        return Changes(days=(replace(held, starts=held.starts + 1, **told),))
    day = Day(
        date=date, started_ns=event.ts_ns, starts=1, orders=0, fills=0, positions=0, realised=0, charges=None,
        latched="", reconciled_ns=0, mismatches=0, **told,
    )  # fmt: skip
    return Changes(days=(day,))


@_projects(SessionEnded)
def _session_ended(state: State, event: Event, fact: SessionEnded) -> Changes:
    day = _day(state, event, fact.date.isoformat())
    return Changes(days=(replace(day, ended_ns=event.ts_ns, flat=fact.flat, charges=fact.charges),))


@_projects(DayLatched)
def _day_latched(state: State, event: Event, fact: DayLatched) -> Changes:
    return Changes(days=(replace(_day(state, event, fact.date.isoformat()), latched=fact.reason),))


@_projects(LatchChanged)
def _latch_changed(state: State, event: Event, fact: LatchChanged) -> Changes:
    now = state.latch.state
    if loosens(now, fact.state) and not fact.reset:
        raise EventRefusedError(
            f"latch {now} ({state.latch.reason}) cannot loosen to {fact.state} by itself; reset it with a reason"
        )
    return Changes(latch=Latch(fact.state, fact.reason, fact.who, event.ts_ns))


@_projects(ReconcileDone)
def _reconcile_done(state: State, event: Event, _fact: ReconcileDone) -> Changes:
    return Changes(days=tuple(replace(day, reconciled_ns=event.ts_ns) for day in _today(state)))


@_projects(Mismatch)
def _mismatch(state: State, _event: Event, _fact: Mismatch) -> Changes:
    return Changes(days=_today(state, mismatches=1))


# ---- orders ----


@_projects(IntentPrepared)
def _intent_prepared(state: State, event: Event, fact: IntentPrepared) -> Changes:
    if fact.tag in state.orders:
        raise EventRefusedError(f"IntentPrepared: tag {fact.tag!r} is used; every intent needs a new tag")
    order = Order(
        **{each.name: getattr(fact, each.name) for each in fields(fact)},
        state=PREPARED, order_id="", status="", filled=0, booked=0, average_milliticks=0, pending="",
        next_order_type=fact.order_type, next_quantity=0, next_trigger=0, next_limit=0, next_reason="", modifications=0, detail="",
        prepared_ns=event.ts_ns, updated_ns=event.ts_ns,
    )  # fmt: skip
    return Changes(orders=(order,), days=_today(state, orders=1))


@_projects(IntentSent)
def _intent_sent(state: State, event: Event, fact: IntentSent) -> Changes:
    order = _order(state, event, fact.tag)
    return _order_row(event, order, state=SENT if order.state == PREPARED else order.state)


@_projects(OrderAccepted)
def _order_accepted(state: State, event: Event, fact: OrderAccepted) -> Changes:
    order = _same_order(state, event, fact.tag, fact.order_id)
    if order.order_id:
        return NOTHING
    status = "" if order.status == NOT_SENT else order.status
    return _order_row(event, order, state=ACCEPTED, order_id=fact.order_id, status=status)


@_projects(OrderRefused)
def _order_refused(state: State, event: Event, fact: OrderRefused) -> Changes:
    order = _order(state, event, fact.tag)
    if order.order_id:
        raise EventRefusedError(
            f"OrderRefused: the broker holds {fact.tag} as order {order.order_id}; only its status can end it"
        )
    return _order_row(event, order, state=REFUSED, detail=f"{fact.code} {fact.reason}".strip())


@_projects(OrderUnknown)
def _order_unknown(state: State, event: Event, fact: OrderUnknown) -> Changes:
    order = _order(state, event, fact.tag)
    if order.state not in {PREPARED, SENT}:
        return NOTHING
    return _order_row(event, order, state=UNKNOWN, detail=fact.reason)


@_projects(OrderNotSent)
def _order_not_sent(state: State, event: Event, fact: OrderNotSent) -> Changes:
    order = _order(state, event, fact.tag)
    if order.order_id:
        raise EventRefusedError(f"OrderNotSent: the broker holds {fact.tag} as order {order.order_id}")
    return _order_row(event, order, state=TERMINAL, status=NOT_SENT, detail=fact.reason)


@_projects(OrderUpdated)
def _order_updated(state: State, event: Event, fact: OrderUpdated) -> Changes:
    order = _same_order(state, event, fact.tag, fact.order_id)
    late = order.state == TERMINAL and order.status != NOT_SENT
    ended = fact.status in ENDED_STATUSES
    if late or fact.filled < order.filled:
        if fact.filled <= order.filled:
            return NOTHING
        return _order_row(event, order, filled=fact.filled, average_milliticks=fact.average_milliticks)
    changed = order.next_quantity > 0 and (fact.quantity, fact.trigger, fact.limit) == (
        order.next_quantity, order.next_trigger, order.next_limit,
    )  # fmt: skip
    done: dict[str, Any] = {}
    if changed or ended:
        done = {**_NEXT_DONE, "pending": "" if ended or order.pending == "modify" else order.pending}
    return _order_row(
        event,
        order,
        state=TERMINAL if ended else ACCEPTED,
        order_id=fact.order_id,
        status=fact.status,
        filled=fact.filled,
        quantity=fact.quantity,
        trigger=fact.trigger,
        limit=fact.limit,
        order_type=order.next_order_type if changed else order.order_type,
        reason=(changed and order.next_reason) or order.reason,
        average_milliticks=fact.average_milliticks,
        detail=fact.message or order.detail,
        **done,
    )


@_projects(ModifyPrepared)
def _modify_prepared(state: State, event: Event, fact: ModifyPrepared) -> Changes:
    order = _open_order(state, event, fact.tag)
    return _order_row(
        event,
        order,
        pending="modify",
        next_order_type=fact.order_type,
        next_quantity=fact.quantity,
        next_trigger=fact.trigger,
        next_limit=fact.limit,
        next_reason=fact.reason,
        modifications=order.modifications + 1,
    )


@_projects(CancelPrepared)
def _cancel_prepared(state: State, event: Event, fact: CancelPrepared) -> Changes:
    return _order_row(event, _open_order(state, event, fact.tag), pending="cancel", detail=fact.reason)


@_projects(RequestAnswered)
def _request_answered(state: State, event: Event, fact: RequestAnswered) -> Changes:
    order = _order(state, event, fact.tag)
    if fact.outcome == "unknown" or order.pending != fact.request:
        return _order_row(event, order, detail=fact.reason or order.detail)
    new: dict[str, Any] = {"pending": ""}
    if fact.request == "modify":
        new |= _NEXT_DONE
    if fact.request == "modify" and fact.outcome == "confirmed" and order.open:
        new |= {
            "quantity": order.next_quantity,
            "trigger": order.next_trigger,
            "limit": order.next_limit,
            "order_type": order.next_order_type,
            "reason": order.next_reason or order.reason,
        }
    return _order_row(event, order, detail=fact.reason or order.detail, **new)


def _same_order(state: State, event: Event, tag: str, order_id: str) -> Order:
    order = _order(state, event, tag)
    if order.order_id and order.order_id != order_id:
        raise EventRefusedError(
            f"{event.kind}: intent {tag} is order {order.order_id}, not {order_id}; one intent has one broker order: "
            "write a Mismatch and stop entries"
        )
    return order


def _order_row(event: Event, order: Order, **new: Any) -> Changes:
    return Changes(orders=(replace(order, updated_ns=event.ts_ns, **new),))


# ---- positions ----


@_projects(FillBooked)
def _fill_booked(state: State, event: Event, fact: FillBooked) -> Changes:
    order = _same_order(state, event, fact.tag, fact.order_id)
    if is_booked(state, fact):
        raise EventRefusedError(
            f"FillBooked: trade {fact.trade_id} of order {fact.order_id} is booked already"
        )
    if fact.side != order.side:
        raise EventRefusedError(
            f"FillBooked: {fact.tag} is a {order.side}, its trade {fact.trade_id} a {fact.side}"
        )
    booked = order.booked + fact.quantity
    whole = booked >= max(order.quantity, order.next_quantity)  # a larger one may be on its way
    new_order = replace(
        order,
        state=TERMINAL if whole or order.state == TERMINAL else ACCEPTED,
        status="COMPLETE" if whole else order.status.replace(NOT_SENT, ""),
        order_id=fact.order_id,
        booked=booked,
        filled=max(order.filled, booked),
        updated_ns=event.ts_ns,
    )
    before = state.positions.get(order.position)
    after = _filled(before or _empty(state, order, event), order.reason, fact, event)
    realised = after.realised - (before.realised if before else 0)
    fill = Fill(
        fact.order_id, fact.trade_id, fact.tag, order.position, order.symbol, fact.side, fact.quantity, fact.price,
        fact.time_ns, event.seq,
    )  # fmt: skip
    return Changes(
        orders=(new_order,),
        positions=(after,),
        fills=(fill,),
        days=_today(state, fills=1, positions=0 if before else 1, realised=realised),
    )


@_projects(OutsideFill)
def _outside_fill(state: State, event: Event, fact: OutsideFill) -> Changes:
    before = state.positions.get(fact.position)
    if before is None:
        raise EventRefusedError(f"{event.kind}: position {fact.position} has no fill; book its fill first")
    if before.symbol != fact.symbol:
        raise EventRefusedError(
            f"{event.kind}: position {fact.position} is in {before.symbol}, not {fact.symbol}"
        )
    if is_booked(state, fact):
        raise EventRefusedError(
            f"{event.kind}: trade {fact.trade_id} of order {fact.order_id} is booked already"
        )
    after = _filled(before, OUTSIDE, fact, event)
    fill = Fill(
        fact.order_id, fact.trade_id, "", fact.position, fact.symbol, fact.side, fact.quantity, fact.price,
        fact.time_ns, event.seq,
    )  # fmt: skip
    realised = after.realised - before.realised
    return Changes(positions=(after,), fills=(fill,), days=_today(state, fills=1, realised=realised))


@_projects(StopPlanned)
def _stop_planned(state: State, event: Event, fact: StopPlanned) -> Changes:
    position = state.positions.get(fact.position)
    if position is None:
        raise EventRefusedError(f"{event.kind}: position {fact.position} has no fill; book its fill first")
    return Changes(
        positions=(
            replace(position, stop_trigger=fact.trigger, stop_limit=fact.limit, stop_quantity=fact.quantity),
        )
    )


def _empty(state: State, order: Order, event: Event) -> Position:
    day = state.today
    return Position(
        position=order.position, date=day.date if day else "", slot=order.slot, symbol=order.symbol,
        conf_minute=order.conf_minute, swing_index=order.swing_index, planned_stop=order.stop, sold=0, sold_value=0,
        bought=0, bought_value=0, stop_trigger=0, stop_limit=0, stop_quantity=0, opened_ns=event.ts_ns, closed_ns=0,
        exit_reason="",
    )  # fmt: skip


def _filled(position: Position, reason: str, fact: FillBooked | OutsideFill, event: Event) -> Position:
    value = fact.price * fact.quantity
    if fact.side == "SELL":
        after = replace(position, sold=position.sold + fact.quantity, sold_value=position.sold_value + value)
    else:
        after = replace(
            position, bought=position.bought + fact.quantity, bought_value=position.bought_value + value
        )
    flat = after.net == 0
    return replace(after, closed_ns=event.ts_ns if flat else 0, exit_reason=reason if flat else "")


STATE_KINDS = tuple(sorted(kind.__name__ for kind in _RULES))  # kinds that change a row
