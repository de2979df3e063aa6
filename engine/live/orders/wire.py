"""Single requests to the broker, each written down before it leaves, and the look that ends doubt about them.

Below the gateway, which checks; here one intent becomes at most one request (rule R1), its answer one of the
outcomes (R2), and an unknown outcome is settled only by the order book: found by tag, or absent for the whole window.
Nothing is ever sent twice.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from engine.live.brokers.base import (
    Broker,
    BrokerAuth,
    BrokerBusy,
    BrokerError,
    BrokerRefused,
    BrokerUnknown,
    OrderReport,
    OrderRequest,
    Product,
    TradeReport,
)
from engine.live.clocks import Clock, seconds
from engine.live.log.events import (
    CancelPrepared,
    Fact,
    IntentPrepared,
    IntentSent,
    Mismatch,
    ModifyPrepared,
    Noticed,
    OrderAccepted,
    OrderNotSent,
    OrderRefused,
    OrderUnknown,
    Outcome,
    Request,
    RequestAnswered,
)
from engine.live.log.state import STRICTNESS, Order
from engine.live.log.store_errors import EventRefusedError, StoreError
from engine.live.orders.book import news, request_of
from engine.live.orders.doubts import Doubts
from engine.live.orders.lanes import Lane, Lanes
from engine.live.orders.products import Products
from engine.live.store import Store


@dataclass(frozen=True, slots=True)
class Rules:
    """
    Time limits and habits of the order path; seconds of the counting clock.

    Attributes
    ----------
    product : str
        In which entries are sold; what closes them goes out as the broker shows the short (`products`).
    resolve_window_s : float
        An order absent from the book for so long never reached the broker; they appear after 8 to 90 s.
    request_window_s : float
        A modification or cancel of unknown outcome without effect for so long did not arrive.
    poll_s, prove_s : float
        Between looks at the book; how long a cancel waits for the proof of the order's end.
    modifications : int
        Of one order; about 25 at Kite (reference `brokers_and_market` 1.4), then cancel and replace.
    rejected_changes : int
        So many changes of an order, acknowledged and then rejected: it is replaced, not asked to change once more.
    stuck_s : float
        An order that stands before the exchange for so long is told to a person.
    exit_step_s : float
        An exit that has not filled after this is priced one step further.
    exit_widen_percent : tuple of int
        How far beyond the quote each step reaches; the last one repeats. The price band cuts all.
    exit_protection_percent : int
        Market protection of an exit for which no price is known at all.
    doubtful_stop_s : float
        A stop of unknown outcome for so long no longer keeps an exit from covering the quantity.
    """

    product: Product = "MIS"
    resolve_window_s: float = 100
    request_window_s: float = 30
    poll_s: float = 1
    prove_s: float = 5
    modifications: int = 25
    rejected_changes: int = 2
    stuck_s: float = 30
    exit_step_s: float = 2
    exit_widen_percent: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    exit_protection_percent: int = 5
    doubtful_stop_s: float = 5


@dataclass(frozen=True, slots=True)
class Sent:
    """
    What became of one request.

    Attributes
    ----------
    tag : str
        "" when it was denied here: nothing was written as an intent and nothing left.
    quantity : int
        Units asked for.
    outcome : "confirmed", "refused", "denied" or "unknown"
    reason : str
        "" when confirmed.
    auth : bool
        Refused because the login is gone: nothing more can be written until a person has logged in again.
    busy : bool
        Refused because of too many requests: the same may be sent again after the pause that the lanes make.
    """

    tag: str
    quantity: int
    outcome: Outcome
    reason: str = ""
    auth: bool = False
    busy: bool = False


class Wire:
    """
    The line to one broker.

    Attributes
    ----------
    lanes : Lanes
    reports, trades : tuple
        The books as they were read last, those of others included.
    products : Products
    """

    def __init__(self, store: Store, broker: Broker, clock: Clock, lanes: Lanes, rules: Rules) -> None:
        self.store = store
        self.broker = broker
        self.clock = clock
        self.lanes = lanes
        self.rules = rules
        self.products = Products(rules.product)
        self._flying: set[str] = set()  # requests whose answer is awaited right now
        self._doubtful_since: dict[str, int] = {}  # by tag, monotonic ns
        self._doubts = Doubts()
        self._told: set[Fact] = set()  # contradictions reported already
        self._looking = asyncio.Lock()
        self._last_look = -1  # when the last good one began
        self.reports: tuple[OrderReport, ...] = ()
        self.trades: tuple[TradeReport, ...] = ()

    # ---- orders ----

    async def turn(self, lane: Lane) -> None:
        """
        Wait until a call of this lane may leave. What follows without an `await` happens in that same turn.

        Raises
        ------
        LanesExhaustedError
            If the day's calls of the lane are used up.
        """
        while wait := self.lanes.wait_ns(lane, self.clock.monotonic_ns()):
            await self.clock.sleep_ns(wait)

    async def place(self, intent: IntentPrepared) -> Sent:
        """
        Commit the intent, then send it, once.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        try:
            (self.store.append if intent.leg == "entry" else self.store.append_exit)(intent)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise
            return Sent("", intent.quantity, "denied", str(error))
        tag = intent.tag
        product = self.products.of_next(intent, self.store.state.orders.values(), self.reports)
        self.products.sent(tag, product)
        self.lanes.take(self.clock.monotonic_ns())
        self._flying.add(tag)
        answer: Fact
        outcome: Outcome = "refused"
        reason, auth, busy = "", False, False
        try:
            order_id = await self.broker.place(request_of(intent, product))
            outcome, answer = "confirmed", OrderAccepted(tag=tag, order_id=order_id)
        except BrokerUnknown as error:
            outcome, reason = "unknown", _words(error)
            answer = OrderUnknown(tag=tag, reason=reason)
        except (BrokerRefused, BrokerBusy, BrokerAuth) as error:
            reason = _words(error)
            auth, busy = isinstance(error, BrokerAuth), isinstance(error, BrokerBusy)
            answer = OrderRefused(tag=tag, code=self._code(error), reason=reason)
        finally:
            self._flying.discard(tag)
            self._doubtful_since[tag] = self.clock.monotonic_ns()
        try:
            self.note(IntentSent(tag=tag), answer)
        except EventRefusedError as error:  # e.g. refused, but seen in the book meanwhile
            self._contradiction(
                Mismatch(subject="order", key=tag, ours=outcome, theirs="", detail=str(error))
            )
            outcome, reason, busy = "unknown", str(error), False
        return Sent(tag, intent.quantity, outcome, reason, auth, busy)

    async def modify(self, order: Order, change: ModifyPrepared) -> Sent:
        """
        Write the change down, then ask for it, once; absolute values, so an unknown one may be asked for again.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        try:
            (self.store.append if order.leg == "entry" else self.store.append_exit)(change)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise
            return Sent("", change.quantity, "denied", str(error))
        request = OrderRequest(
            tag=order.tag, symbol=order.symbol, side=order.side, quantity=change.quantity, kind=change.order_type,
            trigger_ticks=change.trigger, limit_ticks=change.limit,
            product=self.products.of_order(order, self.reports),
        )  # fmt: skip
        sent = await self._ask(order, "modify", change.quantity, request)
        if sent.outcome == "confirmed":
            self._doubts.acknowledged(order, change, self.clock.monotonic_ns())
        return sent

    def will_not_change(self, order: Order) -> str:
        """Why asking for one more change of an order is no use; "" if it may be."""
        if order.modifications >= self.rules.modifications:
            return f"{order.modifications} modifications are used up"
        rejected = self._doubts.rejected(order.tag)
        if rejected >= self.rules.rejected_changes:
            return f"{rejected} changes were acknowledged and then rejected"
        return ""

    async def cancel(self, order: Order, reason: str) -> Sent:
        """
        Write the cancel down, then ask for it, once. Confirmed means acknowledged: a fill may still win.

        An entry is cancelled even if that cannot be written down; what protects is not.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        if not self.note(CancelPrepared(tag=order.tag, reason=reason)) and order.leg != "entry":
            return Sent("", order.quantity, "denied", str(self.store.failure))
        return await self._ask(order, "cancel", order.quantity, None)

    async def _ask(self, order: Order, what: Request, quantity: int, change: OrderRequest | None) -> Sent:
        self.lanes.take(self.clock.monotonic_ns())
        outcome: Outcome = "confirmed"
        reason, auth = "", False
        self._doubtful_since[order.tag] = self.clock.monotonic_ns()
        try:
            if change is None:
                await self.broker.cancel(order.order_id)
            else:
                await self.broker.modify(order.order_id, change)
        except BrokerUnknown as error:
            outcome, reason = "unknown", _words(error)
        except (BrokerRefused, BrokerBusy, BrokerAuth) as error:
            outcome, reason = "refused", f"{self._code(error)} {_words(error)}"
            auth = isinstance(error, BrokerAuth)
        self._doubtful_since[order.tag] = self.clock.monotonic_ns()
        self.note(RequestAnswered(tag=order.tag, request=what, outcome=outcome, reason=reason))
        return Sent(order.tag, quantity, outcome, reason, auth)

    def _code(self, error: BrokerError) -> str:
        if isinstance(error, BrokerBusy):
            self.lanes.hold(self.clock.monotonic_ns())
        return str(error.code) if error.code else type(error).__name__

    # ---- the broker's books ----

    async def look(self) -> None:
        """
        Read orders and trades and write down what is new; give up what was absent for the whole window.

        Raises
        ------
        BrokerError
            If a read failed: nothing was learnt.
        """
        asked = self.clock.monotonic_ns()
        async with self._looking:
            if self._last_look > asked:
                return  # while this one waited, another began and succeeded
            started = self.clock.monotonic_ns()
            known = self._known_today()
            reports = await self.broker.orders()
            trades = await self.broker.trades()
            self.absorb(reports, trades, started)
            if self._last_look < 0:
                self.products.inherit(self.store.state.open_orders, tuple(reports))
            if known <= {report.order_id for report in reports}:  # a book with holes proves no absence
                self._give_up(started, {report.tag for report in reports})
            self._last_look = started
            self.reports, self.trades = tuple(reports), tuple(trades)

    def _known_today(self) -> set[str]:
        """The broker's ids of today's orders: a whole book shows them."""
        state = self.store.state
        since = state.today.started_ns if state.today is not None else 0
        return {o.order_id for o in state.orders.values() if o.order_id and o.prepared_ns >= since}

    def absorb(
        self, reports: Sequence[OrderReport], trades: Sequence[TradeReport], began_ns: int | None = None
    ) -> None:
        """
        Write down what a push or a read tells of our orders; what is known already changes nothing.

        Parameters
        ----------
        reports, trades : of the broker
        began_ns : int or None
            When a read was asked for, monotonic; None = a push, which tells what is.
        """
        now_ns = self.clock.monotonic_ns()
        self._judge_changes(reports, now_ns if began_ns is None else began_ns)
        if began_ns is not None:
            self._judge_waiting(reports, now_ns)
        for group in news(self.store.state, reports, trades):
            if isinstance(group[0], Mismatch):
                self._contradiction(group[0])
                continue
            try:
                self.note(*group)
            except EventRefusedError as error:
                key = getattr(group[0], "tag", "")
                self._contradiction(Mismatch(subject="order", key=key, ours="", theirs="", detail=str(error)))

    def _judge_changes(self, reports: Sequence[OrderReport], began_ns: int) -> None:
        """Tell, once, that the exchange does not take the changes of an order."""
        for tag in self._doubts.seen(reports, began_ns):
            if self._doubts.rejected(tag) == self.rules.rejected_changes:
                order = self.store.state.orders[tag]
                text = f"{order.leg} {tag} of {order.symbol}: the exchange rejects its changes; it is replaced instead"
                self.note(Noticed(level="warning", text=text))

    def _judge_waiting(self, reports: Sequence[OrderReport], now_ns: int) -> None:
        """Tell, once each, which of our orders the broker holds and the exchange does not."""
        mine = [one for one in reports if one.tag in self.store.state.orders]
        for one in self._doubts.stuck(mine, now_ns, seconds(self.rules.stuck_s)):
            text = (
                f"{self.store.state.orders[one.tag or ''].leg} {one.tag} of {one.symbol} ({one.side} {one.quantity}) has "
                f"stood before the exchange for {self.rules.stuck_s:g} s ({one.status_text}); it is not sent again: look "
                "at it in the broker's app"
            )
            self.note(Noticed(level="error", text=text))

    def unresolved(self) -> tuple[Order, ...]:
        """Orders of which nobody knows whether the broker holds them, those in flight left out."""
        return tuple(
            order
            for order in self.store.state.open_orders
            if not order.order_id and order.tag not in self._flying
        )

    def misfits(self, order: Order) -> bool:
        """Whether what shall close a position stands in another product than the position."""
        belongs = self.products.of_next(order, self.store.state.orders.values(), self.reports)
        return order.leg != "entry" and self.products.of_order(order, self.reports) != belongs

    def doubtful_for(self, tag: str) -> int:
        """Nanoseconds since an answer about this tag was last awaited; 0 where it is in flight or new."""
        since = self._doubtful_since.get(tag)
        return 0 if since is None or tag in self._flying else self.clock.monotonic_ns() - since

    def _give_up(self, started: int, seen: set[str | None]) -> None:
        rules = self.rules
        for order in self.unresolved():
            since = self._doubtful_since.setdefault(order.tag, started)
            if order.tag not in seen and started - since >= seconds(rules.resolve_window_s):
                reason = f"absent from the order book for {rules.resolve_window_s:g} s"
                self.note(OrderNotSent(tag=order.tag, reason=reason))
        for order in self.store.state.open_orders:
            if not order.pending or not order.order_id or order.tag not in seen:
                continue
            since = self._doubtful_since.setdefault(order.tag, started)
            if started - since >= seconds(rules.request_window_s):
                self.note(
                    RequestAnswered(
                        tag=order.tag,
                        request="cancel" if order.pending == "cancel" else "modify",
                        outcome="refused",
                        reason=f"no effect after {rules.request_window_s:g} s",
                    )
                )

    # ---- writing ----

    def note(self, *facts: Fact) -> bool:
        """
        Write down what has happened; False if no disk took it.

        Then the log still holds the intent, which counts as perhaps sent until the book proves more.

        Raises
        ------
        StoreError
            If the lease is lost.
        EventRefusedError
            If it contradicts the log.
        """
        try:
            self.store.append_exit(*facts)
        except StoreError as error:
            if error.failure == "lost_lease":
                raise
            return False
        return True

    def _contradiction(self, fact: Mismatch) -> None:
        """Broker and log contradict each other about an order: tell once, stop entries."""
        if fact in self._told:
            return
        self._told.add(fact)
        self.note(fact)
        if STRICTNESS[self.store.state.latch.state] < STRICTNESS["REDUCING"]:
            try:
                self.store.set_latch("REDUCING", f"order {fact.key}: {fact.detail}", "gateway")
            except StoreError as error:
                if error.failure == "lost_lease":
                    raise  # while nothing can be written the latch reads HALTED anyway


def _words(error: BrokerError) -> str:
    return error.message or type(error).__name__
