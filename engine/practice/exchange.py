"""The practice exchange: orders, their lives, fills and the account, at the moments of a played day.

Without a wall clock and without chance beyond its seeded faults: the same day, seed and requests at the same moments
give the same fills. How an order matches is `engine.execution.matching`, called as the backtest calls it: against
the moves of a bar's four prices ("bars"), or against bid and ask ("quotes"). Requests take effect after a delay in
exchange time; what is due at a moment arrives before that moment's prices.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.errors import MarketFactError, WorkbenchError
from engine.execution.bar_path import MINUTE_MS, MOMENT_MS
from engine.execution.exchange_rules import (
    CLOSED,
    FILLED_ALREADY,
    MAX_MODIFICATIONS,
    MODIFIED_TOO_OFTEN,
    NOT_FOUND,
    NOT_TRADED_TODAY,
    SESSION_ENDED,
    already_over,
    being_processed,
    insufficient_funds,
    not_above_filled,
    outside_band,
    protected_limit,
    wrong_side,
)
from engine.execution.matching import UNFILLED
from engine.execution.resting import bar_price, quote_price
from engine.market.contracts import freeze_quantity
from engine.market.prices import PAISE_PER_RUPEE
from engine.practice.account import Account, need_of
from engine.practice.checks import Wish, check_prices, check_quantity, read_wish, refuse
from engine.practice.faults import Faults
from engine.practice.market import Market
from engine.practice.orders import (
    CANCEL_PENDING,
    CANCELLED,
    COMPLETE,
    MODIFIED,
    MODIFY_PENDING,
    MODIFY_VALIDATION_PENDING,
    OPEN,
    OPEN_PENDING,
    RECEIVED,
    REJECTED,
    TRIGGER_PENDING,
    UPDATE,
    VALIDATION_PENDING,
    Clock,
    Order,
    Refused,
    Trade,
)
from engine.practice.settings import ExchangeSettings

FIRST_TRADE_ID = 10_000_001
FIRST_EXCHANGE_ORDER_ID = 1_300_000_000_000_001
Listener = Callable[[Order, str], None]


@dataclass
class Exchange:
    """
    One exchange with one account.

    Attributes
    ----------
    listeners : list
        Called with (order, state) whenever a user would be told: OPEN, TRIGGER PENDING, UPDATE, COMPLETE,
        CANCELLED, REJECTED.
    """

    market: Market
    settings: ExchangeSettings = field(default_factory=ExchangeSettings)
    faults: Faults = field(default_factory=Faults)
    listeners: list[Listener] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = Clock(self.market.open_ns)
        self.account = Account(self.settings.cash_rupees * PAISE_PER_RUPEE)
        self.orders: dict[str, Order] = {}
        self.trades: list[Trade] = []
        self.now_ms = 0
        self._arrivals: list[tuple[int, int, str, Order, Wish | None]] = []
        self._arrival_numbers = 0
        self._offered: dict[int, list[int]] = {}

    # --- time ---------------------------------------------------------------------------------------------------

    def play(self, minute: int, moment: int) -> None:
        """Come to a moment: what is due arrives at the old prices, then prices move and orders match."""
        self.faults.minute = minute
        self.advance(minute * MINUTE_MS + int(MOMENT_MS[moment]))
        self.market.play(minute, moment)
        self.now_ms = self.market.ms
        self._offered.clear()
        for order in self.live():
            self._match(order)
        if minute == self.settings.square_off_minute and moment == 0:
            self._square_off()

    def close_minute(self) -> None:
        """Come to the end of the minute in play."""
        self.advance((self.market.minute + 1) * MINUTE_MS)
        self.market.close_minute()
        if self.market.over:
            for order in self.live():
                self._end(order, CANCELLED, SESSION_ENDED)

    def advance(self, ms: int) -> None:
        """Move the clock to `ms` after the open and let arrive what is due."""
        while self._arrivals and self._arrivals[0][0] <= ms:
            due, _, what, order, change = heapq.heappop(self._arrivals)
            self.now_ms = max(self.now_ms, due)
            self._arrive(what, order, change)
        self.now_ms = max(self.now_ms, ms)

    # --- requests -----------------------------------------------------------------------------------------------

    def place(
        self, form: Mapping[str, str], variety: str = "regular", *, appears_after_s: int = 0
    ) -> dict[str, Any]:
        """
        Take a new order.

        Parameters
        ----------
        form : mapping
            Fields of Kite's request, rupees.
        appears_after_s : int
            The order reaches exchange and order book only after so many seconds of exchange time.

        Returns
        -------
        dict
            `order_id`, with `children` for a sliced order.

        Raises
        ------
        Refused
            InputException or MarginException; such an order is in no order book.
        """
        self._check_open()
        wish = read_wish(form, self.market, variety)
        if form.get("autoslice") == "true":
            return self._place_slices(wish)
        return {"order_id": self._place(wish, appears_after_s, sliced=False).order_id}

    def modify(self, order_id: str, form: Mapping[str, str]) -> str:
        """
        Ask for another price, trigger, quantity or type of a live order.

        Raises
        ------
        Refused
            If there is no such order, it has ended, is on its way, was modified too often, or the values are wrong.
        """
        order = self._live_order(order_id, "modified")
        if order.modifications >= MAX_MODIFICATIONS:
            raise refuse(MODIFIED_TOO_OFTEN)
        told = {name: value for name, value in form.items() if value not in {"", None}}
        old = order.answer(self.clock)
        merged = {name: str(old[name]) for name in ("exchange", "tradingsymbol", "transaction_type", "product",
                  "order_type", "quantity", "price", "trigger_price", "validity")}  # fmt: skip
        merged |= {name: told[name] for name in merged if name in told}
        if "market_protection" in told:
            merged["market_protection"] = told["market_protection"]
        wish = read_wish(merged, self.market, "regular")
        check_quantity(wish, self.market, sliced=False)
        problem = not_above_filled(wish.quantity, order.filled)
        if problem:
            raise refuse(problem)
        check_prices(wish, self.market)
        order.modifications += 1
        self._send("modify", order, wish)
        return order.order_id

    def cancel(self, order_id: str) -> str:
        """
        Ask for an order to be taken out of the book; a fill on the way wins.

        Raises
        ------
        Refused
            If there is no such order, it has ended or is on its way.
        """
        order = self._live_order(order_id, "cancelled")
        if order.active and self.faults.strike("cancel_raced_by_fill"):
            self._fill(order, order.trigger if order.is_stop else order.limit, order.pending)
            return order.order_id
        self._send("cancel", order, None)
        return order.order_id

    # --- views --------------------------------------------------------------------------------------------------

    def order_book(self) -> list[Order]:
        """Orders that the book shows at the present moment, oldest first."""
        return [order for order in self.orders.values() if order.visible_ms <= self.now_ms]

    def find(self, order_id: str) -> Order:
        """
        An order of the book.

        Raises
        ------
        Refused
            If the book does not show it.
        """
        order = self.orders.get(order_id)
        if order is None or order.visible_ms > self.now_ms:
            raise refuse(NOT_FOUND)
        return order

    def live(self) -> list[Order]:
        """Orders that stand in the book, oldest first."""
        return [order for order in self.orders.values() if order.active and not order.ended]

    def is_flat(self) -> bool:
        """Whether no position is open and no order lives."""
        return not any(p.quantity for p in self.account.positions.values()) and all(
            order.ended for order in self.orders.values()
        )

    # --- lives of orders ----------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self.market.over:
            raise refuse(CLOSED)

    def _place(self, wish: Wish, appears_after_s: int, *, sliced: bool) -> Order:
        check_quantity(wish, self.market, sliced=False)
        check_prices(wish, self.market)
        if not sliced:
            self._check_margin(wish)
        number = len(self.orders) + 1
        stuck = self.faults.strike("stuck_order")
        order = Order(
            order_id=f"{self.market.date:%y%m%d}{number:09d}",
            instrument=wish.instrument,
            side=wish.side,
            order_type=wish.order_type,
            product=wish.product,
            validity=wish.validity,
            quantity=wish.quantity,
            limit=wish.limit,
            trigger=wish.trigger,
            market_protection=wish.market_protection,
            tag=wish.tag,
            user_id=self.settings.user_id,
            placed_ms=self.now_ms + appears_after_s * 1000,
            visible_ms=self.now_ms + appears_after_s * 1000,
            frozen=stuck is not None,
        )
        self.orders[order.order_id] = order
        self._note(order, RECEIVED)
        held_s = appears_after_s + (stuck.seconds if stuck else 0)
        self._send("place", order, None, held_s * 1000)
        return order

    def _place_slices(self, wish: Wish) -> dict[str, Any]:
        check_quantity(wish, self.market, sliced=True)
        lot = wish.instrument.lot_size
        largest = freeze_quantity(wish.instrument.name, self.market.date) // lot * lot
        children: list[dict[str, Any]] = []
        rest = wish.quantity
        while rest:
            part = min(rest, largest)
            rest -= part
            try:
                self._check_margin(wish._replace(quantity=part))
                order = self._place(wish._replace(quantity=part), 0, sliced=True)
            except Refused as no:
                told = {"code": no.code, "error_type": no.kind, "message": no.message, "data": None}
                children.append({"error": told})
            else:
                children.append({"order_id": order.order_id})
        first = next((child["order_id"] for child in children if "order_id" in child), "")
        return {
            "order_id": first,
            "children": [child for child in children if child.get("order_id") != first],
        }

    def _check_margin(self, wish: Wish) -> None:
        waiting = [order for order in self.orders.values() if not order.ended]
        trial = Order(
            "", wish.instrument, wish.side, wish.order_type, wish.product, wish.validity, wish.quantity,
            wish.limit or int(self.market.last[wish.instrument.place]), wish.trigger, 0, None, "", 0, 0,
        )  # fmt: skip
        before = need_of(self.account.legs(waiting), self.market).total
        after = need_of(self.account.legs([*waiting, trial]), self.market).total
        available = self.account.cash_paise + self.account.paise(self.market) - before
        if after > before and after - before > available:
            raise Refused(
                "MarginException",
                insufficient_funds((after - before) / PAISE_PER_RUPEE, available / PAISE_PER_RUPEE),
            )

    def _live_order(self, order_id: str, verb: str) -> Order:
        order = self.find(order_id)
        if order.ended:
            raise Refused("OrderException", already_over(verb, order.status))
        if order.frozen:
            raise Refused("OrderException", being_processed(verb))
        return order

    def _send(self, what: str, order: Order, change: Wish | None, extra_ms: int = 0) -> None:
        self._arrival_numbers += 1
        due = self.now_ms + self.settings.delay_ms + extra_ms
        heapq.heappush(self._arrivals, (due, self._arrival_numbers, what, order, change))
        if due <= self.now_ms:
            self.advance(self.now_ms)
            if order.active and not order.ended and order.fresh and not order.is_stop:
                self._match(order)

    def _arrive(self, what: str, order: Order, change: Wish | None) -> None:
        if order.ended:
            return  # it filled while the request was on its way
        if what == "place":
            self._arrive_new(order)
        elif what == "cancel":
            self._note(order, CANCEL_PENDING)
            self._end(order, CANCELLED, None)
        elif change is not None:
            self._arrive_change(order, change)

    def _arrive_new(self, order: Order) -> None:
        order.frozen = False
        self._note(order, VALIDATION_PENDING)
        place = order.instrument.place
        last = int(self.market.last[place])
        order.exchange_ms = order.update_ms = self.now_ms
        order.exchange_order_id = str(FIRST_EXCHANGE_ORDER_ID + len(self.orders))
        problem = None
        if self.faults.strike("reject"):
            problem = "RMS:Rule: Check circuit limit including square off order exceeds (practice fault)"
        elif order.order_type == "SL-M":
            problem = "16052 : Function Not Available"
        elif order.order_type == "SL":
            problem = wrong_side(order.side, order.trigger, last)
        elif order.order_type == "MARKET":
            if last == 0:
                problem = NOT_TRADED_TODAY
            else:
                order.limit = protected_limit(order.side, last, order.market_protection)
        if problem:
            self._end(order, REJECTED, problem)
            return
        self._note(order, OPEN_PENDING)
        order.active = True
        self._tell(order, TRIGGER_PENDING if order.is_stop else OPEN)

    def _arrive_change(self, order: Order, wish: Wish) -> None:
        self._note(order, MODIFY_VALIDATION_PENDING)
        last = int(self.market.last[order.instrument.place])
        problem = wrong_side(wish.side, wish.trigger, last) if wish.order_type == "SL" else None
        if wish.quantity <= order.filled:
            problem = FILLED_ALREADY
        if problem:
            order.status_message = problem
            self._tell(order, TRIGGER_PENDING if order.is_stop else OPEN)
            return
        self._note(order, MODIFY_PENDING)
        order.order_type = wish.order_type
        order.quantity = wish.quantity
        order.limit = wish.limit
        order.trigger = wish.trigger
        order.validity = wish.validity
        if wish.order_type == "MARKET":
            order.limit = protected_limit(order.side, last or wish.limit, wish.market_protection)
        order.modified = True
        order.fresh = True
        order.update_ms = order.exchange_ms = self.now_ms
        self._note(order, MODIFIED)
        order.status = TRIGGER_PENDING if order.is_stop else OPEN
        self._note(order, order.status)
        self._hear(order, UPDATE)

    # --- matching -----------------------------------------------------------------------------------------------

    def _match(self, order: Order) -> None:
        """Show a live order the present step of its contract."""
        step = self.market.step_of(order.instrument.place)
        if step is None:
            return
        settings = self.settings
        if settings.match == "bars":
            released, price = bar_price(order, step, settings.slip_ticks, settings.slip_basis_points)
            quantity = order.pending
        else:
            place = order.instrument.place
            left = self._offered.setdefault(place, [self.market.best_quantity, self.market.best_quantity])
            released, price, quantity = quote_price(order, step.price, self.market.quote(place), left)
        if released and not self._release(order):
            return
        if price != UNFILLED:
            self._fill(order, price, quantity)
        if not order.is_stop:
            order.fresh = False
            if order.validity == "IOC" and not order.ended:
                self._end(order, CANCELLED, "IOC order: the rest is cancelled")

    def _release(self, order: Order) -> bool:
        """Turn a triggered stop into a limit order; False when the price band refuses it at that moment."""
        order.triggered = True
        order.fresh = False
        order.update_ms = order.exchange_ms = self.now_ms
        problem = outside_band(order.side, order.limit, order.trigger, self.market.date)
        if problem:
            self._end(order, REJECTED, f"17070 : {problem}")
            return False
        self._tell(order, OPEN)
        return True

    def _fill(self, order: Order, price: int, quantity: int) -> None:
        part = self.faults.strike("partial_fill")
        lot = order.instrument.lot_size
        if part and quantity > lot:
            quantity = max(quantity // lot // 2, 1) * lot
        number = FIRST_TRADE_ID + len(self.trades)
        market = self.market
        self.trades.append(
            Trade(str(number), order, quantity, price, self.now_ms, market.minute, market.moment)
        )
        order.filled += quantity
        order.turnover += quantity * price
        order.update_ms = order.exchange_ms = self.now_ms
        self.account.book(order, quantity, price)
        if order.filled == order.quantity:
            order.active = False
            self._tell(order, COMPLETE)
            return
        order.status = OPEN
        self._note(order, OPEN)
        self._hear(order, UPDATE)
        if part and part.rest == "cancelled":
            self._end(order, CANCELLED, "The rest was cancelled by the exchange (practice fault)")

    def _end(self, order: Order, status: str, message: str | None) -> None:
        order.active = False
        order.frozen = False
        if status == CANCELLED:
            order.cancelled = order.quantity - order.filled
        if message:
            order.status_message = message
        order.update_ms = self.now_ms
        self._tell(order, status)

    def _square_off(self) -> None:
        """The broker's own end of the day: MIS orders are cancelled, MIS positions closed at the band's edge."""
        for order in self.live():
            if order.product == "MIS":
                self._end(order, CANCELLED, "Cancelled by the broker's auto square-off")
        for position in list(self.account.positions.values()):
            if position.product != "MIS" or not position.quantity:
                continue
            form = {
                "exchange": position.instrument.exchange,
                "tradingsymbol": position.instrument.symbol,
                "transaction_type": "SELL" if position.quantity > 0 else "BUY",
                "order_type": "MARKET",
                "product": "MIS",
                "quantity": str(abs(position.quantity)),
                "market_protection": "10",
                "validity": "DAY",
            }
            try:
                self.place(form)
            except (Refused, MarketFactError) as no:
                raise WorkbenchError(f"auto square-off of {position.instrument.symbol} failed: {no}") from no

    def _tell(self, order: Order, status: str) -> None:
        """Set a state, write it down and tell whoever listens."""
        order.status = status
        self._note(order, status)
        self._hear(order, status)

    def _note(self, order: Order, status: str) -> None:
        if status not in {MODIFIED, CANCEL_PENDING, MODIFY_PENDING, MODIFY_VALIDATION_PENDING}:
            order.status = status
        order.history.append(order.history_line(self.clock, status))

    def _hear(self, order: Order, status: str) -> None:
        for listener in self.listeners:
            listener(order, status)
