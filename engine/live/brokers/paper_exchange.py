"""The exchange inside the paper broker: lives of orders, fills and margin, at the prices it is shown.

Without a clock of its own and without chance. What is refused and in which words is `engine.execution.exchange_rules`,
how an order fills is `engine.execution.resting`: both are the practice exchange's too, so paper, practice and backtest
fill alike. Every change goes to the book's file before anybody hears of it.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import numpy.typing as npt

from engine.execution import exchange_rules as rules_of
from engine.execution.margins import Need, OptionLeg, need_of_legs
from engine.execution.matching import UNFILLED
from engine.execution.resting import Step, bar_price, quote_price
from engine.live.brokers.base import Contract, OrderReport, OrderRequest, TradeReport
from engine.live.brokers.paper_account import Holding, holdings_of, legs_of
from engine.live.brokers.paper_book import PaperBook
from engine.live.brokers.paper_market import PaperMarket
from engine.live.brokers.paper_orders import (
    CANCELLED,
    COMPLETE,
    OPEN,
    REJECTED,
    SIDES,
    TRIGGER_PENDING,
    Change,
    OnItsWay,
    PaperOrder,
    side_name,
)
from engine.live.brokers.paper_rules import PaperRules, refused_at_once, rejected_on_arrival
from engine.market.prices import PAISE_PER_RUPEE, TICKS_PER_RUPEE

NS_PER_MS = 1_000_000
FIRST_TRADE_ID = 10_000_001


class Refusal(Exception):  # noqa: N818 - the exchange's answer, spelled as an answer
    """A request is refused, in the exchange's words; it is in no book."""


class PaperExchange:
    """
    One account at one exchange for one day.

    Parameters
    ----------
    book : PaperBook
    market : PaperMarket
    rules : PaperRules
    tell : function
        Called with every report once it is on disk.
    """

    def __init__(
        self, book: PaperBook, market: PaperMarket, rules: PaperRules, tell: Callable[[OrderReport], None]
    ) -> None:
        self.book = book
        self.market = market
        self.rules = rules
        self.tell = tell
        self.spot_ticks = 0
        self._alive = {order.order_id: order for order in book.orders.values() if not order.ended}
        # what was on its way when the process died has arrived since
        self._restored = [(order, one) for order in self._alive.values() for one in order.coming]
        self._coming: list[tuple[PaperOrder, OnItsWay]] = []
        self._watched = np.zeros(0, np.bool_)
        self._dirty: dict[str, PaperOrder] = {}
        self._new_trades: list[TradeReport] = []
        self._news: list[OrderReport] = []

    # --- time and prices ----------------------------------------------------------------------------------------

    def follow(self, contracts: Sequence[Contract]) -> None:
        """Number the contracts as the ticks do."""
        self.market.follow(contracts)
        self._watch()

    def advance(self, now_ns: int, counted_ns: int) -> None:
        """Let arrive what is due; wall clock (UTC) and counting clock in ns."""
        if not self._coming and not self._restored:
            return
        due = self._restored + [line for line in self._coming if line[1].is_due(now_ns, counted_ns)]
        self._coming = [line for line in self._coming if line not in due]
        self._restored = []
        for order, one in due:
            self._arrive(order, one, min(one.due_ns, now_ns))
            if self.rules.match == "quotes" or not self.rules.moments:
                self._meet_market(order, now_ns)
        if due:
            self._watch()

    def see(self, ticks: npt.NDArray[np.void], *, past: bool) -> None:
        """Take ticks in; orders of their contracts meet them. Of the past: only orders older than the tick."""
        for steps in self.market.take(ticks, self._watched):
            met = {place: (ns, step) for place, ns, step in steps}
            for order in self._standing(met):
                ns, step = met[self.market.places[order.contract.symbol]]
                if past and ns <= order.changed_ns:
                    continue
                self._match(order, step, ns)

    def see_quotes(self, places: npt.NDArray[np.int64], ns: int) -> None:
        """Let limit orders meet the new quotes of these places."""
        if self.rules.match == "quotes" and self._watched[places].any():
            for order in self._standing(set(places.tolist())):
                self._match_quote(order, ns)

    def end_of_session(self, now_ns: int) -> None:
        """Orders of the day die with it."""
        for order in list(self._alive.values()):
            self._end(order, CANCELLED, rules_of.SESSION_ENDED, now_ns)

    def commit(self) -> None:
        """
        Write what changed, then tell it.

        Raises
        ------
        PaperBookError
            If it could not be written: nothing is told.
        """
        if not self._dirty and not self._new_trades:
            return
        orders, trades, news = list(self._dirty.values()), self._new_trades, self._news
        self._dirty, self._new_trades, self._news = {}, [], []
        self.book.commit(orders, trades)
        self._watch()
        for report in news:
            self.tell(report)

    # --- requests -----------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, contract: Contract | None, now_ns: int, counted_ns: int) -> str:
        """
        Take a new order; its id.

        Raises
        ------
        Refusal
        """
        if not self.market.open_ns <= now_ns < self.market.close_ns:
            raise Refusal(rules_of.CLOSED)
        if contract is None:
            raise Refusal(rules_of.unknown_contract(f"NFO:{request.symbol}"))
        self._check(request, contract, SIDES[request.side], now_ns)
        number = f"{self.market.date:%y%m%d}{len(self.book.orders) + 1:09d}"
        order = PaperOrder.of_request(request, number, contract, now_ns)
        before, after, available = self.margin([order])
        if after.total > before.total and after.total - before.total > available:
            raise Refusal(
                rules_of.insufficient_funds(
                    (after.total - before.total) / PAISE_PER_RUPEE, available / PAISE_PER_RUPEE
                )
            )
        self.book.orders[number] = self._alive[number] = order
        self._send("place", order, None, now_ns, counted_ns)
        return number

    def modify(self, order_id: str, request: OrderRequest, now_ns: int, counted_ns: int) -> None:
        """
        Ask for other prices, another quantity or type.

        Raises
        ------
        Refusal
        """
        order = self._find(order_id, "modified")
        if order.modifications >= rules_of.MAX_MODIFICATIONS:
            raise Refusal(rules_of.MODIFIED_TOO_OFTEN)
        self._check(request, order.contract, order.side, now_ns)
        _refuse_if(rules_of.not_above_filled(request.quantity, order.filled))
        order.modifications += 1
        self._send("modify", order, Change.of_request(request), now_ns, counted_ns)

    def cancel(self, order_id: str, now_ns: int, counted_ns: int) -> None:
        """
        Ask for an order to be taken out of the book; a fill on the way wins.

        Raises
        ------
        Refusal
        """
        self._send("cancel", self._find(order_id, "cancelled"), None, now_ns, counted_ns)

    # --- views --------------------------------------------------------------------------------------------------

    def holdings(self) -> list[Holding]:
        """Net positions, those closed today included."""
        return holdings_of(self.book.orders, self.book.trades)

    def margin(self, wished: Sequence[PaperOrder]) -> tuple[Need, Need, int]:
        """Margin without and with wished orders, and the cash that is free for them in paise."""
        held = self.holdings()
        standing = list(self._alive.values())
        before = self.need(legs_of(held, standing, self._cost))
        after = self.need(legs_of(held, [*standing, *wished], self._cost))
        profit = sum(one.profit_paise(self._last_of(one.contract)) for one in held)
        return before, after, self.rules.cash_rupees * PAISE_PER_RUPEE + profit - before.total

    def margin_alone(self, wished: PaperOrder) -> Need:
        """Margin of an order as if there were nothing else."""
        return self.need(legs_of([], [wished], self._cost))

    def need(self, legs: Sequence[OptionLeg]) -> Need:
        """Margin of a portfolio at the present value of the index."""
        spot = self.spot_ticks / TICKS_PER_RUPEE if self.spot_ticks else None
        return need_of_legs(legs, self.market.date, spot)

    # --- lives of orders ----------------------------------------------------------------------------------------

    def _check(self, request: OrderRequest, contract: Contract, side: int, now_ns: int) -> None:
        """What is refused before an order reaches the book."""
        place = self.market.places.get(contract.symbol)
        reference = 0 if place is None else self.market.reference(place, now_ns)
        _refuse_if(
            refused_at_once(request, contract, side, self.market.date, self._last_of(contract), reference)
        )

    def _find(self, order_id: str, verb: str) -> PaperOrder:
        order = self.book.orders.get(order_id)
        if order is None:
            raise Refusal(rules_of.NOT_FOUND)
        if order.ended:
            raise Refusal(rules_of.already_over(verb, order.status))
        if not order.active:
            raise Refusal(rules_of.being_processed(verb))
        return order

    def _send(
        self, what: str, order: PaperOrder, change: Change | None, now_ns: int, counted_ns: int
    ) -> None:
        one = OnItsWay(what, now_ns, counted_ns, self.rules.latency_ms * NS_PER_MS, change)
        order.coming.append(one)
        self._dirty[order.order_id] = order
        if one.delay_ns:
            self._coming.append((order, one))
        else:
            self._arrive(order, one, now_ns)
            self._meet_market(order, now_ns)

    def _arrive(self, order: PaperOrder, one: OnItsWay, ns: int) -> None:
        order.coming.remove(one)
        self._dirty[order.order_id] = order
        if order.ended:
            return  # it filled while the request was on its way
        if one.what == "place":
            self._arrive_new(order, ns)
        elif one.what == "cancel":
            self._end(order, CANCELLED, "", ns)
        elif one.change is not None:
            self._arrive_change(order, one.change, ns)

    def _arrive_new(self, order: PaperOrder, ns: int) -> None:
        last = self._last(order)
        problem = rejected_on_arrival(order, last, *self.market.circuits(order.contract.symbol))
        if problem:
            self._end(order, REJECTED, problem, ns)
            return
        if order.order_type == "MARKET":
            order.limit = rules_of.protected_limit(order.side, last, order.market_protection)
        order.active = True
        self._tell(order, TRIGGER_PENDING if order.is_stop else OPEN, ns)

    def _arrive_change(self, order: PaperOrder, change: Change, ns: int) -> None:
        last = self._last(order)
        problem = None
        if change.order_type == "SL":
            problem = rules_of.wrong_side(order.side, change.trigger, last)
        if change.quantity <= order.filled:
            problem = rules_of.FILLED_ALREADY
        if problem:
            order.message = problem
            self._tell(order, order.status, ns)
            return
        order.order_type, order.quantity = change.order_type, change.quantity
        order.limit, order.trigger = change.limit, change.trigger
        order.market_protection = change.market_protection
        if order.order_type == "MARKET":
            order.limit = rules_of.protected_limit(order.side, last, change.market_protection)
        order.fresh = True
        self._tell(order, TRIGGER_PENDING if order.is_stop else OPEN, ns)

    # --- matching -----------------------------------------------------------------------------------------------

    def _standing(self, places: Collection[int]) -> list[PaperOrder]:
        number = self.market.places.get
        found = [one for one in self._alive.values() if one.active and number(one.contract.symbol) in places]
        return sorted(found, key=lambda one: one.closing_first)

    def _meet_market(self, order: PaperOrder, ns: int) -> None:
        """An order that has just arrived, or was changed, and is live takes the present price if it crosses it."""
        place = self.market.places.get(order.contract.symbol)
        if place is None or not order.active or not order.fresh or order.is_stop:
            return
        if self.rules.match == "quotes":
            self._match_quote(order, ns)
        elif (step := self.market.step_now(place)) is not None:
            self._match(order, step, ns)

    def _match(self, order: PaperOrder, step: Step, ns: int) -> None:
        if self.rules.match == "quotes":
            self._match_quote(order, ns)
            return
        released, price = bar_price(order, step, self.rules.slip_ticks, self.rules.slip_basis_points)
        if released and not self._release(order, ns):
            return
        self._meet(order, price, order.pending, ns)

    def _match_quote(self, order: PaperOrder, ns: int) -> None:
        market = self.market
        place = market.places[order.contract.symbol]
        quote, left = market.quote_now(place)
        released, price, quantity = quote_price(order, int(market.last[place]), quote, left)
        if released and not self._release(order, ns):
            return
        market.bid_left[place], market.ask_left[place] = left
        self._meet(order, price, quantity, ns)

    def _meet(self, order: PaperOrder, price: int, quantity: int, ns: int) -> None:
        if price != UNFILLED:
            self._fill(order, price, quantity, ns)
        if order.fresh and not order.is_stop:
            order.fresh = False
            self._dirty[order.order_id] = order

    def _release(self, order: PaperOrder, ns: int) -> bool:
        """Turn a triggered stop into a limit order; False when the price band refuses it at that moment."""
        order.triggered, order.fresh = True, False
        problem = rules_of.outside_band(order.side, order.limit, order.trigger, self.market.date)
        if problem:
            self._end(order, REJECTED, f"17070 : {problem}", ns)
            return False
        self._tell(order, OPEN, ns)
        return True

    def _fill(self, order: PaperOrder, price: int, quantity: int, ns: int) -> None:
        number = str(FIRST_TRADE_ID + len(self.book.trades))
        trade = TradeReport(
            number, order.order_id, order.contract.symbol, side_name(order.side), quantity, price, ns
        )
        self.book.trades.append(trade)
        self._new_trades.append(trade)
        order.filled += quantity
        order.turnover += quantity * price
        if order.filled == order.quantity:
            self._end(order, COMPLETE, "", ns)
        else:
            self._tell(order, OPEN, ns)

    def _end(self, order: PaperOrder, status: str, message: str, ns: int) -> None:
        order.active = False
        order.message = message
        self._alive.pop(order.order_id, None)
        self._tell(order, status, ns)

    def _tell(self, order: PaperOrder, status: str, ns: int) -> None:
        order.status = status
        order.changed_ns = ns
        self._dirty[order.order_id] = order
        self._news.append(order.report())

    def _watch(self) -> None:
        """Mark the contracts whose ticks must be looked at one by one."""
        self._watched = np.zeros(len(self.market.contracts), np.bool_)
        for order in self._alive.values():
            place = self.market.places.get(order.contract.symbol)
            if place is not None and order.active:
                self._watched[place] = True

    def _cost(self, order: PaperOrder) -> int:
        """What a unit would cost, in ticks: the limit, of a market order on its way the last price."""
        return order.limit or self._last(order)

    def _last(self, order: PaperOrder) -> int:
        return self._last_of(order.contract)

    def _last_of(self, contract: Contract) -> int:
        place = self.market.places.get(contract.symbol)
        return 0 if place is None else int(self.market.last[place])


def _refuse_if(problem: str | None) -> None:
    if problem:
        raise Refusal(problem)
