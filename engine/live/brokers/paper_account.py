"""What the paper account holds and what that blocks as margin, from its orders and fills. Pure.

The margin is the approximation of `engine.execution.margins`; held shorts and longs and what open orders would add
count, orders that only close do not. Prices in ticks, money in paise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.execution.margins import OptionLeg
from engine.execution.matching import BUY, SELL
from engine.execution.net_position import NetPosition, opening_units
from engine.live.brokers.base import Contract, PositionReport, TradeReport
from engine.live.brokers.paper_orders import PaperOrder
from engine.market.prices import TICK_RUPEES


@dataclass(slots=True, kw_only=True)
class Holding(NetPosition):
    """What was bought and sold of one contract under one product."""

    contract: Contract
    product: str

    def report(self) -> PositionReport:
        """The position as a broker shows it."""
        return PositionReport(
            self.contract.symbol, self.product, self.quantity, self.average_ticks * TICK_RUPEES
        )


def holdings_of(orders: Mapping[str, PaperOrder], trades: Iterable[TradeReport]) -> list[Holding]:
    """Net positions, those closed today included, oldest first."""
    held: dict[tuple[str, str], Holding] = {}
    for trade in trades:
        order = orders[trade.order_id]
        key = (trade.symbol, order.product)
        one = held.setdefault(key, Holding(contract=order.contract, product=order.product))
        one.book(order.side, trade.quantity, trade.price_ticks)
    return list(held.values())


def legs_of(
    held: Sequence[Holding], orders: Iterable[PaperOrder], cost: Callable[[PaperOrder], int]
) -> list[OptionLeg]:
    """
    What is held and what is on order, as legs of a portfolio.

    Parameters
    ----------
    held : sequence of Holding
    orders : iterable of PaperOrder
        Those that may still fill.
    cost : function
        What a unit of an order would cost, in ticks.
    """
    net: dict[str, int] = {}
    legs = []
    for one in held:
        symbol = one.contract.symbol
        net[symbol] = net.get(symbol, 0) + one.quantity
        if one.quantity:
            price = int(one.average_ticks) if one.quantity > 0 else 0
            side = BUY if one.quantity > 0 else SELL
            legs.append(leg_of(one.contract, side, abs(one.quantity), price))
    for order in orders:
        symbol = order.contract.symbol
        opening = opening_units(net.get(symbol, 0), order.side, order.pending)
        net[symbol] = net.get(symbol, 0) + order.side * (order.pending - opening)
        if opening:
            legs.append(leg_of(order.contract, order.side, opening, cost(order)))
    return legs


def leg_of(contract: Contract, side: int, quantity: int, price: int) -> OptionLeg:
    """One leg."""
    return OptionLeg(contract.kind, contract.strike, contract.expiry, side, quantity, price)
