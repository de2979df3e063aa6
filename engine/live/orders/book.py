"""What the broker's order book and trade book tell about our orders, as facts for the log. Pure.

Every path that learns of an order or a fill (poll, push, the look after a lost answer, the start after a crash)
goes through here, so each fill is booked once and an order is adopted once. A tag that two orders carry, or an order
that appears after it was given up, is told as a `Mismatch`.
"""

from collections.abc import Sequence
from decimal import Decimal

from engine.live.brokers.base import OrderReport, OrderRequest, OrderStatus, Product, TradeReport
from engine.live.log.events import Fact, FillBooked, IntentPrepared, Mismatch, OrderAccepted, OrderUpdated
from engine.live.log.state import NOT_SENT, Order, State
from engine.market.prices import TICK_RUPEES

_MILLI = 1000


def news(
    state: State, reports: Sequence[OrderReport], trades: Sequence[TradeReport]
) -> list[tuple[Fact, ...]]:
    """
    Facts that are not in the log yet: one group per order or trade, each to be committed whole.

    Parameters
    ----------
    state : State
    reports, trades : of the broker, the reports not younger than the trades
        What is not ours (no tag of ours) is left to reconciliation.
    """
    groups: list[tuple[Fact, ...]] = []
    owner = {order.order_id: order.tag for order in state.orders.values() if order.order_id}
    for report in reports:
        order = state.orders.get(report.tag or "") or state.orders.get(owner.get(report.order_id, ""))
        if order is None:
            continue
        held = owner.setdefault(report.order_id, order.tag)
        known = order.order_id or next(
            (number for number, tag in owner.items() if tag == order.tag), report.order_id
        )
        if known != report.order_id or held != order.tag:
            groups.append((_second_order(order, known, report),))
            owner.pop(report.order_id, None)
            continue
        groups.extend(_told(order, report))
    for trade in trades:
        tag = owner.get(trade.order_id)
        if tag is not None and f"{trade.order_id}/{trade.trade_id}" not in state.fills:
            groups.append((_fill(tag, trade),))
    return groups


def request_of(intent: IntentPrepared, product: Product) -> OrderRequest:
    """The request that a prepared intent becomes."""
    return OrderRequest(
        tag=intent.tag,
        symbol=intent.symbol,
        side=intent.side,
        quantity=intent.quantity,
        kind=intent.order_type,
        trigger_ticks=intent.trigger,
        limit_ticks=intent.limit,
        product=product,
        market_protection=intent.protection_percent,
    )


def _told(order: Order, report: OrderReport) -> list[tuple[Fact, ...]]:
    if not order.open and order.order_id == report.order_id and report.filled <= order.filled:
        return []  # over, and known to be: most of a day's book
    facts: list[Fact] = []
    groups: list[tuple[Fact, ...]] = []
    if not order.order_id:
        facts.append(OrderAccepted(tag=order.tag, order_id=report.order_id, found=True))
        if not order.open:
            detail = f"given up as {order.status or order.state}, yet the broker holds it"
            groups.append((_mismatch(order.tag, order.status or order.state, report.order_id, detail),))
    steady = report.status is not OrderStatus.PENDING
    update = OrderUpdated(
        tag=order.tag,
        order_id=report.order_id,
        status=report.status.value if report.status.is_final else report.status_text or report.status.value,
        filled=report.filled,
        # while a change is on its way the book may show the numbers of before or after it: they prove nothing
        quantity=report.quantity if steady else order.quantity,
        trigger=report.trigger_ticks if steady else order.trigger,
        # a MARKET order is echoed with or without the limit it became; only ours is a fact
        limit=report.limit_ticks if steady and order.order_type != "MARKET" else order.limit,
        average_milliticks=_milliticks(report.average),
        message=report.message,
        time_ns=report.time_ns,
    )
    if _differs(order, update):
        facts.append(update)
    if facts:
        groups.append(tuple(facts))
    return groups


def _differs(order: Order, update: OrderUpdated) -> bool:
    """Whether the log would change; an order that has ended changes by more fills only."""
    if not order.open and order.status != NOT_SENT and order.order_id:
        return update.filled > order.filled
    return (order.order_id, order.status, order.filled, order.quantity, order.trigger, order.limit) != (
        update.order_id, update.status, update.filled, update.quantity, update.trigger, update.limit,
    )  # fmt: skip


def _second_order(order: Order, known: str, report: OrderReport) -> Mismatch:
    detail = f"{report.status.value}, {report.filled} of {report.quantity} filled"
    return _mismatch(order.tag, known, report.order_id, f"a second broker order with our tag: {detail}")


def _mismatch(key: str, ours: str, theirs: str, detail: str) -> Mismatch:
    return Mismatch(subject="order", key=key, ours=ours, theirs=theirs, detail=detail)


def _fill(tag: str, trade: TradeReport) -> FillBooked:
    return FillBooked(
        trade_id=trade.trade_id,
        order_id=trade.order_id,
        tag=tag,
        side=trade.side,
        quantity=trade.quantity,
        price=trade.price_ticks,
        time_ns=trade.time_ns,
    )


def _milliticks(average: Decimal | None) -> int:
    return 0 if average is None else round(average / TICK_RUPEES * _MILLI)
