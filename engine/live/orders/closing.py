"""How a position is closed, how a stop is replaced without a gap, and how a surplus is taken back.

An exit is a limit order inside the price band that reaches one step further each time it has not filled. A standing
stop is turned into that order, not joined by it: one order cannot fill twice. Only what no order covers is placed
anew, and only after the book was read. MARKET leaves with market protection alone, where no price is known; SL-M
never. Faults 8 to 14 and 20 of the reference `reliability`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.live.brokers.base import BrokerAuth, BrokerError, Quote
from engine.live.clocks import seconds
from engine.live.log.events import Side
from engine.live.log.state import Order
from engine.live.orders.lanes import Lane
from engine.live.orders.prechecks import Wish, exposure, reducing
from engine.live.orders.wire import Sent
from engine.market.contracts import price_band

if TYPE_CHECKING:
    import datetime as dt

    from engine.live.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Closed:
    """
    How the closing of a position ended.

    Attributes
    ----------
    position : int
    flat : bool
        Nothing held and no order open, by the broker's books.
    held : int
        Units left, negative = short.
    reason : str
        Why not flat; "" when flat.
    auth : bool
        Ended because the login is gone.
    """

    position: int
    flat: bool
    held: int
    reason: str = ""
    auth: bool = False


def ladder_price(
    side: Side, quote: Quote | None, reference: int | None, percent: int, date: "dt.date"
) -> int:
    """
    Limit of one step of an exit, in ticks: beyond the opposite quote by `percent`, inside the price band.

    Returns
    -------
    int
        0 where no price is known at all.
    """
    best = 0 if quote is None else (quote.ask if side == "BUY" else quote.bid) or quote.last
    base = best or reference or 0
    if not base:
        return 0
    low, high = price_band(reference or (quote.last if quote else 0) or base, date)
    if quote is not None and quote.last and not low <= quote.last <= high:
        low, high = price_band(
            quote.last, date
        )  # our reference is older than the quote: ticks have stayed away
    if quote is not None:
        low, high = max(low, quote.low_limit), min(high, quote.high_limit or high)
    reach = max(-(-base * percent // 100), 1)
    return min(base + reach, high) if side == "BUY" else max(base - reach, low)


async def close(gateway: "Gateway", position: int, reason: str, within_s: float) -> Closed:
    """
    Close a position: cancel its entries, turn its stops into marketable limits, widen until the books show flat.

    Returns
    -------
    Closed
        Not flat when the time was over or the login was lost; call again.
    """
    try:
        return await _until_flat(gateway, position, reason, within_s)
    except BrokerAuth as error:
        return Closed(position, False, exposure(gateway.store.state, position), error.message, auth=True)


async def _until_flat(gateway: "Gateway", position: int, reason: str, within_s: float) -> Closed:
    clock, rules, store = gateway.clock, gateway.rules, gateway.store
    deadline = clock.monotonic_ns() + seconds(within_s)
    step, next_step = -1, 0
    while True:
        try:
            await gateway.wire.look()
        except BrokerAuth:
            raise
        except BrokerError:
            learnt = False  # unknown is not flat, nor is it a reason to send more
        else:
            learnt = True
            gateway.take_in()
        mine = [order for order in store.state.open_orders if order.position == position]
        held = exposure(store.state, position)
        if learnt and not held and not mine:
            return Closed(position, True, 0)
        for order in mine:
            if order.order_id and (
                order.leg == "entry" or not _helps(order, held) or gateway.wire.misfits(order)
            ):
                await _ask_cancel(gateway, order, reason)
        due = clock.monotonic_ns() >= next_step
        if learnt and exposure(store.state, position) and (due or _uncovered(gateway, position)):
            if due:
                step = min(step + 1, len(rules.exit_widen_percent) - 1)
                next_step = clock.monotonic_ns() + seconds(rules.exit_step_s)
            await _press(gateway, position, reason, rules.exit_widen_percent[step])
        if clock.monotonic_ns() >= deadline:
            held = exposure(store.state, position)
            return Closed(position, False, held, f"not proved flat after {within_s:g} s")
        await clock.sleep_ns(seconds(min(rules.poll_s, rules.exit_step_s)))


def _uncovered(gateway: "Gateway", position: int) -> bool:
    """Whether some of what is held is reduced by no order that may stand."""
    state = gateway.store.state
    held = exposure(state, position)
    standing = [order for order in reducing(state, position) if _helps(order, held)]
    return sum(o.reserved for o in standing if not _is_doubtful_stop(gateway, o)) < abs(held)


async def _press(gateway: "Gateway", position: int, reason: str, percent: int) -> None:
    """One step: every order that reduces is priced at this step, what none of them covers is placed."""
    state = gateway.store.state
    orders = reducing(state, position)
    sample = orders[0] if orders else next(o for o in state.orders.values() if o.position == position)
    side: Side = "BUY" if exposure(state, position) < 0 else "SELL"
    price = ladder_price(
        side,
        await _quote(gateway, sample.symbol),
        gateway.reference(sample.symbol),
        percent,
        gateway.rails.date,
    )
    held = abs(exposure(gateway.store.state, position))  # the quote took time
    shares = _shares(gateway, position, side, held)
    ignored = {order.tag for order in orders if _is_doubtful_stop(gateway, order)}
    for tag, share in reversed(
        shares.items()
    ):  # what is too much goes first, so that the rest may be changed
        order = gateway.order(tag)
        if not order.order_id or not order.open or order.pending == "cancel" or gateway.wire.misfits(order):
            continue
        units = min(share, order.reserved)  # it may have filled while another was dealt with
        if not share:
            await _ask_cancel(gateway, order, reason)
        elif price and units and _room(gateway, order, ignored) >= units:
            await _reprice(gateway, order, order.filled + units, price, reason, ignored)
    needed = held - sum(shares.values())
    if needed:
        await gateway.place(_exit_wish(gateway, sample, side, needed, price, reason), ignored)


def _shares(gateway: "Gateway", position: int, side: Side, held: int) -> dict[str, int]:
    """
    How many of the units held each order that reduces shall take off; 0 = it is too much and goes.

    First those that are known to stand, the newest before the older, then those in doubt; by tag, in that order.
    """
    orders = [
        order
        for order in reversed(reducing(gateway.store.state, position))
        if order.side == side and not _is_doubtful_stop(gateway, order)
    ]
    shares = {}
    for order in sorted(orders, key=lambda one: (not one.order_id, one.pending == "cancel")):
        shares[order.tag] = min(order.reserved, held)
        held -= shares[order.tag]
    return shares


def _room(gateway: "Gateway", order: Order, ignored: Collection[str]) -> int:
    """Units held that no other order may take off; one that is being cancelled still may."""
    state = gateway.store.state
    others = (o for o in reducing(state, order.position) if o.tag != order.tag and o.tag not in ignored)
    return abs(exposure(state, order.position)) - sum(other.reserved for other in others)


async def _reprice(
    gateway: "Gateway", order: Order, quantity: int, price: int, reason: str, ignored: Collection[str]
) -> None:
    if (order.order_type, order.limit, order.quantity) == ("LIMIT", price, quantity) and not order.pending:
        return
    sent = await gateway.modify(
        order.tag, quantity=quantity, trigger=0, limit=price, order_type="LIMIT", lane=Lane.EXIT,
        or_replace=False, reason=reason, apart_from=ignored,
    )  # fmt: skip
    if sent.outcome == "refused" and gateway.order(order.tag).open:
        # both would be marketable: cancelled first, and what is left is placed by the next step
        await _ask_cancel(gateway, order, reason)


def _exit_wish(gateway: "Gateway", sample: Order, side: Side, quantity: int, price: int, reason: str) -> Wish:
    return Wish(
        position=sample.position, slot=sample.slot, leg="exit", reason=reason, symbol=sample.symbol, side=side,
        quantity=quantity, order_type="LIMIT" if price else "MARKET", limit=price,
        protection_percent=0 if price else gateway.rules.exit_protection_percent,
        conf_minute=sample.conf_minute, swing_index=sample.swing_index,
    )  # fmt: skip


async def _quote(gateway: "Gateway", symbol: str) -> Quote | None:
    try:
        return (await gateway.wire.broker.quotes([symbol]))[0]
    except BrokerError:
        return None  # the reference price, else protection, bounds the exit


def _helps(order: Order, held: int) -> bool:
    """Whether an order takes off what is held."""
    return held != 0 and (order.side == "BUY") == (held < 0)


def _is_doubtful_stop(gateway: "Gateway", order: Order) -> bool:
    """A stop nobody has seen for a while must not keep the position naked; it is cancelled if it appears."""
    waited = gateway.wire.doubtful_for(order.tag)
    return order.leg == "stop" and not order.order_id and waited >= seconds(gateway.rules.doubtful_stop_s)


async def _ask_cancel(gateway: "Gateway", order: Order, reason: str) -> None:
    """Ask and go on: an entry whose cancel is not answered must not hold up an exit; the next look proves."""
    await gateway.cancel(order.tag, reason, lane=Lane.EXIT, prove=False)


async def replace_order(gateway: "Gateway", order: Order, wish: Wish) -> Sent:
    """
    Put a new order in the place of one that cannot be modified.

    A stop keeps standing until its successor stands; if both fill, the surplus is closed at once. An entry is
    cancelled first, and only what it provably did not fill is placed: the total never exceeds the wish.

    Parameters
    ----------
    order : Order
        The old one.
    wish : Wish
        The new one, for the quantity the old one has left.
    """
    if order.leg != "entry":
        sent = await gateway.place(wish, {order.tag})
        if all(one.outcome == "confirmed" for one in sent):
            await gateway.cancel(order.tag, "replaced")
        await gateway.trim(order.position)
        return _summary(sent)
    ended = await gateway.cancel(order.tag, "replaced")
    after = gateway.order(order.tag)
    if after.open:
        return ended
    left = wish.quantity - (after.filled - order.filled)
    if left <= 0:
        return Sent(after.tag, wish.quantity, "confirmed", "filled before it could be replaced")
    return _summary(await gateway.place(replace(wish, quantity=left)))


def _summary(sent: Sequence[Sent]) -> Sent:
    """The first slice that was not confirmed, else the last."""
    return next((one for one in sent if one.outcome != "confirmed"), sent[-1])


async def trim(gateway: "Gateway", position: int) -> None:
    """
    Cancel or shrink what would reduce more than is held, and close what was reduced too far.

    The oldest orders go first: the newest is the latest will. An order in doubt is left until it is found.
    """
    await gateway.watch(lambda: True, 0)
    state = gateway.store.state
    held = exposure(state, position)
    orders = [o for o in reducing(state, position) if o.order_id and o.pending != "cancel"]
    surplus = sum(order.reserved for order in orders) - abs(held)
    for order in orders:
        if not _helps(order, held) or surplus >= order.reserved:
            surplus -= order.reserved
            await gateway.cancel(order.tag, "nothing left to protect")
        elif surplus > 0:
            await _shrink(gateway, order, surplus)
            surplus = 0
    state = gateway.store.state
    entries = (o.side for o in state.orders.values() if o.position == position and o.leg == "entry")
    held = exposure(state, position)
    if held and next(entries, None) == ("SELL" if held > 0 else "BUY"):
        await close(gateway, position, "surplus", gateway.rules.prove_s)


async def refit(gateway: "Gateway", position: int) -> tuple[Sent, ...]:
    """Put an order of the right product in the place of each that stands in another one than the position."""
    orders = [o for o in reducing(gateway.store.state, position) if o.order_id and o.pending != "cancel"]
    return tuple(
        [
            await replace_order(gateway, order, _same_wish(order, order.quantity - order.filled))
            for order in orders
            if gateway.wire.misfits(order)
        ]
    )


async def _shrink(gateway: "Gateway", order: Order, surplus: int) -> None:
    """Take units off an order; where it cannot be changed any more, a smaller one stands before it goes."""
    sent = await gateway.modify(
        order.tag, quantity=order.quantity - surplus, trigger=order.trigger, limit=order.limit,
        order_type=order.order_type, or_replace=False,
    )  # fmt: skip
    order = gateway.order(order.tag)
    quantity = order.quantity - order.filled - surplus
    if sent.outcome != "refused" or not order.open or quantity < 1:
        return
    if all(
        one.outcome == "confirmed" for one in await gateway.place(_same_wish(order, quantity), {order.tag})
    ):
        await gateway.cancel(order.tag, "replaced")


def _same_wish(order: Order, quantity: int) -> Wish:
    """An order like another, for so many units."""
    return Wish(
        position=order.position, slot=order.slot, leg=order.leg, reason=order.reason, symbol=order.symbol,
        side=order.side, quantity=quantity,
        order_type="SL" if order.trigger else order.order_type, trigger=order.trigger, limit=order.limit,
        protection_percent=order.protection_percent, conf_minute=order.conf_minute, swing_index=order.swing_index,
    )  # fmt: skip
