"""What a resting order is worth at one step of its contract: the shared matching, called for an order's state.

Against moves of price it is what a day of the backtest does with entries and stops; a limit order that crosses the
market when it arrives takes the last price with slippage, as a bought-back position does there. Against quotes only
what bid and ask offer is traded. Nothing is changed here: the practice exchange and the paper broker book what comes
out.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

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


class Step(NamedTuple):
    """How one contract got to its present price, for the matching functions; prices in ticks."""

    previous: int
    price: int
    jump: bool
    low: int  # of the bar in progress, as it will have been at its end
    high: int


class Resting(Protocol):
    """
    An order that stands in a book.

    Attributes
    ----------
    side : BUY or SELL
    order_type : "SL", "LIMIT" or "MARKET"
    limit, trigger : int, ticks
    triggered : bool
        A stop that has become a limit order.
    fresh : bool
        It has not yet met a price since it arrived or was changed: it takes a better price than its limit.
    is_stop : bool
        Dormant until its trigger is traded.
    pending : int, units
    """

    side: int
    order_type: str
    limit: int
    trigger: int
    triggered: bool
    fresh: bool

    @property
    def is_stop(self) -> bool:
        """Whether it is dormant."""

    @property
    def pending(self) -> int:
        """Units still to be filled."""


def bar_price(order: Resting, step: Step, slip_ticks: int, slip_basis_points: int) -> tuple[bool, int]:
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


def quote_price(order: Resting, price: int, quote: tuple[int, int], left: list[int]) -> tuple[bool, int, int]:
    """
    Match an order against the best quote.

    Parameters
    ----------
    price : int, ticks
        Last trade, which releases stops.
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
    if released and not reached(order.side, order.trigger, price):
        return False, UNFILLED, 0
    bid, ask = quote
    fill, filled = quote_fill(order.side, order.limit, order.pending, bid, left[0], ask, left[1])
    left[0 if order.side == SELL else 1] -= filled
    return released, int(fill), int(filled)


@dataclass
class _Scratch:
    """An order that stands nowhere."""

    order_type: str
    side: int = SELL
    limit: int = 1
    trigger: int = 1
    triggered: bool = False
    fresh: bool = True
    is_stop: bool = True
    pending: int = 1


def warm() -> None:
    """Compile what prices call; without it the first order of a process waits for seconds."""
    step = Step(previous=1, price=1, jump=False, low=1, high=1)
    for order_type in ("SL", "LIMIT"):
        bar_price(_Scratch(order_type), step, 1, 1)
        quote_price(_Scratch(order_type), 1, (1, 1), [1, 1])
