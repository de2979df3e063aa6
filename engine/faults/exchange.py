"""The exchange and the broker's books: what really happened, whatever anybody was told. Matching is `execution`'s."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

from engine.execution.matching import BUY, SELL, UNFILLED, limit_fill, stop_limit_fill
from engine.faults.market import Market
from engine.faults.virtual import NS
from engine.live.brokers.base import (
    BrokerRefused,
    OrderReport,
    OrderRequest,
    OrderStatus,
    PositionReport,
    TradeReport,
)
from engine.live.log.events import Side
from engine.market.prices import TICK_RUPEES

LEAP = 40  # ticks; a larger move between two moments is a gap
_WORDS = {
    OrderStatus.PENDING: "PUT ORDER REQ RECEIVED",
    OrderStatus.TRIGGER_PENDING: "TRIGGER PENDING",
}


@dataclass(frozen=True, slots=True)
class Dealt:
    """One trade: seconds since the start, units, ticks; `told_s` is when the trade book shows it."""

    at_s: float
    told_s: float
    quantity: int
    price: int


@dataclass(slots=True, eq=False)
class Held:
    """
    An order at the broker.

    Attributes
    ----------
    tag : str or None
        None = somebody else's.
    visible_s : float
        From when the order book shows it.
    """

    order_id: str
    tag: str | None
    request: OrderRequest
    status: OrderStatus
    visible_s: float
    at_s: float
    filled: int = 0
    fresh: bool = True
    message: str = ""
    modified: int = 0
    deals: list[Dealt] = field(default_factory=list)
    shown: OrderReport | None = None  # as long as nothing has changed
    shown_request: OrderRequest | None = None

    @property
    def left(self) -> int:
        """Units that may still fill."""
        return 0 if self.status.is_final else self.request.quantity - self.filled


class Exchange:
    """
    Orders of one account against one market.

    Parameters
    ----------
    market : Market
    draw : Random
        Of partial fills and lags.
    start_ns : int
        Moment of second 0, ns UTC.
    partial : float
        Chance that a fill takes only some lots.
    """

    def __init__(self, market: Market, draw: Random, start_ns: int, lot: int, partial: float) -> None:
        self.market = market
        self.lot = lot
        self.orders: dict[str, Held] = {}
        self.by_tag: dict[str, list[Held]] = {}
        self.open: list[Held] = []
        self.price = dict(zip(market.symbols, market.price[:, 0].tolist(), strict=True))
        self.ours = dict.fromkeys(market.symbols, 0)  # units, by orders with a tag
        self.others = dict.fromkeys(market.symbols, 0)
        self.taken = dict.fromkeys(market.symbols, 0)  # units of ours that others bought back
        self.on_change: Callable[[Held], None] = lambda _: None
        self.partial = partial
        self.max_modifies = 25
        self._draw = draw
        self._start_ns = start_ns

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return asyncio.get_running_loop().time()

    # ---- the market moves ----

    def advance(self, step: int) -> None:
        """Prices of the next moment; orders meet them."""
        before = self.price
        self.price = dict(zip(self.market.symbols, self.market.price[:, step].tolist(), strict=True))
        for order in list(self.open):
            symbol = order.request.symbol
            self._meet(order, before[symbol], self.price[symbol])

    def _meet(self, order: Held, before: int, now: int) -> None:
        request = order.request
        side = BUY if request.side == "BUY" else SELL
        if order.status == OrderStatus.TRIGGER_PENDING or (
            order.status == OrderStatus.OPEN and request.kind == "SL"
        ):
            was = order.status == OrderStatus.OPEN
            triggered, fill = stop_limit_fill(
                side,
                request.trigger_ticks,
                request.limit_ticks,
                was,
                before,
                now,
                abs(now - before) > LEAP,
                0,
                0,
            )
            if triggered and not was:
                order.status = OrderStatus.OPEN
                order.at_s = self.now_s
                if fill == UNFILLED:
                    self.on_change(order)
        elif order.status == OrderStatus.OPEN:
            limit = request.limit_ticks or (2**30 if side == BUY else 1)
            fill = limit_fill(side, limit, now, order.fresh)
            order.fresh = False
        else:
            return
        if fill != UNFILLED:
            self.fill(order, fill, self._lots(order.left))

    def _lots(self, units: int) -> int:
        if units <= self.lot or self._draw.random() >= self.partial:
            return units
        return self._draw.randint(1, units // self.lot) * self.lot

    # ---- orders ----

    def place(self, request: OrderRequest, *, ours: bool = True, hidden_s: float = 0.0) -> Held:
        """Take an order into the book; matched at once if it can be."""
        now = self.now_s
        order = Held(
            f"o{len(self.orders) + 1}",
            request.tag if ours else None,
            request,
            OrderStatus.OPEN,
            now + hidden_s,
            now,
        )
        self.orders[order.order_id] = order
        if order.tag is not None:
            self.by_tag.setdefault(order.tag, []).append(order)
        self.open.append(order)
        return order

    def begin(self, order: Held) -> None:
        """The order reaches the exchange's engine: a stop lies dormant or is rejected, a limit meets the price."""
        request, price = order.request, self.price[order.request.symbol]
        if request.kind == "SL":
            crossed = (
                request.trigger_ticks <= price if request.side == "BUY" else request.trigger_ticks >= price
            )
            if crossed:
                self.end(order, OrderStatus.REJECTED, "Trigger price is through the market")
                return
            order.status = OrderStatus.TRIGGER_PENDING
        else:
            order.status = OrderStatus.OPEN
            order.fresh = True
            self._meet(order, price, price)
        self.on_change(order)

    def stick(self, order: Held) -> None:
        """The order waits at the broker, not yet at the exchange."""
        order.status = OrderStatus.PENDING
        self.on_change(order)

    def modify(self, order: Held, request: OrderRequest) -> None:
        """
        Change a working order.

        Raises
        ------
        BrokerRefused
            If it has ended, has not arrived or was changed too often.
        """
        if order.left == 0 or order.status == OrderStatus.PENDING:
            raise BrokerRefused("Order cannot be modified as it is being processed or completed", 400)
        if order.modified >= self.max_modifies:
            raise BrokerRefused("Maximum allowed order modifications exceeded", 400)
        if request.quantity <= order.filled:
            raise BrokerRefused("Quantity is not above what has been filled", 400)
        price = self.price[request.symbol]
        if request.kind == "SL":
            crossed = (
                request.trigger_ticks <= price if request.side == "BUY" else request.trigger_ticks >= price
            )
            if crossed:
                raise BrokerRefused("Trigger price is through the market", 400)
        order.modified += 1
        order.at_s = self.now_s
        order.request = replace(request, tag=order.request.tag)
        self.begin(order)

    def cancel(self, order: Held) -> None:
        """
        Take an order out of the book.

        Raises
        ------
        BrokerRefused
            If it has ended.
        """
        if order.left == 0:
            raise BrokerRefused("Order cannot be cancelled as it is completed", 400)
        if order.status != OrderStatus.PENDING:
            self.end(order, OrderStatus.CANCELLED, "")

    def end(self, order: Held, status: OrderStatus, message: str) -> None:
        """An order is over without a further fill."""
        order.status, order.message, order.at_s = status, message, self.now_s
        if order in self.open:
            self.open.remove(order)
        self.on_change(order)

    def fill(self, order: Held, price: int, units: int) -> None:
        """The exchange fills some of an order."""
        if units <= 0:
            return
        now = self.now_s
        told = order.deals[-1].told_s if order.deals else 0.0
        lag = self._draw.choice([0.0, 0.0, 0.3, 1.5])
        order.deals.append(Dealt(now, max(now + lag, told), units, price))
        order.filled += units
        order.at_s = now
        net = self.ours if order.tag is not None else self.others
        net[order.request.symbol] += units if order.request.side == "BUY" else -units
        if order.filled >= order.request.quantity:
            order.status = OrderStatus.COMPLETE
            self.open.remove(order)
        else:
            order.status = OrderStatus.OPEN
        self.on_change(order)

    def outside(self, symbol: str, side: Side, units: int) -> Held:
        """Somebody else's market order on this account, filled at the price."""
        if side == "BUY":
            held = self.ours[symbol] + self.covered_by_others(symbol, self.ours[symbol])
            self.taken[symbol] += min(units, max(-held, 0))
        request = OrderRequest("X", symbol, side, units, "LIMIT", 0, self.price[symbol])
        order = self.place(request, ours=False)
        self.fill(order, self.price[symbol], units)
        return order

    def covered_by_others(self, symbol: str, ours: int) -> int:
        """Units of what we are short that others have bought back, or hold against it."""
        return min(max(self.taken[symbol], self.others[symbol], 0), max(-ours, 0))

    # ---- the books as the broker shows them ----

    def shown(self, order: Held) -> OrderReport:
        """One line of the order book."""
        kept = order.shown
        if (
            kept is None
            or (kept.status, kept.filled) != (order.status, order.filled)
            or order.request is not order.shown_request
        ):
            kept = order.shown = self._report(order)
            order.shown_request = order.request
        return kept

    def _report(self, order: Held) -> OrderReport:
        request = order.request
        value = sum(deal.price * deal.quantity for deal in order.deals)
        return OrderReport(
            order_id=order.order_id, tag=order.tag, symbol=request.symbol, side=request.side,
            quantity=request.quantity, filled=order.filled,
            average=Decimal(value) * TICK_RUPEES / order.filled if order.filled else None,
            status=order.status, status_text=_WORDS.get(order.status, order.status.value), kind=request.kind,
            trigger_ticks=request.trigger_ticks, limit_ticks=request.limit_ticks, product=request.product,
            message=order.message, time_ns=self.second_ns(order.at_s),
        )  # fmt: skip

    def order_book(self) -> list[OrderReport]:
        """Every order that is shown yet."""
        now = self.now_s
        return [self.shown(order) for order in self.orders.values() if order.visible_s <= now]

    def trade_book(self) -> list[TradeReport]:
        """Every trade that is shown yet."""
        now = self.now_s
        return [
            TradeReport(
                f"{order.order_id}-{number}", order.order_id, order.request.symbol, order.request.side,
                deal.quantity, deal.price, self.second_ns(deal.at_s),
            )
            for order in self.orders.values()
            if order.visible_s <= now
            for number, deal in enumerate(order.deals)
            if deal.told_s <= now
        ]  # fmt: skip

    def position_list(self, lag_s: float) -> list[PositionReport]:
        """Net of every symbol that was traded, as it was a moment ago."""
        asof = self.now_s - lag_s
        net: dict[str, int] = {}
        for order in self.orders.values():
            sign = 1 if order.request.side == "BUY" else -1
            for deal in order.deals:
                if deal.at_s <= asof:
                    symbol = order.request.symbol
                    net[symbol] = net.get(symbol, 0) + sign * deal.quantity
        return [PositionReport(symbol, "MIS", units, Decimal(0)) for symbol, units in net.items()]

    def unseen(self, now_s: float, side: Side) -> dict[str, int]:
        """Units sold or bought by orders that no book shows yet: nobody can know of them."""
        units: dict[str, int] = {}
        for order in self.orders.values():
            if order.visible_s > now_s and order.request.side == side:
                units[order.request.symbol] = units.get(order.request.symbol, 0) + order.filled
        return units

    def second_ns(self, at_s: float) -> int:
        """A moment as the broker tells it: whole seconds, ns UTC."""
        return self._start_ns + int(at_s) * NS

    def live_buys(self, symbol: str) -> Iterable[Held]:
        """Open orders of ours that buy."""
        return (
            o
            for o in self.open
            if o.tag is not None and o.request.side == "BUY" and o.request.symbol == symbol
        )
