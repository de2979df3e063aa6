"""What was bought and sold of one contract, as a broker nets it: quantity, mean price, profit of the day.

The paper account and the practice exchange's account book their fills by it. The backtest's and the session's own
positions are shorts with a stop each, see `ledger`.
"""

from dataclasses import dataclass
from decimal import Decimal

from engine.execution.matching import BUY, SELL
from engine.market.prices import PAISE_PER_TICK


@dataclass(slots=True, kw_only=True)
class NetPosition:
    """
    Sums over the fills of a day.

    Attributes
    ----------
    bought, sold : int, units
    paid, received : int, ticks times units
    """

    bought: int = 0
    paid: int = 0
    sold: int = 0
    received: int = 0

    def book(self, side: int, quantity: int, price: int) -> None:
        """Take in a fill of `quantity` units at `price` ticks; `side` is BUY or SELL."""
        if side == BUY:
            self.bought += quantity
            self.paid += quantity * price
        else:
            self.sold += quantity
            self.received += quantity * price

    @property
    def quantity(self) -> int:
        """Units held, negative for a short."""
        return self.bought - self.sold

    def mean_ticks(self, side: int) -> Decimal:
        """Mean price of what was bought or sold; 0 when nothing was."""
        turnover, units = (self.paid, self.bought) if side == BUY else (self.received, self.sold)
        return Decimal(turnover) / units if units else Decimal(0)

    @property
    def average_ticks(self) -> Decimal:
        """Mean price of the side that is held, as Kite tells it; 0 when flat."""
        if not self.quantity:
            return Decimal(0)
        return self.mean_ticks(BUY if self.quantity > 0 else SELL)

    def profit_paise(self, last: int) -> int:
        """Profit of the day at a last price in ticks; 0 = not known, then what is held counts at its average."""
        value = self.quantity * last if last else int(self.quantity * self.average_ticks)
        return (self.received - self.paid + value) * PAISE_PER_TICK


def opening_units(held: int, side: int, quantity: int) -> int:
    """Units of an order that open or add to a position of `held` units; the others close it."""
    return quantity - min(max(-side * held, 0), quantity)
