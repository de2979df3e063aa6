"""Broker against log: what stands, what is held, what somebody else did; at the start, every minute, after doubt.

The broker's quantity is truth, the log says what is ours. Nothing is concluded from a read that failed, nor from a
position list that leaves out a symbol in which we traded (unknown is not flat). What differs must differ again after
a grace, as books and positions at a broker lag behind one another. What others did in our symbols is told, stops
entries, and is never flattened; where it bought back what we were short, our position has ended at that price. What
a person has converted to another product stays ours, and is closed in that product (`orders.products`).
Rules R5 and R6, faults 18 to 20 of the reference `reliability`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.live.brokers.base import BrokerAuth, BrokerError, BrokerUnknown, OrderReport, TradeReport
from engine.live.clocks import seconds
from engine.live.decisions.session_inputs import BrokerSnapshot, Command
from engine.live.decisions.telling import leg_update, takes_back
from engine.live.log.events import Mismatch, OutsideFill, ReconcileDone
from engine.live.log.state import fill_key
from engine.live.orders.prechecks import exposure, reducing

if TYPE_CHECKING:
    from engine.live.trader import Trader

LAG_S = 3.0
"""What differs is looked at again after so long before it counts."""
LOOKS = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    How a comparison ended.

    Attributes
    ----------
    known : bool
        The broker answered wholly; False proves nothing.
    mismatches : int
        Things in which broker and log differ, after the grace.
    detail : str
        Why it is not known, or the first difference; "" when all is well.
    """

    known: bool
    mismatches: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Books:
    """One consistent reading; quantities in units, negative = short, by symbol."""

    net: dict[str, int]  # as the broker lists it
    foreign: dict[str, int]  # by orders that are not ours, less what was adopted
    outside: tuple[TradeReport, ...]
    strangers: tuple[OrderReport, ...]


class Reconciler:
    """Compares on behalf of one trader."""

    def __init__(self, trader: "Trader") -> None:
        self._trader = trader
        self._told: set[tuple[str, str, str]] = set()
        self._converted: set[str] = set()  # told already
        self._unfit: set[int] = set()  # positions whose stop stands in another product, told already

    async def compare(self) -> Comparison:
        """
        Read both sides until they agree or the grace is over; write down and act upon what differs.

        Raises
        ------
        StoreError
            If the lease is lost.
        """
        trader = self._trader
        started = trader.clock.monotonic_ns()
        try:
            books, differing = await self._until_equal()
        except BrokerAuth as error:
            trader.lost_login(error.message)
            return Comparison(False, 0, error.message)
        except BrokerError as error:
            return Comparison(False, 0, str(error))
        strangers = self._tell_strangers(books.strangers)
        self._tell_differences(differing)
        converted = self._tell_converted(stop_entries=True)
        self._snapshot(differing, books)
        await self._refit()
        await self._sweep()
        trader.gateway.wire.note(
            ReconcileDone(
                orders=sum(1 for order in trader.store.state.open_orders if order.order_id),
                positions=len(self._ours()),
                mismatches=len(differing) + strangers + converted,
                took_ms=(trader.clock.monotonic_ns() - started) // 1_000_000,
            )
        )
        detail = "; ".join(
            f"{name}: broker {theirs}, log {ours}" for name, (ours, theirs) in differing.items()
        )
        return Comparison(True, len(differing) + strangers + converted, detail)

    async def _until_equal(self) -> tuple[_Books, dict[str, tuple[int, int]]]:
        """
        The last reading and what differs in it.

        Raises
        ------
        BrokerError
            If the broker could not be asked, or its answers cannot be believed yet.
        """
        unsure = BrokerUnknown("the broker's books do not come to rest")
        result: tuple[_Books, dict[str, tuple[int, int]]] | None = None
        for look in range(LOOKS):
            if look:
                await self._trader.clock.sleep_ns(seconds(LAG_S))
            books = await self._read()
            if books is None:
                result = None
                continue
            self._adopt(books)
            self._trader.tell_new()
            unlisted = [symbol for symbol in self._traded() if symbol not in books.net]
            if unlisted:
                unsure = BrokerUnknown(f"positions leave out {', '.join(unlisted)}, in which we traded")
                result = None
                continue
            result = (books, self._differing(books))
            if not result[1]:
                break
        if result is None:
            raise unsure
        return result

    async def proves_flat(self) -> bool:
        """Whether orders, trades and positions of the broker all show that nothing of ours is left."""
        try:
            books = await self._read()
        except BrokerError:
            return False
        if books is None:
            return False
        self._adopt(books)
        self._trader.tell_new()
        self._tell_converted(stop_entries=False)
        state = self._trader.store.state
        if self._ours() or state.open_orders or any(o.filled > o.booked for o in state.orders.values()):
            return False  # held, standing, or filled by trades that no book shows yet
        return all(
            symbol in books.net and books.net[symbol] == books.foreign.get(symbol, 0)
            for symbol in self._traded()
        )

    # ---- reading ----

    async def _read(self) -> _Books | None:
        """Positions between two equal readings of orders and trades; None if something moved meanwhile."""
        trader = self._trader
        wire = trader.gateway.wire
        await wire.look()
        before = self._moved()
        positions = await wire.broker.positions()
        await wire.look()
        trader.login_lost = False
        trader.tell_new()
        if self._moved() != before:
            return None
        symbols = self._symbols()
        net: dict[str, int] = {}
        other: dict[str, int] = {}
        for row in positions:
            if row.symbol in symbols:
                held = net if row.product == wire.products.own else other
                held[row.symbol] = held.get(row.symbol, 0) + row.quantity
        self._judge_products(net, other)
        for symbol in wire.products.converted - wire.products.split:
            net[symbol] = net.get(symbol, 0) + other.get(symbol, 0) - wire.products.carried(symbol)
        for symbol in self._closed_elsewhere() & other.keys():
            net.setdefault(symbol, 0)  # a row that is flat may be left out
        return self._beside(net)

    def _closed_elsewhere(self) -> set[str]:
        """Symbols in which orders of ours went out in the other product: what was converted there was closed there."""
        wire = self._trader.gateway.wire
        closing = [order for order in self._trader.store.state.orders.values() if order.leg != "entry"]
        return {o.symbol for o in closing if wire.products.of_order(o, wire.reports) == wire.products.other}

    def _judge_products(self, net: dict[str, int], other: dict[str, int]) -> None:
        """Whether what we are short stands in another product than the one it was sold in."""
        products, ours, strangers = self._trader.gateway.wire.products, self._ours(), self._strangers()
        for symbol in self._symbols():
            theirs = {
                product: self._foreign(symbol, strangers, {product})
                for product in (products.own, products.other)
            }
            held = ours.get(symbol, 0)
            missing = net.get(symbol, 0) - held - theirs[products.own]
            products.judge(symbol, held, missing, other.get(symbol, 0) - theirs[products.other])

    def adopt(self) -> None:
        """Take in what others have bought back, by the order and trade books as they were read last."""
        self._adopt(self._beside({}))

    def _beside(self, net: dict[str, int]) -> _Books:
        """What others did in our symbols, beside these positions."""
        wire = self._trader.gateway.wire
        strangers = self._strangers()
        counted = {
            report.order_id
            for report in strangers
            if report.product == wire.products.own or report.symbol in wire.products.converted
        }
        outside = tuple(trade for trade in wire.trades if trade.order_id in counted)
        foreign: dict[str, int] = {}
        for trade in outside:
            foreign[trade.symbol] = foreign.get(trade.symbol, 0) + _left(trade, self._adopted(trade))
        return _Books(net, foreign, outside, strangers)

    def _strangers(self) -> tuple[OrderReport, ...]:
        """Orders in our symbols that are not ours."""
        log, symbols = self._trader.store.state, self._symbols()
        ours = {order.order_id for order in log.orders.values() if order.order_id}
        return tuple(
            report
            for report in self._trader.gateway.wire.reports
            if report.symbol in symbols
            and (report.tag or "") not in log.orders
            and report.order_id not in ours
        )

    def _foreign(self, symbol: str, strangers: Sequence[OrderReport], products: Collection[str]) -> int:
        """Units by which others changed these products of a symbol today, less what was adopted."""
        ids = {one.order_id for one in strangers if one.symbol == symbol and one.product in products}
        trades = self._trader.gateway.wire.trades
        return sum(_left(trade, self._adopted(trade)) for trade in trades if trade.order_id in ids)

    def _symbols(self) -> set[str]:
        trader = self._trader
        return set(trader.plan.symbols) | {row.symbol for row in trader.store.state.positions.values()}

    def _moved(self) -> tuple[int, ...]:
        """Changes with every fill that either book tells."""
        wire = self._trader.gateway.wire
        return (len(wire.trades), sum(report.filled for report in wire.reports))

    def _traded(self) -> list[str]:
        """Symbols in which we have a fill today."""
        state = self._trader.store.state
        today = state.today.date if state.today else ""
        return sorted({row.symbol for row in state.positions.values() if row.date == today})

    def _ours(self) -> dict[str, int]:
        """What the log says that we hold."""
        state = self._trader.store.state
        held: dict[str, int] = {}
        for number in self._positions():
            symbol = next(o.symbol for o in state.orders.values() if o.position == number)
            held[symbol] = held.get(symbol, 0) + exposure(state, number)
        return {symbol: units for symbol, units in held.items() if units}

    def _positions(self) -> Iterable[int]:
        return sorted({order.position for order in self._trader.store.state.orders.values()})

    def _adopted(self, trade: TradeReport) -> int:
        fill = self._trader.store.state.fills.get(fill_key(trade.order_id, trade.trade_id))
        return fill.quantity if fill is not None else 0

    # ---- judging ----

    def _differing(self, books: _Books) -> dict[str, tuple[int, int]]:
        """Symbols in which the broker holds something else than we and the others together: ours, theirs."""
        ours = self._ours()
        return {
            symbol: (ours.get(symbol, 0) + books.foreign.get(symbol, 0), books.net.get(symbol, 0))
            for symbol in sorted(ours.keys() | books.net.keys() | books.foreign.keys())
            if ours.get(symbol, 0) + books.foreign.get(symbol, 0) != books.net.get(symbol, 0)
        }

    def _adopt(self, books: _Books) -> None:
        """Somebody else (the broker's square-off, a person in the app) bought back what we were short."""
        trader = self._trader
        for symbol, foreign in sorted(books.foreign.items()):
            units = min(foreign, -self._ours().get(symbol, 0))
            for trade in reversed(books.outside):
                if units <= 0 or trade.symbol != symbol or trade.side != "BUY" or self._adopted(trade):
                    continue
                for number in self._positions():
                    held = self._held(number, symbol)
                    if not held or self._adopted(trade):
                        continue
                    taken = min(units, trade.quantity, held)
                    units -= taken
                    books.foreign[symbol] -= taken
                    fact = OutsideFill(
                        position=number, order_id=trade.order_id, trade_id=trade.trade_id, symbol=symbol,
                        side="BUY", quantity=taken, price=trade.price_ticks, time_ns=trade.time_ns,
                    )  # fmt: skip
                    if trader.gateway.wire.note(fact):
                        trader.alert(
                            "error",
                            f"{symbol}: {taken} units of position {number} were bought back by an order that is not "
                            f"ours ({trade.order_id})",
                        )

    def _held(self, number: int, symbol: str) -> int:
        state = self._trader.store.state
        row = state.positions.get(number)  # none while its trades are on their way
        return max(-exposure(state, number), 0) if row is not None and row.symbol == symbol else 0

    # ---- telling ----

    def _tell_strangers(self, strangers: tuple[OrderReport, ...]) -> int:
        fresh = 0
        for report in strangers:
            told = ("external", report.order_id, "")
            if told in self._told:
                continue
            self._told.add(told)
            fresh += 1
            detail = f"{report.side} {report.quantity} {report.symbol} {report.status.value}, not ours"
            self._stop_entries(
                Mismatch(
                    subject="external", key=report.order_id, ours="", theirs=report.tag or "", detail=detail
                ),
                f"an order in our contracts that is not ours: {detail}",
            )
        return fresh

    def _tell_differences(self, differing: dict[str, tuple[int, int]]) -> None:
        for symbol, (ours, theirs) in differing.items():
            told = (symbol, str(ours), str(theirs))
            if told in self._told:
                continue
            self._told.add(told)
            self._stop_entries(
                Mismatch(
                    subject="position",
                    key=symbol,
                    ours=str(ours),
                    theirs=str(theirs),
                    detail="after the grace",
                ),
                f"{symbol}: broker holds {theirs}, log {ours}",
            )

    def _tell_converted(self, *, stop_entries: bool) -> int:
        """Tell, once, what a person has converted to another product; how many symbols that are."""
        trader, products = self._trader, self._trader.gateway.wire.products
        fresh = sorted(products.converted - self._converted)
        self._converted = set(products.converted)
        for symbol in fresh:
            words = (
                f"{symbol}: the short was converted from {products.own} to {products.other} by hand; its stop and "
                f"exits go out as {products.other}, and the broker will not square it off"
            )
            if stop_entries:
                fact = Mismatch(
                    subject="position", key=symbol, ours=products.own, theirs=products.other,
                    detail="converted by hand",
                )  # fmt: skip
                self._stop_entries(fact, words)
            else:
                trader.alert("error", words)
        return len(fresh)

    def _stop_entries(self, fact: Mismatch, words: str) -> None:
        trader = self._trader
        trader.gateway.wire.note(fact)
        trader.alert("error", f"{words}; entries are stopped")
        if trader.state.latch == "ACTIVE":
            trader.tell(Command("pause", "reconcile", words))

    def _snapshot(self, differing: dict[str, tuple[int, int]], books: _Books) -> None:
        """Let the session see what stands; it asks for what protects and is missing."""
        trader = self._trader
        log = trader.store.state
        now = trader.state.now_ns
        mine = [
            o
            for o in log.orders.values()
            if o.position in trader.state.entries  # of today
            and not takes_back(o)
            and not (o.leg == "entry" and trader.changing(o.position))
        ]
        legs = {(o.position, o.leg): o for o in mine}
        known = {(o.position, o.leg) for o in mine if o.order_id or not o.open}
        orders = tuple(leg_update(log, order, now) for leg, order in legs.items() if leg in known)
        places = {symbol: place for place, symbol in enumerate(trader.plan.symbols)}
        held = {
            symbol: units if symbol in differing else books.net[symbol] - books.foreign.get(symbol, 0)
            for symbol, units in self._ours().items()
        }
        net = tuple((places[symbol], units) for symbol, units in held.items() if symbol in places)
        trader.tell(BrokerSnapshot(orders, net))

    async def _refit(self) -> None:
        """What stands in another product than its position is replaced; the old stop stands until the new one does."""
        trader = self._trader
        state, wire = trader.store.state, trader.gateway.wire
        positions = {order.position for order in state.open_orders if order.order_id and wire.misfits(order)}
        for number in sorted(positions):
            if not exposure(state, number) or trader.exiting(number):
                continue  # the ladder replaces its own, `_sweep` withdraws what nothing is held for
            try:
                sent = await trader.gateway.refit(number)
            except BrokerAuth as error:
                trader.lost_login(error.message)
                return
            failed = next((one for one in sent if one.outcome != "confirmed"), None)
            if failed is None:
                self._unfit.discard(number)
            elif number not in self._unfit:
                self._unfit.add(number)
                text = f"position {number}: its stop could not be placed in the product of the position yet"
                trader.alert("error", f"{text} ({failed.reason}); convert the position back, or close it")
            trader.tell_new()

    async def _sweep(self) -> None:
        """Every open stop and exit needs something to take off, every entry a slot: the others are withdrawn."""
        trader = self._trader
        wanted = {slot.entry.position for slot in trader.state.slots if slot.entry is not None}
        for order in trader.store.state.open_orders:
            if order.leg != "entry" or order.position in wanted or not order.order_id:
                continue
            try:
                await trader.gateway.cancel(order.tag, "no slot wants it", prove=False)
            except BrokerAuth as error:
                trader.lost_login(error.message)
                return
        for number in self._positions():
            state = trader.store.state
            surplus = sum(o.reserved for o in reducing(state, number)) - abs(exposure(state, number))
            if surplus <= 0 or trader.exiting(number):
                continue
            try:
                await trader.gateway.trim(number)
            except BrokerAuth as error:
                trader.lost_login(error.message)
                return
            trader.tell_new()


def _left(trade: TradeReport, adopted: int) -> int:
    """What a foreign trade still adds to the net of its symbol."""
    units = trade.quantity - adopted
    return units if trade.side == "BUY" else -units
