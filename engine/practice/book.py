"""What a resting order is worth at one step of its contract: the shared matching, called for an order's state.

Against bars it is what a day of the backtest does with entries and stops; a limit order that crosses the market when
it arrives takes the last price with slippage, as a bought-back position does there. Against quotes only what bid and
ask offer is traded. Nothing is changed here: the exchange books what comes out.
"""

from engine.execution.matching import (
    SELL,
    UNFILLED,
    inside_bar,
    limit_fill,
    quote_fill,
    reached,
    slipped,
    stop_limit_fill,
)
from engine.practice.market import Step
from engine.practice.orders import Order


def bar_price(order: Order, step: Step, slip_ticks: int, slip_basis_points: int) -> tuple[bool, int]:
    """
    Match an order against a step of a bar.

    Returns
    -------
    released : bool
        It is a stop that was dormant until this step.
    price : int, ticks
        UNFILLED when it rests.
    """
    if order.order_type == "SL" and not (order.triggered and order.fresh):
        triggered, price = stop_limit_fill(
            order.side, order.trigger, order.limit, order.triggered, step.previous, step.price, step.jump,
            slip_ticks, slip_basis_points,
        )  # fmt: skip
        released = bool(triggered) and not order.triggered
    else:
        released = False
        price = limit_fill(order.side, order.limit, step.price, order.fresh)
        if price != UNFILLED and order.fresh:
            worse = slipped(price, order.side, slip_ticks, slip_basis_points)
            price = order.side * min(order.side * worse, order.side * order.limit)
    return released, int(inside_bar(price, step.low, step.high))


def quote_price(order: Order, step: Step, quote: tuple[int, int], left: list[int]) -> tuple[bool, int, int]:
    """
    Match an order against the best quote.

    Parameters
    ----------
    quote : (int, int), ticks
        Bid and ask.
    left : [int, int], units
        What is still offered at bid and ask in this moment; lowered by what is filled.

    Returns
    -------
    released : bool
    price : int, ticks
    filled : int, units
    """
    released = order.is_stop
    if released and not reached(order.side, order.trigger, step.price):
        return False, UNFILLED, 0
    bid, ask = quote
    price, filled = quote_fill(order.side, order.limit, order.pending, bid, left[0], ask, left[1])
    left[0 if order.side == SELL else 1] -= filled
    return released, int(price), int(filled)
