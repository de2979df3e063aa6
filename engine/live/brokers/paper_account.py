"""What the paper account holds and what that blocks as margin, from its orders and fills. Pure.

The margin is the approximation of `engine.execution.margins`; held shorts and longs and what open orders would add
count, orders that only close do not. Prices in ticks, money in paise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.execution.margins import OptionLeg
from engine.execution.matching import BUY, SELL
from engine.live.brokers.base import Contract, PositionReport, TradeReport
from engine.live.brokers.paper_orders import PaperOrder
from engine.market.prices import PAISE_PER_TICK, TICK_RUPEES


@dataclass(slots=True)
class Holding:
    """What was bought and sold of one contract under one product; units and ticks times units."""

    contract: Contract
    product: str
    bought: int = 0
    paid: int = 0
    sold: int = 0
    received: int = 0

    @property
    def quantity(self) -> int:
        """Units held, negative for a short."""
        return self.bought - self.sold

    @property
    def average_ticks(self) -> Decimal:
        """Mean price of the side that is held, as Kite tells it; 0 when flat."""
        if not self.quantity:
            return Decimal(0)
        turnover, units = (self.paid, self.bought) if self.quantity > 0 else (self.received, self.sold)
        return Decimal(turnover) / units

    def profit_paise(self, last: int) -> int:
        """Profit of the day at a last price in ticks; 0 = not known, then what is held counts at its average."""
        value = self.quantity * last if last else int(self.quantity * self.average_ticks)
        return (self.received - self.paid + value) * PAISE_PER_TICK

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
        one = held.setdefault((trade.symbol, order.product), Holding(order.contract, order.product))
        if order.side == BUY:
            one.bought += trade.quantity
            one.paid += trade.quantity * trade.price_ticks
        else:
            one.sold += trade.quantity
            one.received += trade.quantity * trade.price_ticks
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
        closing = min(max(-order.side * net.get(symbol, 0), 0), order.pending)
        net[symbol] = net.get(symbol, 0) + order.side * closing
        if order.pending > closing:
            legs.append(leg_of(order.contract, order.side, order.pending - closing, cost(order)))
    return legs


def leg_of(contract: Contract, side: int, quantity: int, price: int) -> OptionLeg:
    """One leg."""
    return OptionLeg(contract.kind, contract.strike, contract.expiry, side, quantity, price)
