"""One process's line to the broker: latency, lost answers, refusals, outages; what arrived stays arrived."""

import asyncio
import datetime as dt
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from engine.faults.exchange import Held
from engine.live.brokers.base import (
    BrokerAuth,
    BrokerBusy,
    BrokerRefused,
    BrokerUnknown,
    Contract,
    ContractMismatchError,
    MarginReport,
    OrderReport,
    OrderRequest,
    OrderStatus,
    PositionReport,
    Quote,
    TradeReport,
)

if TYPE_CHECKING:
    from engine.faults.virtual import Fate
    from engine.faults.world import World

_T = TypeVar("_T")
_R = TypeVar("_R", OrderReport, TradeReport)
TIMEOUT_S = 7.0
KITE_PER_SECOND = 10


class Line:
    """
    A broker as the process of one life reaches it (`engine.live.brokers.base.Broker`).

    Parameters
    ----------
    world : World
    fate : Fate
        Of the process: its death does not call back what it has sent.
    """

    def __init__(self, world: "World", fate: "Fate") -> None:
        self._world = world
        self._fate = fate
        self._weather = world.weather
        self._exchange = world.exchange

    # ---- writes ----

    async def place(self, request: OrderRequest) -> str:
        """Send an order."""
        self._die_before(request)
        self._world.watch.leaves(request)
        world, weather = self._world, self._weather

        async def work() -> str:
            fault = await self._arrives("place")
            world.watch.seen_slice(request.tag, fault)
            if fault in {"busy", "refuse", "never"}:
                self._fails(fault, request.tag)
            hidden = 0.0
            if fault == "late":
                hidden = weather.draw.uniform(8, 85)
                weather.count(2)
            order = self._exchange.place(request, hidden_s=hidden)
            if fault == "stuck":
                weather.count(3)
                self._exchange.stick(order)
                world.later(weather.draw.uniform(5, 85), lambda: self._unstick(order))
            elif fault == "reject":
                self._exchange.end(order, OrderStatus.REJECTED, "Insufficient funds")
                world.watch.rejected(request.tag)
            else:
                self._exchange.begin(order)
                if request.tag.startswith("S") and order.status == OrderStatus.REJECTED:
                    weather.count(8)
            if fault == "lost":
                weather.count(1)
            if fault in {"lost", "late"}:
                raise BrokerUnknown("Order request timed out. Please check the order book", 400)
            return order.order_id

        return await self._sent("place", request.tag, work)

    async def modify(self, order_id: str, request: OrderRequest) -> None:
        """Change an order."""
        self._fate.at("before a modify leaves")
        self._world.watch.leaves(request, change=True)

        async def work() -> None:
            fault = await self._arrives("modify")
            if fault in {"busy", "refuse", "never"}:
                self._fails(fault, request.tag)
            order = self._exchange.orders[order_id]
            self._races(order, fault)
            if fault == "reject":  # acknowledged, then rejected by the exchange: the old numbers stand
                self._weather.count(11)
                return
            try:
                self._exchange.modify(order, request)
            except BrokerRefused:
                self._weather.count(11)
                raise
            if fault == "lost":
                raise BrokerUnknown("Gateway timed out", 504)

        await self._sent("modify", request.tag, work)

    async def cancel(self, order_id: str) -> None:
        """Ask for a cancel."""
        self._fate.at("before a cancel leaves")
        order = self._exchange.orders[order_id]
        self._world.watch.calls()

        async def work() -> None:
            fault = await self._arrives("cancel")
            if fault in {"busy", "refuse", "never"}:
                self._fails(fault, order.tag or "")
            if self._races(order, fault):
                self._weather.count(12)
            if order.left and not self._weather.calm and self._weather.draw.random() < 0.3:
                self._world.later(self._weather.draw.uniform(0.1, 3), lambda: self._cancel_late(order))
            elif order.left:
                self._exchange.cancel(order)
            elif fault not in {"fill", "part"}:
                raise BrokerRefused("Order cannot be cancelled as it is completed", 400)
            if fault == "lost":
                raise BrokerUnknown("Gateway timed out", 504)

        await self._sent("cancel", order.tag or "", work)

    # ---- reads ----

    async def orders(self) -> list[OrderReport]:
        """The order book; now and then one that leaves out what it held before."""
        fault = await self._read("orders")
        book = self._exchange.order_book()
        if fault == "short":
            return []  # an empty answer where there is something
        return await self._told(book)

    async def trades(self) -> list[TradeReport]:
        """The trade book."""
        await self._read("trades")
        return await self._told(self._exchange.trade_book())

    async def positions(self) -> list[PositionReport]:
        """Net positions; now and then none, or those of a moment ago."""
        fault = await self._read("positions")
        lag = 0.0 if self._weather.calm else self._weather.draw.choice([0.0, 0.0, 1.0, 2.5])
        return [] if fault == "short" else self._exchange.position_list(lag)

    async def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """Quotes one tick around the price."""
        await self._read("quotes")
        price, now = self._exchange.price, self._world.machine.true_ns()
        return [Quote(s, price[s], max(price[s] - 1, 1), price[s] + 1, 1, now) for s in symbols]

    async def connect(self) -> str:
        """The account."""
        await self._read("connect")
        return self._world.account

    async def close(self) -> None:
        """Nothing is held."""

    async def instruments(self, underlying: str, expiry: dt.date | None = None) -> list[Contract]:
        """The contracts of the day, with their lot as the broker lists it."""
        await self._read("instruments")
        world, market = self._world, self._exchange.market
        if world.listed_lot != world.lot:
            raise ContractMismatchError(
                f"{underlying} {expiry}: the broker lists a lot of {world.listed_lot}, our tables {world.lot}"
            )
        return [
            Contract(symbol, n, underlying, world.plan.expiry, int(market.strike[n]),
                     "CE" if market.is_call[n] else "PE", world.lot)
            for n, symbol in enumerate(market.symbols)
        ]  # fmt: skip

    async def margin(self, requests: Sequence[OrderRequest]) -> MarginReport:
        """Enough."""
        await self._read("margin")
        return MarginReport(len(requests), len(requests), 10**12)

    # ---- inside ----

    def _die_before(self, request: OrderRequest) -> None:
        alive = not self._fate.dead_at
        try:
            self._fate.at(f"before {request.tag} leaves", 2.0)
        finally:
            if alive and self._fate.dead_at:
                self._weather.count(4)

    async def _sent(self, what: str, tag: str, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Let the request go its way whatever becomes of the process."""
        self._world.say(f"{what} {tag}")
        task = self._world.start(work())
        try:
            result = await asyncio.shield(task)
        finally:
            self._world.say(f"{what} {tag} -> {_ending(task)}")
        self._fate_after(tag)
        await asyncio.sleep(self._weather.travel_s())
        self._fate_after(tag)
        return result

    def _fate_after(self, tag: str) -> None:
        alive = not self._fate.dead_at
        try:
            self._fate.at(f"after {tag} arrived", 1.0)
        finally:
            if alive and self._fate.dead_at:
                self._weather.count(5)

    async def _arrives(self, what: str) -> str:
        """
        The way to the broker; the fault that this call meets there.

        Raises
        ------
        BrokerError
            If it never gets there, or is turned away at the door.
        """
        weather = self._weather
        await asyncio.sleep(weather.travel_s())
        await self._door()
        if what in {"place", "modify", "cancel"} and self._world.watch.too_fast():
            raise BrokerBusy("Too many requests", 429)
        return weather.call(what)

    async def _door(self) -> None:
        weather, now = self._weather, self._exchange.now_s
        if weather.is_on("network", now):
            weather.count_spell(34, "network", now)
            await asyncio.sleep(weather.draw.choice([0.0, TIMEOUT_S]))
            raise BrokerUnknown("no route to the broker")
        if weather.is_on("login", now):
            weather.count_spell(32, "login", now)
            raise BrokerAuth("Incorrect `api_key` or `access_token`.", 403)

    async def _read(self, what: str) -> str:
        self._fate.at(f"before {what} are asked", 0.1)
        fault = await self._arrives("read")
        if fault == "busy":
            raise BrokerBusy("Too many requests", 429)
        if fault == "never":
            await asyncio.sleep(TIMEOUT_S)
            raise BrokerUnknown("Read timed out")
        if fault == "slow":
            await asyncio.sleep(self._weather.draw.uniform(1, 6))
        self._fate.at(f"after {what} were told", 0.1)
        return fault

    async def _told(self, book: list[_R]) -> list[_R]:
        """Now and then the answer is under way for a while, and the world goes on."""
        if not self._weather.calm and self._weather.draw.random() < 0.25:
            await asyncio.sleep(self._weather.travel_s())
        return book

    def _fails(self, fault: str, tag: str) -> None:
        if fault == "busy":
            if not tag.startswith("E"):
                self._weather.count(14)
            raise BrokerBusy("Too many requests", 429)
        if fault == "refuse":
            if tag.startswith("S"):
                self._weather.count(8)
            raise BrokerRefused("Order rejected by the broker's risk system", 400)
        raise BrokerUnknown("connection reset")

    def _races(self, order: Held, fault: str) -> bool:
        """Now and then the order fills while a request about it is on its way."""
        if fault not in {"fill", "part"} or order.status == OrderStatus.PENDING or not order.left:
            return False
        price = order.request.trigger_ticks or self._exchange.price[order.request.symbol]
        self._exchange.fill(order, price, order.left if fault == "fill" else self._exchange.lot)
        return True

    def _cancel_late(self, order: Held) -> None:
        """A cancel takes effect some time after it was acknowledged; a fill may win."""
        if order.left:
            self._exchange.cancel(order)
        else:
            self._weather.count(12)

    def _unstick(self, order: Held) -> None:
        if order.status == OrderStatus.PENDING:
            if self._weather.draw.random() < 0.3:
                self._exchange.end(order, OrderStatus.REJECTED, "Rejected at the exchange")
            else:
                self._exchange.begin(order)


def _ending(task: "asyncio.Future[_T]") -> str:
    if not task.done():
        return "no answer seen"
    error = task.exception()
    return f"{type(error).__name__}: {error}" if error else f"{task.result() or 'done'}"
