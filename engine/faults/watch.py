"""What must hold, judged after every step from the exchange's own books and from the log.

The invariants of the reference `reliability`. Grace is counted only while something could have been done: the
process lives and has read the books, the broker can be reached, an intent can be written down; each process has
its own. An exit of unknown outcome may be waited for (rule R2), a stop may not.
"""

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from engine.execution.risk import UNLIMITED
from engine.faults.exchange import Held
from engine.live.brokers.base import OrderRequest, OrderStatus
from engine.live.log.state import Order, State

if TYPE_CHECKING:
    from engine.faults.world import World

NAKED_S = 60.0
"""So long a short may stand without a live stop or a marketable exit, while something could be done."""
DOUBT_S = 260.0
"""So long where an exit of unknown outcome is waited for: the window of rule R2 twice, and the steps around it."""
SURPLUS_S = 30.0
ORPHAN_S = 180.0
"""So long an order that buys may stand over less than it would buy: a lost cancel is asked for anew after 30 s,
and what others bought back is learnt by a comparison alone."""
PER_SECOND = 8
PER_MINUTE = 400
KITE_PER_SECOND = 10


class Violation(Exception):  # noqa: N818 - a finding
    """
    An invariant does not hold.

    Attributes
    ----------
    invariant, detail : str
    """

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail

    def __reduce__(self) -> tuple[type["Violation"], tuple[str, str]]:
        return Violation, (self.invariant, self.detail)


class Watch:
    """Judges one history; the first finding stands and ends it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.found: Violation | None = None
        self._sent: set[str] = set()
        self._calls: deque[float] = deque()
        self._in_life: deque[float] = deque()
        self._arrived: deque[float] = deque()
        self._fills = 0
        self._seq = 0
        self._last_s = 0.0
        self._naked: dict[str, float] = {}
        self._doubt: dict[str, float] = {}
        self._surplus: dict[str, float] = {}
        self._orphan: dict[str, float] = {}

    def find(self, invariant: str, detail: str) -> None:
        """Write down a finding and end the history."""
        if self.found is None:
            self.found = Violation(invariant, f"at {self._world.exchange.now_s:.2f} s: {detail}")
            self._world.say(f"VIOLATION {self.found}")
            self._world.end()

    # ---- what leaves a process ----

    def new_life(self) -> None:
        """A process starts; the rate of its calls and its grace are counted from here."""
        self._in_life.clear()
        self._naked.clear()
        self._doubt.clear()
        self._orphan.clear()
        self._surplus.clear()

    def leaves(self, request: OrderRequest, *, change: bool = False) -> None:
        """An order or a change is about to leave the process."""
        self.calls()
        state = self._world.log
        order = state.orders.get(request.tag)
        if order is None or (change and order.pending != "modify"):
            self.find("intent before I/O", f"{request.tag} leaves without an intent in the log")
            return
        if not change:
            if request.tag in self._sent:
                self.find("one order per intent", f"{request.tag} is sent a second time")
            self._sent.add(request.tag)
        if request.quantity > self._world.freeze:
            self.find("limits", f"{request.tag}: {request.quantity} units in one order")
        if order.leg == "entry":
            latch, today = self._world.latch, state.today
            if latch != "ACTIVE":
                self.find("latch", f"entry {request.tag} leaves while the latch is {latch}")
            if today is not None and today.latched:
                self.find("limits", f"entry {request.tag} leaves after {today.latched}")

    def calls(self) -> None:
        """An order call leaves."""
        now = self._world.exchange.now_s
        for times, most in ((self._calls, KITE_PER_SECOND), (self._in_life, PER_SECOND)):
            times.append(now)
            while times[0] <= now - 60:
                times.popleft()
            if len(times) > PER_MINUTE or sum(1 for t in times if t > now - 0.999) > most:
                self.find("order rate", f"more than {most} calls in a second or {PER_MINUTE} in a minute")

    def too_fast(self) -> bool:
        """Whether the broker turns away a call that arrives now."""
        now = self._world.exchange.now_s
        while self._arrived and self._arrived[0] <= now - 1:
            self._arrived.popleft()
        self._arrived.append(now)
        return len(self._arrived) > KITE_PER_SECOND

    def seen_slice(self, tag: str, fault: str) -> None:
        """Count what one slice of several met."""
        order = self._world.log.orders.get(tag)
        if order is None or order.slice < 2 or not fault:
            return
        self._world.weather.count(13)
        if fault in {"lost", "late", "never"} and self._part_stands(order):
            self._world.weather.count(16)

    def rejected(self, tag: str) -> None:
        """Count a margin that ran out behind a part that has filled."""
        order = self._world.log.orders.get(tag)
        if order is not None and (order.leg == "stop" or self._part_stands(order)):
            self._world.weather.count(8 if order.leg == "stop" else 15)

    def _part_stands(self, order: Order) -> bool:
        return any(
            held.filled or held.left
            for other in self._world.log.orders.values()
            if other.position == order.position and other.leg == order.leg and other.tag != order.tag
            for held in self._world.exchange.by_tag.get(other.tag, ())
        )

    # ---- what happens at the exchange, and in the log ----

    def changed(self, order: Held) -> None:
        """Something happened to an order."""
        self.step()
        if order.tag is None:
            return
        if len(self._world.exchange.by_tag[order.tag]) > 1:
            self.find("one order per intent", f"two orders carry the tag {order.tag}")
        if order.tag.startswith("E") and not order.status.is_final and not order.filled:
            self._limits()

    def committed(self, state: State) -> None:
        """The log has grown."""
        if state.seq < self._seq:
            self.find("log", f"seq fell from {self._seq} to {state.seq}")
        self._seq = state.seq
        orders = self._world.exchange.orders
        for fill in islice(state.fills.values(), self._fills, None):
            held = orders.get(fill.order_id)
            deals = {f"{fill.order_id}-{n}": deal for n, deal in enumerate(held.deals)} if held else {}
            deal = deals.get(fill.trade_id)
            if deal is None or deal.price != fill.price or fill.quantity > deal.quantity:
                self.find("each fill once", f"trade {fill.trade_id} of {fill.order_id} is not the exchange's")
        self._fills = len(state.fills)

    def step(self) -> None:
        """Judge what stands, and how long."""
        world = self._world
        exchange, log = world.exchange, world.log
        now = exchange.now_s
        passed = now - self._last_s if world.able else 0.0
        self._last_s = now
        for held in exchange.open:
            mine = log.orders.get(held.tag) if held.tag is not None else None
            if mine is not None and not mine.open:
                self.find(
                    "an order is over only when it is",
                    f"{held.tag} is {mine.status or mine.state} in the log and {held.status} at the exchange",
                )
        sold, bought = exchange.unseen(now, "SELL"), exchange.unseen(now, "BUY")
        for symbol, ours in exchange.ours.items():
            net = ours + sold.get(symbol, 0)
            short = -net - exchange.covered_by_others(symbol, net)
            self._judge_cover(symbol, short, passed)
            self._judge_orphans(symbol, short, passed)
            self._judge_surplus(symbol, net - bought.get(symbol, 0), passed)

    def _judge_surplus(self, symbol: str, surplus: int, passed: float) -> None:
        """More bought than was short, by orders that the book shows: what it does not show nobody can sell back."""
        if surplus <= 0:
            self._surplus[symbol] = 0.0
            return
        waits = self._exit_in_doubt(symbol) or self._sale_stuck(symbol)
        over = self._surplus.get(symbol, 0.0) + (0.0 if waits else passed)
        self._surplus[symbol] = over
        if over > SURPLUS_S:
            self.find("never more bought than was short", f"{symbol}: {surplus} units for {over:.0f} s")

    def _judge_cover(self, symbol: str, short: int, passed: float) -> None:
        world = self._world
        if short <= 0:
            self._naked[symbol] = self._doubt[symbol] = 0.0
            return
        price = world.exchange.price[symbol]
        live = sum(
            held.left
            for held in world.exchange.live_buys(symbol)
            if held.status == OrderStatus.TRIGGER_PENDING or held.request.limit_ticks >= price
        )
        if live >= short:
            self._naked[symbol] = self._doubt[symbol] = 0.0
            return
        waits = self._exit_in_doubt(symbol)
        naked = self._naked.get(symbol, 0.0) + (0.0 if waits else passed)
        self._naked[symbol] = naked
        doubt = self._doubt.get(symbol, 0.0) + passed
        self._doubt[symbol] = doubt
        if naked > NAKED_S or doubt > DOUBT_S:
            self.find(
                "a short has its stop",
                f"{symbol}: {short} units short, {live} covered, for {naked:.0f} s ({doubt:.0f} s with doubt)",
            )

    def _exit_in_doubt(self, symbol: str) -> bool:
        return any(
            order.symbol == symbol and order.leg == "exit" and not order.order_id
            for order in self._world.log.open_orders
        )

    def _sale_stuck(self, symbol: str) -> bool:
        """Whether a sale waits before the exchange: nothing ends it, and a second one could sell twice (fault 3)."""
        return any(
            held.tag is not None
            and held.status == OrderStatus.PENDING
            and (held.request.symbol, held.request.side) == (symbol, "SELL")
            for held in self._world.exchange.open
        )

    def _judge_orphans(self, symbol: str, short: int, passed: float) -> None:
        now = self._world.exchange.now_s
        standing = sum(
            held.left
            for held in self._world.exchange.live_buys(symbol)
            if held.visible_s <= now and held.status != OrderStatus.PENDING
        )
        orphan = self._orphan.get(symbol, 0.0) + passed if standing > max(short, 0) else 0.0
        self._orphan[symbol] = orphan
        if orphan > ORPHAN_S:
            self.find(
                "nothing stands over a flat position",
                f"{symbol}: orders buy {standing}, {max(short, 0)} are short, for {orphan:.0f} s",
            )

    def uncovered(self) -> bool:
        """Whether something is short without a live stop right now."""
        exchange = self._world.exchange
        return any(
            net < 0 and sum(held.left for held in exchange.live_buys(symbol)) < -net
            for symbol, net in exchange.ours.items()
        )

    def _limits(self) -> None:
        """Positions that are open or may open by an entry that stands at the exchange."""
        world = self._world
        kinds: dict[int, str] = {}
        units: dict[int, int] = {}
        for tag, held in world.exchange.by_tag.items():
            order = world.log.orders.get(tag)
            if order is None:
                continue
            for one in held:
                if order.leg == "entry":
                    units[order.position] = units.get(order.position, 0) + one.filled + one.left
                    if one.left:
                        kinds[order.position] = order.slot
        for row in world.log.open_positions:
            if world.exchange.ours[row.symbol] < 0:
                kinds[row.position] = row.slot
        limits = world.plan.limits
        slots = list(kinds.values())
        for name, count, most in (
            ("positions", len(slots), limits.positions),
            ("CE positions", slots.count("CE"), limits.ce_positions),
            ("PE positions", slots.count("PE"), limits.pe_positions),
            ("units", max(units.values(), default=0), world.plan.rules.max_lots * world.lot),
        ):
            if count > most and most != UNLIMITED:
                self.find("limits", f"{count} {name} open or reserved, {most} allowed")

    # ---- what was proved, and the end ----

    def proved_flat(self, who: str) -> None:
        """Somebody says that the broker proves flat."""
        exchange = self._world.exchange
        held = {symbol: net for symbol, net in exchange.ours.items() if self._world.owned(symbol)}
        mine = [held.tag for held in exchange.open if held.tag is not None]
        if held or mine:
            self.find("flat is proved by the broker", f"{who} says flat: held {held}, open {mine}")

    def ended(self) -> None:
        """The day is over, all faults too: log and exchange agree."""
        self.proved_flat("the end of the day")
        state, exchange = self._world.log, self._world.exchange
        for tag, (held, *_) in exchange.by_tag.items():
            order = state.orders.get(tag)
            if order is None or order.booked != held.filled:
                booked = order.booked if order else 0
                self.find(
                    "the sum of our fills", f"{tag}: {booked} units in the log, {held.filled} at the exchange"
                )
        for order in state.open_orders:
            self.find("no open order at the end", f"{order.tag} is {order.state} in the log")
        for row in state.open_positions:
            self.find("no open position at the end", f"position {row.position} holds {row.net} in the log")
