"""What the log tells the session: committed facts about orders and fills become the session's inputs. Pure.

The session names an order by (position, leg) and knows no slices; here the slices of a leg are summed. Every way in
which something is learnt about an order ends in the log, so this one translation serves pushes, polls, answers and
the start after a crash alike.
"""

from collections.abc import Sequence
from typing import Literal

from engine.live.decisions.session_inputs import Input, LatchKnown, OrderUpdate, Trade
from engine.live.log.events import (
    Event,
    FillBooked,
    LatchChanged,
    Leg,
    OrderAccepted,
    OrderNotSent,
    OrderUpdated,
    OutsideFill,
    RequestAnswered,
)
from engine.live.log.state import REJECTED, Order, State, fill_key

TRIGGERED = "OPEN"
"""How the broker spells a stop-limit that has become a limit order."""


def inputs_of(event: Event, log: State, now_ns: int) -> tuple[Input, ...]:
    """
    What one committed event means to the session.

    Parameters
    ----------
    event : Event
    log : State
        The rows after it.
    now_ns : int
        The session's time, for what carries none of the exchange; never the log's, as the wall clock may jump.
    """
    match event.fact:
        case OrderAccepted() | OrderUpdated() | OrderNotSent() as fact:
            return _stands(log, fact.tag, getattr(fact, "time_ns", 0) or now_ns)
        case RequestAnswered(request="modify", outcome="confirmed") as fact:
            return _stands(log, fact.tag, now_ns)
        case FillBooked() as fact:
            order = log.orders[fact.tag]
            key = fill_key(fact.order_id, fact.trade_id)
            at_ns = fact.time_ns or now_ns
            back = takes_back(order)
            return (Trade(key, order.position, order.leg, fact.quantity, fact.price, at_ns, back),)
        case OutsideFill() as fact:
            key = fill_key(fact.order_id, fact.trade_id)
            return (Trade(key, fact.position, "exit", fact.quantity, fact.price, fact.time_ns or now_ns),)
        case LatchChanged() as fact:
            return (LatchKnown(fact.state),)
        case _:
            return ()


def takes_back(order: Order) -> bool:
    """Whether it sells what was bought too many: no part of its leg, and nobody's to withdraw but `closing`'s."""
    return order.leg == "exit" and order.side == "SELL"


def _stands(log: State, tag: str, at_ns: int) -> tuple[OrderUpdate, ...]:
    order = log.orders[tag]
    return () if takes_back(order) else (leg_update(log, order, at_ns),)


def leg_update(log: State, order: Order, at_ns: int) -> OrderUpdate:
    """What stands of the leg that an order is a slice of."""
    return summed(leg_orders(log, order.position, order.leg), order.position, order.leg, at_ns)


def leg_orders(log: State, position: int, leg: Leg) -> list[Order]:
    """Every order of a leg, first prepared first; what an exit sells back is not among them."""
    return [o for o in log.orders.values() if o.position == position and o.leg == leg and not takes_back(o)]


def summed(mine: Sequence[Order], position: int, leg: Leg, at_ns: int) -> OrderUpdate:
    """
    The slices of a leg, at least one, as one order.

    Prices are those of the slice placed last: it is changed last, so a change has arrived once it shows it. What
    has ended without a fill counts for nothing, nor does a slice of which nobody knows whether the broker holds it.
    """
    standing = [order for order in mine if order.open]
    filled = sum(order.filled for order in mine)
    quantity = sum(order.quantity if order.open and order.order_id else order.filled for order in mine)
    status: Literal["stands", "triggered", "ended"]
    if not standing:
        status = "ended"
    elif any(order.status == TRIGGERED and order.order_type == "SL" for order in standing):
        status = "triggered"
    else:
        status = "stands"
    last = (standing or mine)[-1]
    why = last.detail if status == "ended" and last.status == REJECTED else ""
    return OrderUpdate(position, leg, status, quantity, last.trigger, last.limit, filled, at_ns, why)
