"""For tests of the order path: virtual time, a broker in memory whose faults are scripted, one session's gateway."""

import asyncio
import datetime as dt
import sqlite3
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from store_facts import session

from engine.execution.risk import Limits
from engine.live.brokers.base import (
    BrokerAuth,
    BrokerBusy,
    BrokerRefused,
    BrokerUnknown,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Quote,
    TradeReport,
)
from engine.live.gateway import Gateway
from engine.live.orders.prechecks import Rails, Wish
from engine.live.orders.wire import Rules
from engine.live.store import Store

SYMBOL = "NIFTY24NOV2624000CE"
START_NS = 1_795_145_400_000_000_000
NS = 1_000_000_000
LOT, FREEZE = 65, 1800
RAILS = Rails(dt.date(2026, 11, 20), LOT, FREEZE, Limits(5, 3, 3, 2**62, 2**62), 10**12)
SPELLED = {OrderStatus.TRIGGER_PENDING: "TRIGGER PENDING", OrderStatus.PENDING: "PUT ORDER REQ RECEIVED"}


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nothing is left to do."""

    def __init__(self):
        super().__init__()
        self.now = 0.0

    def time(self):
        return self.now

    def _run_once(self):
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0]._when)
        super()._run_once()


class VirtualClock:
    """The loop's time; wall time is the same with another zero."""

    def monotonic_ns(self):
        return round(asyncio.get_running_loop().time() * NS)

    def wall_ns(self):
        return START_NS + self.monotonic_ns()

    async def sleep_ns(self, duration):
        await asyncio.sleep(duration / NS)


def run(coroutine):
    """Run to the end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(coroutine, 36_000))
    finally:
        loop.close()


@dataclass
class Held:
    """An order in the exchange's book."""

    order_id: str
    request: OrderRequest
    status: OrderStatus
    visible_ns: int
    filled: int = 0
    message: str = ""


class ScriptedBroker:
    """
    Orders, trades and quotes of one account.

    `place_faults`, `modify_faults`, `cancel_faults`, `read_faults` hold what happens to the next calls, in order:
    "" ok, "lost" done without an answer, "late" done, without an answer and shown 8 s later, "never" without an
    answer and not done, "busy" 429, "refuse", "auth", "stuck" accepted and never at the exchange, "reject" accepted
    then REJECTED (modify: acknowledged, the old numbers stand), "rest" rests although marketable, "part" fills one lot at once, "fill" (cancel) it fills instead; "part" (cancel) one lot fills first.
    """

    def __init__(self, clock, latency_s=0.05):
        self.clock = clock
        self.latency_ns = round(latency_s * NS)
        self.held = {}
        self.done = []
        self.calls = []
        self.bid, self.ask = 1990, 2000
        self.liquid = True
        self.max_modifies = 10_000
        self.place_faults, self.modify_faults = deque(), deque()
        self.cancel_faults, self.read_faults = deque(), deque()
        self.on_place = self.on_change = lambda _: None

    async def _answer(self, what):
        self.calls.append((self.clock.monotonic_ns(), what))
        await self.clock.sleep_ns(self.latency_ns)

    @staticmethod
    def _next(faults):
        return faults.popleft() if faults else ""

    @staticmethod
    def _fail(fault):
        if fault == "busy":
            raise BrokerBusy("Too many requests", 429)
        if fault == "refuse":
            raise BrokerRefused("Order rejected by the broker", 400)
        if fault == "auth":
            raise BrokerAuth("Token is invalid or has expired", 403)
        if fault == "never":
            raise BrokerUnknown("timed out")

    async def place(self, request):
        self.on_place(request)
        await self._answer("place")
        fault = self._next(self.place_faults)
        self._fail(fault)
        now = self.clock.monotonic_ns()
        order = Held(
            f"o{len(self.held) + 1}", request, OrderStatus.OPEN, now + (8 * NS if fault == "late" else 0)
        )
        self.held[order.order_id] = order
        if fault == "stuck":
            order.status = OrderStatus.PENDING
        elif fault == "reject":
            order.status, order.message = OrderStatus.REJECTED, "margin exceeds"
        elif fault == "part":
            self.fill(order, LOT)
        elif request.kind == "SL":
            order.status = OrderStatus.TRIGGER_PENDING
        elif fault != "rest":
            self.match(order)
        self.on_change(self)
        if fault in {"lost", "late"}:
            raise BrokerUnknown("Order request timed out. Please check the order book", 400)
        return order.order_id

    async def modify(self, order_id, request):
        await self._answer("modify")
        fault = self._next(self.modify_faults)
        self._fail(fault)
        order = self.held[order_id]
        if order.status.is_final or order.status == OrderStatus.PENDING:
            raise BrokerRefused("Order cannot be modified as it is being processed or completed", 400)
        modified = sum(1 for one in self.done if one == order_id)
        if modified >= self.max_modifies:
            raise BrokerRefused("Maximum allowed order modifications exceeded", 400)
        self.done.append(order_id)
        if fault == "reject":
            return  # acknowledged, then rejected by the exchange
        order.request = replace(request, tag=order.request.tag)
        order.status = OrderStatus.TRIGGER_PENDING if request.kind == "SL" else OrderStatus.OPEN
        if order.status == OrderStatus.OPEN and fault != "rest":
            self.match(order)
        self.on_change(self)
        if fault == "lost":
            raise BrokerUnknown("Gateway timed out", 504)

    async def cancel(self, order_id):
        await self._answer("cancel")
        fault = self._next(self.cancel_faults)
        self._fail(fault)
        order = self.held[order_id]
        if order.status.is_final:
            raise BrokerRefused("Order cannot be cancelled as it is completed", 400)
        if fault == "fill":
            self.fill(order, order.request.quantity - order.filled)
        elif order.status != OrderStatus.PENDING:
            if fault == "part":
                self.fill(order, LOT)
            order.status = OrderStatus.CANCELLED
        self.on_change(self)
        if fault == "lost":
            raise BrokerUnknown("Gateway timed out", 504)

    def match(self, order):
        buys, limit = order.request.side == "BUY", order.request.limit_ticks
        marketable = order.request.kind == "MARKET" or (limit >= self.ask if buys else limit <= self.bid)
        if self.liquid and marketable:
            self.fill(order, order.request.quantity - order.filled)

    def fill(self, order, quantity):
        """The exchange fills some of an order."""
        if quantity <= 0:
            return
        order.filled += quantity
        order.trades = [*getattr(order, "trades", []), quantity]
        whole = order.filled >= order.request.quantity
        order.status = OrderStatus.COMPLETE if whole else OrderStatus.OPEN
        self.on_change(self)

    async def orders(self):
        await self._answer("orders")
        self._fail(self._next(self.read_faults))
        now = self.clock.monotonic_ns()
        return [self._report(order) for order in self.held.values() if order.visible_ns <= now]

    def _report(self, order):
        r = order.request
        return OrderReport(
            order_id=order.order_id, tag=r.tag, symbol=r.symbol, side=r.side, quantity=r.quantity,
            filled=order.filled, average=Decimal("100.00") if order.filled else None, status=order.status,
            status_text=SPELLED.get(order.status, order.status.value), kind=r.kind, trigger_ticks=r.trigger_ticks,
            limit_ticks=r.limit_ticks, product=r.product, message=order.message, time_ns=1,
        )  # fmt: skip

    async def trades(self):
        await self._answer("trades")
        now = self.clock.monotonic_ns()
        return [
            TradeReport(f"{o.order_id}-{k}", o.order_id, o.request.symbol, o.request.side, quantity, 2000, 5)
            for o in self.held.values()
            if o.visible_ns <= now
            for k, quantity in enumerate(getattr(o, "trades", []))
        ]

    async def quotes(self, symbols):
        await self._answer("quote")
        return [Quote(symbol, 1995, self.bid, self.ask, 1, 1) for symbol in symbols]

    # ---- what the tests ask ----

    @property
    def net(self):
        return sum(o.filled * (1 if o.request.side == "BUY" else -1) for o in self.held.values())

    @property
    def open(self):
        return [o for o in self.held.values() if not o.status.is_final]

    def of(self, tag):
        return [order for order in self.held.values() if order.request.tag == tag]

    def order_calls(self):
        return [at for at, what in self.calls if what in {"place", "modify", "cancel"}]


class Desk:
    """A store, a broker and a gateway over them; `disk_fails` makes every commit fail."""

    def __init__(self, path, rules=None, rails=RAILS, **broker):
        self.path = Path(path)
        self.disk_fails = False
        self.clock = VirtualClock()
        self.broker = ScriptedBroker(self.clock, **broker)
        self.rules, self.rails = rules or Rules(), rails
        self.last = 1995
        self.store = None

    def _at(self, point):
        if self.disk_fails and point == "before commit":
            raise sqlite3.OperationalError("disk I/O error")

    async def start(self):
        """Open the store and recover, as after a crash."""
        if self.store is not None:
            self.store.close()
        self.store = Store.open(self.path, "AB1234", clock=self.clock.wall_ns, at=self._at)
        if self.store.state.today is None:
            self.store.append(session())
        self.gateway = Gateway(
            self.store, self.broker, self.clock, self.rails, lambda _: self.last, self.rules
        )
        self.doubtful = await self.gateway.recover()
        return self

    async def short(self, lots=1, position=1):
        """A filled short of `lots`, without a stop."""
        for sent in await self.gateway.place(entry(lots=lots, position=position)):
            order = self.broker.of(sent.tag)[0]
            self.broker.fill(order, order.request.quantity)
        await self.gateway.wire.look()

    @property
    def state(self):
        return self.store.state


@contextmanager
def closing_store(desk):
    try:
        yield desk
    finally:
        if desk.store is not None:
            desk.store.close()


def entry(lots=1, position=1, **given):
    told = {
        "slot": "CE", "leg": "entry", "reason": "entry", "symbol": SYMBOL, "side": "SELL", "order_type": "SL",
        "trigger": 1980, "limit": 1920, "conf_minute": 10, "swing_index": 7, "stop": 2200,
    }  # fmt: skip
    return Wish(position=position, quantity=lots * LOT, **{**told, **given})


def stop(lots=1, position=1, **given):
    told = {
        "slot": "CE", "leg": "stop", "reason": "stop", "symbol": SYMBOL, "side": "BUY", "order_type": "SL",
        "trigger": 2200, "limit": 2260,
    }  # fmt: skip
    return Wish(position=position, quantity=lots * LOT, **{**told, **given})


def moved(desk, tag, trigger, quantity=LOT, **given):
    """Ask for another trigger, its limit 60 ticks beyond."""
    asked = {"quantity": quantity, "trigger": trigger, "limit": trigger + 60, "order_type": "SL", **given}
    return desk.gateway.modify(tag, **asked)


async def protected(desk, lots=1):
    """A short with its stop standing; the stop's tag."""
    await desk.start()
    await desk.short(lots)
    (sent,) = await desk.gateway.place(stop(lots))
    await desk.gateway.wire.look()
    return sent.tag


def gaps(desk):
    """Watch every change at the exchange for a moment at which the short has too little protection."""
    found = []

    def check(broker):
        live = sum(o.request.quantity - o.filled for o in broker.open if o.request.side == "BUY")
        if -broker.net > live:
            found.append((broker.net, live))

    desk.broker.on_change = check
    return found
