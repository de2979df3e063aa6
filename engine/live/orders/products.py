"""In which product what we are short stands at the broker: a person may convert it in the broker's app.

A buy of the other product would not close a converted short; it would open a long position beside it, which the
broker squares off while the short stays. So stops and exits go out in the product in which the broker shows the
short. It is judged from one reading of orders, trades and positions; converting back is noticed in the same way.
A new process believes its predecessor's closing orders in the book until it has such a reading.
"""

from collections.abc import Iterable, Mapping

from engine.live.brokers.base import OrderReport, Product
from engine.live.log.events import IntentPrepared
from engine.live.log.state import Order

_OTHER: Mapping[Product, Product] = {"MIS": "NRML", "NRML": "MIS"}


class Products:
    """
    The product of each symbol that is held, and of each order.

    Parameters
    ----------
    own : Product
        In which entries are sold.

    Attributes
    ----------
    converted : set of str
        Symbols whose whole short stands in the other product, or did when it was last seen in one.
    split : set of str
        Those of them that the last reading shows in both: what stands in the one does not close the other.
    """

    def __init__(self, own: Product) -> None:
        self.own = own
        self.other = _OTHER[own]
        self.converted: set[str] = set()
        self.split: set[str] = set()
        self._carried: dict[str, int] = {}  # units of the other product that are not ours, by symbol
        self._sent_as: dict[str, Product] = {}  # by tag, what no book may show yet

    def of(self, symbol: str) -> Product:
        """In which product stops and exits of a symbol go out."""
        return self.other if symbol in self.converted else self.own

    def of_next(
        self, asked: IntentPrepared | Order, orders: Iterable[Order], reports: tuple[OrderReport, ...]
    ) -> Product:
        """In which product an order belongs: an entry in ours, what closes in the short's, a sale in the surplus's."""
        if asked.leg == "entry":
            return self.own
        if asked.side == "SELL":  # beside a converted short, a purchase in our product has opened a long
            bought = [o for o in orders if o.position == asked.position and o.side == "BUY" and o.filled]
            if any(self.of_order(order, reports) == self.own for order in bought):
                return self.own
        return self.of(asked.symbol)

    def sent(self, tag: str, product: Product) -> None:
        """An order leaves in this product."""
        self._sent_as[tag] = product

    def inherit(self, standing: Iterable[Order], reports: tuple[OrderReport, ...]) -> None:
        """What an earlier process has found: the products of the closing orders that it left standing."""
        for order in standing:
            if order.leg != "entry" and self.of_order(order, reports) == self.other:
                self.converted.add(order.symbol)

    def of_order(self, order: Order, reports: tuple[OrderReport, ...]) -> Product:
        """In which product an order stands: by the book, else as it was sent."""
        told = next((one.product for one in reports if order.order_id and one.order_id == order.order_id), "")
        known = self._sent_as.get(order.tag, self.own)
        return self.other if (told or known) == self.other else self.own

    def carried(self, symbol: str) -> int:
        """Units of a symbol that somebody else holds in the other product, negative = short."""
        return self._carried.get(symbol, 0)

    def judge(self, symbol: str, ours: int, missing: int, other: int) -> None:
        """
        Take in one reading of a symbol; quantities in units, negative = short.

        Parameters
        ----------
        symbol : str
        ours : int
            What the log says that we hold.
        missing : int
            What our product's position shows beyond what we and others hold in it: 65 if a short of 65 is not there.
        other : int
            The other product's position, less what others traded in it today.
        """
        if not missing:
            self._carried[symbol] = other
            self.converted.discard(symbol)
            self.split.discard(symbol)
            return
        moved = other - self._carried.setdefault(symbol, other + missing if symbol in self.converted else 0)
        if ours < 0 and missing == -ours == -moved:
            self.converted.add(symbol)
            self.split.discard(symbol)
        elif symbol in self.converted:
            self.split.add(symbol)
