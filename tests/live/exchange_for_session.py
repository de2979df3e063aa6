"""A day and an exchange around one session: no latency, fills by `execution.matching` on the moments of bar_path.

Requests for entry orders arrive before the next moment, stops stand at once, exits fill at the price of their
moment: what the backtest assumes of an exchange, without any of its decisions.
"""

from dataclasses import dataclass, replace

from engine.execution.bar_path import MINUTE_MS, MOMENT_MS, MOMENTS, price_at
from engine.execution.matching import BUY, SELL, UNFILLED, inside_bar, slipped, stop_limit_fill
from engine.live.decisions.session_inputs import (
    Bar,
    BarsClosed,
    OrderUpdate,
    Quotes,
    RequestRefused,
    Timer,
    Trade,
)
from engine.live.decisions.session_intents import (
    CancelOrder,
    ExitPosition,
    ModifyEntry,
    PlaceEntry,
    PlaceStop,
    Record,
    ReplaceStop,
)
from engine.live.decisions.session_state import new_state, plan_for
from engine.live.log.events import DayLatched, DecisionMade
from engine.live.session import step
from engine.strategy.predicates import compile_all, load_filter

OPEN_NS = 1_800_000_000_000_000_000
MS = 1_000_000


def plan_of(bars, params, filters=()):
    """The plan of a stored day."""
    predicates = compile_all([*(load_filter(name) for name in params.filters), *filters])
    return plan_for(
        params, date=bars.date, expiry=bars.expiry, open_ns=OPEN_NS, open_minute=bars.open_minute,
        minutes=bars.minutes, lot_size=bars.lot_size, symbols=bars.symbols, strike=bars.strike,
        is_call=bars.is_call, predicates=predicates,
    )  # fmt: skip


def closed(bars, minute, **more):
    """BarsClosed of one minute of a stored day."""
    made = tuple(
        Bar(c, *(int(getattr(bars, name)[c, minute]) for name in ("open", "high", "low", "close", "volume")))
        for c in range(bars.contracts)
        if bars.valid[c, minute]
    )
    return BarsClosed(minute, made, **more)


@dataclass
class Resting:
    """An order at the exchange."""

    position: int
    kind: int
    contract: int
    quantity: int
    trigger: int
    limit: int
    triggered: bool = False


class Exchange:
    """Plays a day against a session and keeps what it decided, asked and was told."""

    def __init__(self, bars, params, filters=()):
        self.bars = bars
        self.path = {"worst": 0, "high_first": 1, "nearest_first": 2}[params.bar_path]
        self.slip = (int(params.slippage_rupees * 20), int(params.slippage_percent * 100))
        self.state = new_state(plan_of(bars, params, filters))
        self.entries = {}
        self.stops = {}
        self.exits = {}
        self.arriving = []
        self.last = {}
        self.decisions = []
        self.latched = []
        self.alerts = []
        self.log = []  # every event given to the session
        self.trade_ids = 0
        self.ms = 0

    def tell(self, event):
        """Give the session an event and carry out what it asks for."""
        self.log.append(event)
        for intent in step(self.state, event):
            self.carry_out(intent)

    def carry_out(self, intent):
        match intent:
            case PlaceEntry() | ModifyEntry():
                self.arriving.append(intent)
            case CancelOrder(leg="entry"):
                self.arriving.append(intent)
            case CancelOrder(leg="stop"):
                self.stops.pop(intent.position, None)
            case CancelOrder(leg="exit"):
                self.exits.pop(intent.position, None)
            case PlaceStop() | ReplaceStop():
                self.stops[intent.position] = Resting(
                    intent.position, 0, intent.contract, intent.quantity, intent.trigger, intent.limit
                )
                self.report(self.stops[intent.position], "stop", "stands")
            case ExitPosition():
                self.exits[intent.position] = intent
            case Record(fact=DecisionMade()):
                self.decisions.append(intent.fact)
            case Record(fact=DayLatched()):
                self.latched.append(intent.fact)
            case Record():
                pass
            case _:
                self.alerts.append(intent)

    @property
    def now_ns(self):
        return OPEN_NS + self.ms * MS

    def report(self, order, leg, status, filled=0):
        self.tell(OrderUpdate(order.position, leg, status, order.quantity, order.trigger, order.limit, filled,
                              self.now_ns))  # fmt: skip

    def trade(self, order, leg, quantity, price):
        self.trade_ids += 1
        self.tell(Trade(f"T{self.trade_ids}", order.position, leg, quantity, price, self.now_ns))

    def arrive(self):
        """What was asked about entry orders takes effect."""
        while self.arriving:
            asked = self.arriving.pop(0)
            standing = self.entries.get(asked.position)
            match asked:
                case CancelOrder():
                    if standing is None:
                        self.tell(RequestRefused(asked.position, "entry", "cancel", "no such order"))
                        continue
                    del self.entries[asked.position]
                    self.report(standing, "entry", "ended")
                case PlaceEntry():
                    if asked.trigger >= self.last.get(asked.contract, 2**31 - 1):
                        self.tell(RequestRefused(asked.position, "entry", "place", "trigger is reached"))
                        continue
                    order = Resting(asked.position, asked.kind, asked.contract, asked.quantity, asked.trigger,
                                    asked.limit)  # fmt: skip
                    self.entries[asked.position] = order
                    self.report(order, "entry", "stands")
                case ModifyEntry():
                    if standing is None or asked.trigger >= self.last.get(standing.contract, 2**31 - 1):
                        self.tell(RequestRefused(asked.position, "entry", "modify", "trigger is reached"))
                        continue
                    order = replace(
                        standing, quantity=asked.quantity, trigger=asked.trigger, limit=asked.limit
                    )
                    self.entries[asked.position] = order
                    self.report(order, "entry", "stands")

    def prices(self, contract, minute, moment):
        """Price at a moment and at the one before, with the bar's range."""
        o, h, lo, c = (
            int(getattr(self.bars, name)[contract, minute]) for name in ("open", "high", "low", "close")
        )
        now = price_at(o, h, lo, c, moment, self.path)
        return price_at(o, h, lo, c, max(moment - 1, 0), self.path), now, lo, h

    def buy_back(self, position, price, low, high):
        asked = self.exits.pop(position)
        price = inside_bar(slipped(price, BUY, *self.slip), low, high)
        self.trade(asked, "exit", asked.quantity, price)
        stop = self.stops.pop(position, None)
        if stop is not None:
            self.report(stop, "stop", "ended")

    def play_closing(self, minute, moment):
        for position, order in list(self.stops.items()):
            if position not in self.stops or not self.bars.valid[order.contract, minute]:
                continue
            before, now, low, high = self.prices(order.contract, minute, moment)
            if position in self.exits:
                self.buy_back(position, max(before, now), low, high)
                continue
            was = order.triggered
            order.triggered, fill = stop_limit_fill(
                BUY, order.trigger, order.limit, was, before, now, moment == 0, *self.slip
            )
            if fill != UNFILLED:
                del self.stops[position]
                self.trade(order, "stop", order.quantity, inside_bar(fill, low, high))
                self.report(order, "stop", "ended", order.quantity)
            elif order.triggered and not was:
                self.report(order, "stop", "triggered")

    def play_entries(self, minute, moment):
        for order in sorted(self.entries.values(), key=lambda order: order.kind):
            if not self.bars.valid[order.contract, minute]:
                continue
            before, now, low, high = self.prices(order.contract, minute, moment)
            was = order.triggered
            order.triggered, fill = stop_limit_fill(
                SELL, order.trigger, order.limit, was, before, now, moment == 0, *self.slip
            )
            if fill != UNFILLED:
                del self.entries[order.position]
                self.trade(order, "entry", order.quantity, inside_bar(fill, low, high))
                self.report(order, "entry", "ended", order.quantity)
            elif order.triggered and not was:
                self.report(order, "entry", "triggered")

    def settle(self, minute, moment):
        """Fill the exits asked for at this very moment."""
        for position, asked in list(self.exits.items()):
            if self.bars.valid[asked.contract, minute]:
                _, now, low, high = self.prices(asked.contract, minute, moment)
                self.buy_back(position, now, low, high)

    def play_minute(self, minute):
        for moment in range(MOMENTS):
            self.ms = minute * MINUTE_MS + int(MOMENT_MS[moment])
            self.arrive()
            self.tell(Timer(self.now_ns))
            quotes = []
            for contract in range(self.bars.contracts):
                if self.bars.valid[contract, minute]:
                    price = self.prices(contract, minute, moment)[1]
                    quotes.append((contract, price))
            self.tell(Quotes.of(self.now_ns, tuple(quotes)))
            self.play_closing(minute, moment)
            self.play_entries(minute, moment)
            self.last.update(quotes)
            self.tell(Timer(self.now_ns))
            self.settle(minute, moment)
        self.tell(closed(self.bars, minute))
        self.settle(minute, MOMENTS - 1)

    def play(self, first=0, until=None):
        for minute in range(first, self.bars.minutes if until is None else until):
            self.play_minute(minute)
        return self
