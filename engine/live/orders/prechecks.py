"""Checks before an order leaves: latch, limits, lot, tick, price band, order value. Pure.

Entries pass only while the latch is ACTIVE and no day limit was reached; exits and stops pass in every state, but
only as far as they reduce: never more than is held, less what other orders may already take off. Source:
reference `reliability`, R3 and R10; swing-break rules 6.
"""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from engine.execution.risk import CE, PE, Limits, may_open
from engine.live.log.events import Leg, OrderType, Side, Slot
from engine.live.log.state import Latch, Order, State
from engine.market.contracts import price_band
from engine.market.prices import PAISE_PER_TICK, paise_to_rupees, to_rupees


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    An order somebody wants, not yet cut, checked or tagged. Fields as in `events.IntentPrepared`.

    Attributes
    ----------
    quantity : int
        Units.
    trigger, limit, stop : int
        Ticks; 0 where there is none.
    """

    position: int
    slot: Slot
    leg: Leg
    reason: str
    symbol: str
    side: Side
    quantity: int
    order_type: OrderType
    trigger: int = 0
    limit: int = 0
    protection_percent: int = 0
    conf_minute: int = 0
    swing_index: int = 0
    stop: int = 0


@dataclass(frozen=True, slots=True)
class Rails:
    """
    What orders of one session must keep to.

    Attributes
    ----------
    date : date
        Trading day; with the reference price it gives the price band.
    lot, freeze : int
        Units, of the session's expiry on that day.
    limits : Limits
    max_order_paise : int
        Largest value (price times units) of one order that opens risk.
    tick : int
        Price step of the contracts in ticks of Rs 0.05.
    until_ns : int
        From this moment (ns UTC) nothing is sent: what the log still shows of the day, the broker has squared off.
        0 = a played day, which has no such moment.
    """

    date: dt.date
    lot: int
    freeze: int
    limits: Limits
    max_order_paise: int
    tick: int = 1
    until_ns: int = 0


def exposure(state: State, position: int) -> int:
    """
    Units held of a position, negative = short: booked trades, and fills whose trades are still on their way.

    A stop that the order book shows as filled is gone, even if the trade book has not told its price yet.
    """
    row = state.positions.get(position)
    held = row.net if row else 0
    for order in state.orders.values():
        if order.position == position and order.filled > order.booked:
            held += (order.filled - order.booked) * (1 if order.side == "BUY" else -1)
    return held


def reducing(state: State, position: int) -> tuple[Order, ...]:
    """Open stops and exits of a position, first prepared first."""
    return tuple(o for o in state.open_orders if o.position == position and o.leg != "entry")


def may_be_naked(state: State) -> bool:
    """Whether units may be short that no order takes off: by the log, or by an entry that may have filled unseen."""
    if any(order.leg == "entry" for order in state.open_orders):
        return True
    return any(
        sum(order.reserved for order in reducing(state, number)) < abs(exposure(state, number))
        for number in state.positions
    )


def refusal(
    wish: Wish,
    state: State,
    latch: Latch,
    rails: Rails,
    reference: int | None,
    apart_from: Collection[str] = (),
) -> str:
    """
    Why an order (one slice) may not leave; "" if it may.

    Parameters
    ----------
    wish : Wish
    state : State
        Open intents in it count as filled.
    latch : Latch
        As read from disk.
    rails : Rails
    reference : int or None
        The exchange's reference price in ticks, for the band of a LIMIT order; None where it is not known.
    apart_from : tags
        Orders that do not count against this one: other slices of the same entry, a stop that this one replaces.
    """
    return _shape(wish, rails) or (
        _entry(wish, state, latch, rails, reference, apart_from)
        if wish.leg == "entry"
        else _reduction(wish, state, apart_from)
    ) or _band(wish, rails, reference)  # fmt: skip


def _shape(wish: Wish, rails: Rails) -> str:
    """Whether the order is one that the exchange could take."""
    if wish.quantity < 1 or wish.quantity % rails.lot:
        return f"quantity {wish.quantity} is not whole lots of {rails.lot}"
    if wish.quantity > rails.freeze:
        return f"quantity {wish.quantity} exceeds the freeze quantity of {rails.freeze}"
    for name, price, needed in (
        ("trigger", wish.trigger, wish.order_type == "SL"),
        ("limit", wish.limit, wish.order_type != "MARKET"),
    ):
        if (price > 0) != needed or price < 0:
            return f"{name} of {price} ticks on a {wish.order_type} order"
        if price % rails.tick:
            return f"{name} of {price} ticks is off the price step of {rails.tick} ticks"
    if (wish.protection_percent > 0) != (wish.order_type == "MARKET") or wish.protection_percent > 100:
        return f"market protection of {wish.protection_percent} % on a {wish.order_type} order"
    if wish.order_type == "SL" and _beyond(wish.side, wish.trigger, wish.limit):
        return f"limit {to_rupees(wish.limit)} of a {wish.side} stop lies before its trigger {to_rupees(wish.trigger)}"
    return ""


def _entry(
    wish: Wish,
    state: State,
    latch: Latch,
    rails: Rails,
    reference: int | None,
    apart_from: Collection[str],
) -> str:
    """Whether new risk may be taken."""
    if latch.state != "ACTIVE":
        return f"latch is {latch.state} ({latch.reason})"
    today = state.today
    if today is None:
        return "no session has started"
    if today.latched:
        return f"day latch: {today.latched}"
    for waiting in state.open_orders:
        if waiting.leg != "entry" or waiting.symbol != wish.symbol or waiting.tag in apart_from:
            continue
        return f"entry {waiting.tag} in {wish.symbol} is open ({waiting.state}); its end must be proven first"
    price = wish.limit or reference
    if not price or (wish.order_type == "LIMIT" and not reference):
        return f"no reference price of {wish.symbol}"
    value = price * PAISE_PER_TICK * wish.quantity
    if value > rails.max_order_paise:
        return f"order value Rs {paise_to_rupees(value)} exceeds Rs {paise_to_rupees(rails.max_order_paise)}"
    ce, pe = _others(state, wish.position)
    if not may_open(CE if wish.slot == "CE" else PE, ce, pe, rails.limits):
        return f"position limit: {ce} CE and {pe} PE are open or reserved"
    return ""


def _others(state: State, position: int) -> tuple[int, int]:
    """Other positions, CE and PE, that are open or that an entry whose end is not proven may open."""
    slots = {row.position: row.slot for row in state.open_positions}
    slots |= {order.position: order.slot for order in state.open_orders if order.leg == "entry"}
    slots.pop(position, None)
    kinds = list(slots.values())
    return kinds.count("CE"), kinds.count("PE")


def _reduction(wish: Wish, state: State, apart_from: Collection[str]) -> str:
    """Whether it takes off no more than is held and not yet being taken off."""
    held = exposure(state, wish.position)
    if held == 0 or (held < 0) != (wish.side == "BUY"):
        return f"{wish.leg} {wish.side} {wish.quantity} does not reduce {held} units held"
    taken = sum(o.reserved for o in reducing(state, wish.position) if o.tag not in apart_from)
    if wish.quantity > abs(held) - taken:
        return f"{wish.leg} of {wish.quantity} exceeds the {abs(held) - taken} units left of {held} held"
    return ""


def _band(wish: Wish, rails: Rails, reference: int | None) -> str:
    """
    Whether the limit lies in the price band; that of a stop is judged when it is released, at its trigger.

    Exits are cut to the band by the ladder that prices them, at a quote: our own reference may be old by then.
    """
    if wish.leg != "entry" and wish.order_type == "LIMIT":
        return ""
    around = wish.trigger if wish.order_type == "SL" else reference
    if wish.order_type == "MARKET" or not around:
        return ""
    low, high = price_band(around, rails.date)
    if wish.side == "BUY" and wish.limit > high:
        return f"limit {to_rupees(wish.limit)} lies above the price band's {to_rupees(high)}"
    if wish.side == "SELL" and wish.limit < low:
        return f"limit {to_rupees(wish.limit)} lies below the price band's {to_rupees(low)}"
    return ""


def _beyond(side: Side, trigger: int, limit: int) -> bool:
    return limit < trigger if side == "BUY" else limit > trigger
