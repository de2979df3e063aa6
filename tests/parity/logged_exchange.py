"""The little exchange of the session tests, with a delay put in, and the log that a runner would have written."""

import heapq

from live.exchange_for_session import OPEN_NS, Exchange

from engine.execution.bar_path import MINUTE_MS
from engine.execution.matching import BUY, inside_bar, slipped
from engine.live.decisions.session_inputs import BarsClosed, RequestRefused
from engine.live.decisions.session_intents import (
    CancelOrder,
    ExitPosition,
    ModifyEntry,
    PlaceEntry,
    PlaceStop,
    Record,
    ReplaceStop,
)
from engine.live.log import events as e

STATUS = {"stands": "TRIGGER PENDING", "triggered": "OPEN"}


class Log:
    """Events in the order in which they were written."""

    def __init__(self, date, lot_size, expiry):
        self.events = []
        self.write(
            OPEN_NS,
            e.SessionStarted(
                date=date, underlying="NIFTY", expiry=expiry, mode="practice", params_hash="abc",
                lot_size=lot_size, broker="kite", feed="practice", simulated=True,
            ),
        )  # fmt: skip

    def write(self, ns, fact):
        self.events.append(e.Event(len(self.events) + 1, ns, fact))


class LoggedExchange(Exchange):
    """Requests take effect `delay_ms` later, at the price last traded; everything is written down."""

    def __init__(self, bars, params, delay_ms=0):
        super().__init__(bars, params)
        self.delay_ms = delay_ms
        self.log_kept = Log(bars.date, bars.lot_size, bars.expiry)
        self.queue = []
        self.asked = 0
        self.tags = {}  # (position, leg) -> tag in use

    @property
    def events(self):
        return self.log_kept.events

    def write(self, fact):
        self.log_kept.write(self.now_ns, fact)

    # ---- what the session asks ----

    def carry_out(self, intent):
        self.note(intent)
        if not self.delay_ms or isinstance(intent, Record):
            super().carry_out(intent)
            return
        self.asked += 1
        heapq.heappush(self.queue, (self.ms + self.delay_ms, self.asked, intent))

    def arrive(self):
        now = self.ms
        while self.queue and self.queue[0][0] <= now:
            self.ms, _, intent = heapq.heappop(self.queue)
            if isinstance(intent, ExitPosition):
                self.take_exit(intent)
                continue
            super().carry_out(intent)
            super().arrive()
        self.ms = now
        super().arrive()

    def take_exit(self, intent):
        """A marketable order meets the price last traded."""
        minute = min(self.ms // MINUTE_MS, self.bars.minutes - 1)
        if intent.position not in self.stops and intent.position not in self.state.shorts:
            return
        price = slipped(self.last[intent.contract], BUY, *self.slip)
        if self.bars.valid[intent.contract, minute]:
            price = inside_bar(
                price,
                int(self.bars.low[intent.contract, minute]),
                int(self.bars.high[intent.contract, minute]),
            )
        stop = self.stops.pop(intent.position, None)
        self.trade(intent, "exit", intent.quantity, price)
        if stop is not None:
            self.report(stop, "stop", "ended")

    # ---- what is written ----

    def tag(self, position, leg, new=False):
        if new:
            self.tags[position, leg] = f"{leg[0].upper()}{position}n{len(self.events)}"
        return self.tags[position, leg]

    def prepared(self, intent, leg, reason, **told):
        position = intent.position
        entry = self.state.entries[position]
        numbers = {"order_type": "SL", "trigger": 0, "limit": 0, **told}
        self.write(
            e.IntentPrepared(
                tag=self.tag(position, leg, new=True), position=position, slot="PE" if entry.kind else "CE", leg=leg,
                reason=reason, symbol=intent.symbol, side="SELL" if leg == "entry" else "BUY",
                quantity=intent.quantity, **numbers,
            )
        )  # fmt: skip

    def note(self, intent):
        match intent:
            case PlaceEntry():
                self.prepared(
                    intent, "entry", "entry", trigger=intent.trigger, limit=intent.limit,
                    conf_minute=intent.conf_minute, swing_index=intent.swing_index, stop=intent.stop,
                )  # fmt: skip
            case ModifyEntry():
                self.write(
                    e.ModifyPrepared(
                        tag=self.tag(intent.position, "entry"), quantity=intent.quantity, trigger=intent.trigger,
                        limit=intent.limit, order_type="SL",
                    )
                )  # fmt: skip
            case PlaceStop():
                self.planned(intent)
                self.prepared(intent, "stop", "stop", trigger=intent.trigger, limit=intent.limit)
            case ReplaceStop():
                self.planned(intent)
                self.write(
                    e.ModifyPrepared(
                        tag=self.tag(intent.position, "stop"), quantity=intent.quantity, trigger=intent.trigger,
                        limit=intent.limit, order_type="SL",
                    )
                )  # fmt: skip
            case ExitPosition():
                self.prepared(intent, "exit", intent.reason, order_type="LIMIT", limit=1)
            case CancelOrder():
                self.write(e.CancelPrepared(tag=self.tag(intent.position, intent.leg), reason=intent.reason))
            case Record():
                self.write(intent.fact)

    def planned(self, intent):
        self.write(
            e.StopPlanned(
                position=intent.position, trigger=intent.trigger, limit=intent.limit, quantity=intent.quantity,
                reason="fill",
            )
        )  # fmt: skip

    def report(self, order, leg, status, filled=0):
        tag = self.tag(order.position, leg)
        ended = "COMPLETE" if filled >= order.quantity else "CANCELLED"
        self.update(tag, order, STATUS.get(status, ended), filled)
        super().report(order, leg, status, filled)

    def update(self, tag, order, status, filled=0, message=""):
        self.write(
            e.OrderUpdated(
                tag=tag, order_id=f"o{tag}", status=status, filled=filled, quantity=order.quantity,
                trigger=order.trigger, limit=order.limit, average_milliticks=0, message=message, time_ns=self.now_ns,
            )
        )  # fmt: skip

    def trade(self, order, leg, quantity, price):
        tag = self.tag(order.position, leg)
        self.write(
            e.FillBooked(
                trade_id=f"T{self.trade_ids + 1}", order_id=f"o{tag}", tag=tag,
                side="SELL" if leg == "entry" else "BUY", quantity=quantity, price=price, time_ns=self.now_ns,
            )
        )  # fmt: skip
        super().trade(order, leg, quantity, price)

    def tell(self, event):
        if isinstance(event, BarsClosed):
            self.ms = (event.minute + 1) * MINUTE_MS
        if isinstance(event, RequestRefused) and event.request != "cancel":
            standing = self.entries.get(event.position)
            entry = self.state.entries[event.position]
            asked = entry.asked[0] if standing is None else entry.order[0]
            shown = _Numbers(
                int(asked["lots"]) * self.bars.lot_size, int(asked["trigger"]), int(asked["limit"])
            )
            self.update(
                self.tag(event.position, "entry"), shown, "REJECTED" if standing is None else "TRIGGER PENDING",
                message=event.reason,
            )  # fmt: skip
        super().tell(event)


class _Numbers:
    def __init__(self, quantity, trigger, limit):
        self.quantity, self.trigger, self.limit = quantity, trigger, limit
