"""After a restart: the session's state from the day's log and its recorded bars.

Bars and log are gone through in the order in which they happened, by the same `step`; what it asks for meanwhile
has been asked for already, or is asked for again by the first step after the rebuild. What is under way at the
broker is taken from the log's rows alone. No rule of trading stands here.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from engine.errors import DataError
from engine.execution.decisions import VERDICTS
from engine.execution.fills import LATCHES
from engine.execution.risk import CE, PE
from engine.live.decisions.session_inputs import BarsClosed, EntryKnown, OrderUpdate, Trade
from engine.live.decisions.session_state import MINUTE_NS, Entry, Plan, SessionState, Short, new_state
from engine.live.decisions.telling import takes_back
from engine.live.log.events import (
    DayLatched,
    DecisionMade,
    Event,
    FillBooked,
    IntentPrepared,
    LatchChanged,
    Leg,
    ModifyPrepared,
    OrderNotSent,
    OrderRefused,
    OrderUpdated,
    OutsideFill,
    RequestAnswered,
    StopPlanned,
)
from engine.live.log.state import ENDED_STATUSES, NOT_SENT, Order, State, fill_key
from engine.live.session import step
from engine.strategy.swing_break import NOBODY

_TRIGGERED = "OPEN"  # how the broker spells a stop-limit that has become a limit order
_NUMBERS = (
    "conf_minute", "swing_index", "swing_minute", "swing_low", "highest_high", "bars_after", "trigger", "limit",
    "lots", "stop",
)  # fmt: skip


def rebuild(plan: Plan, events: Iterable[Event], log: State, bars: Sequence[BarsClosed]) -> SessionState:
    """
    The state of a session that goes on.

    Parameters
    ----------
    plan : Plan
        Of the day, as before.
    events : iterable of Event
        The day's log, ascending.
    log : State
        The log's rows after the last of them.
    bars : sequence of BarsClosed
        The day's closed minutes, ascending.

    Returns
    -------
    SessionState
        Give it a `BrokerSnapshot` and a `Timer` next: they place the stops and exits that are missing.

    Raises
    ------
    DataError
        If the log names a symbol that the plan does not hold.
    """
    made = _Rebuilding(plan, log)
    waiting = list(bars)
    for event in events:
        while waiting and plan.open_ns + (waiting[0].minute + 1) * MINUTE_NS <= event.ts_ns:
            made.close(waiting.pop(0))
        made.take(event)
    for each in waiting:
        made.close(each)
    made.finish()
    return made.state


class _Rebuilding:
    """One rebuild on its way."""

    def __init__(self, plan: Plan, log: State) -> None:
        self.state = new_state(plan)
        self.log = log
        self.ended: dict[int, set[str]] = {}
        self.exits: dict[int, str] = {}  # by position, why it is being bought back
        self.turning: set[str] = set()  # stops that were asked to become the exit
        self.places = {symbol: place for place, symbol in enumerate(plan.symbols)}

    def close(self, bars: BarsClosed) -> None:
        step(self.state, BarsClosed(bars.minute, bars.bars, replayed=True))

    def take(self, event: Event) -> None:
        match event.fact:
            case IntentPrepared(leg="entry") as fact:
                self._entry(fact)
            case IntentPrepared(leg="exit", side="BUY") as fact:
                self._exit(fact.position, fact.reason)
            case DecisionMade() as fact:
                self._decision(fact)
            case ModifyPrepared() as fact if fact.reason:
                self.turning.add(fact.tag)
                self._exit(self.log.orders[fact.tag].position, fact.reason)
            case ModifyPrepared() as fact:
                entry = self._entry_of(fact.tag)
                if entry is not None:
                    entry.modifications += 1
                    entry.asked = self._wanted(entry, fact.trigger, fact.limit, fact.quantity)
            case OrderUpdated() as fact:
                self._limit_of(fact.tag, fact.trigger, fact.limit)
                entry = self._entry_of(fact.tag)
                if entry is not None:
                    self._shown(entry, fact)
                if fact.status in ENDED_STATUSES:
                    self._ended(fact.tag)
            case OrderRefused() | OrderNotSent() as fact:
                self._ended(fact.tag)
            case RequestAnswered(request="modify", outcome="confirmed") as fact:
                if fact.tag in self.turning:
                    self._limit_of(fact.tag, 0, 1)
                entry = self._entry_of(fact.tag)
                if entry is not None and not np.array_equal(entry.order, entry.asked):
                    entry.before.append(entry.order)
                    entry.order = entry.asked
            case FillBooked() as fact:
                order = self.log.orders[fact.tag]
                key = fill_key(fact.order_id, fact.trade_id)
                at_ns = fact.time_ns or event.ts_ns
                back = takes_back(order)
                trade = Trade(key, order.position, order.leg, fact.quantity, fact.price, at_ns, back)
                step(self.state, trade)
            case OutsideFill() as fact:
                key = fill_key(fact.order_id, fact.trade_id)
                at_ns = fact.time_ns or event.ts_ns
                step(self.state, Trade(key, fact.position, "exit", fact.quantity, fact.price, at_ns))
            case StopPlanned() as fact if fact.position in self.state.shorts:
                short = self.state.shorts[fact.position]
                short.stop, short.stop_limit = fact.trigger, fact.limit
            case DayLatched() as fact:
                self.state.day_latch = LATCHES.index(fact.reason)
            case LatchChanged() as fact:
                self.state.latch = fact.state
            case _:
                pass

    def finish(self) -> None:
        """What is under way at the broker, from the log's rows."""
        legs: dict[tuple[int, Leg], list[Order]] = {}
        for order in self.log.orders.values():
            if order.position in self.state.entries and order.status != NOT_SENT:
                legs.setdefault((order.position, order.leg), []).append(order)
        self.state.latch = self.log.latch.state
        for position, entry in self.state.entries.items():
            self._finish_entry(entry, legs.get((position, "entry"), []))
        for position, short in self.state.shorts.items():
            self._finish_short(short, legs.get((position, "stop"), []), legs.get((position, "exit"), []))
        self.state.next_position = max(self.state.next_position, self.log.next_position)
        self.state.outbox.clear()

    def _entry(self, fact: IntentPrepared) -> None:
        lots = fact.quantity // self.state.plan.rules.lot_size
        known = self.state.entries.get(fact.position)
        if known is not None:
            slot = self.state.slots[known.kind]
            if slot.entry is known:  # a further slice
                known.order["lots"] += lots
            elif slot.entry is None:  # all before it have ended: it stands in their place
                slot.entry = known
                filled = sum(self.log.orders[tag].filled for tag in self.ended.pop(fact.position, ()))
                quantity = filled + fact.quantity
                known.order = known.asked = self._wanted(known, fact.trigger, fact.limit, quantity)
            return
        if fact.symbol not in self.places:
            raise DataError(
                f"the log of {self.state.plan.date} holds an order of {fact.symbol}, which is not among the "
                f"{len(self.places)} contracts watched; start with the contracts of that morning"
            )
        kind = CE if fact.slot == "CE" else PE
        step(
            self.state,
            EntryKnown(
                position=fact.position, kind=kind, contract=self.places[fact.symbol],
                conf_minute=fact.conf_minute, swing_index=fact.swing_index, trigger=fact.trigger,
                limit=fact.limit, lots=lots, stop=fact.stop,
            ),
        )  # fmt: skip
        entry = self.state.entries[fact.position]
        entry.order = entry.asked = self._wanted(entry, fact.trigger, fact.limit, fact.quantity)

    def _exit(self, position: int, reason: str) -> None:
        reason = self.exits.setdefault(position, reason)
        if position in self.state.shorts:
            short = self.state.shorts[position]
            short.exit_reason = short.exit_reason or reason

    def _limit_of(self, tag: str, trigger: int, limit: int) -> None:
        """A stop without a trigger is a limit order: the exit."""
        order = self.log.orders[tag]
        short = self.state.shorts.get(order.position)
        if short is not None and order.leg == "stop" and limit:
            short.stop_is_exit = trigger == 0

    def _decision(self, fact: DecisionMade) -> None:
        kind = CE if fact.slot == "CE" else PE
        line = self.state.last[kind]
        line["minute"], line["kind"], line["verdict"] = fact.minute, kind, VERDICTS.index(fact.verdict)
        line["candidates"], line["qualified"] = fact.candidates, fact.qualified
        line["order"]["contract"] = self.places[fact.symbol] if fact.symbol else NOBODY
        for name in _NUMBERS:
            line["order"][name] = getattr(fact, name)
        entry = self.state.slots[kind].entry
        if entry is not None and fact.symbol:
            now = entry.order[0]
            if all(int(now[name]) == int(line["order"][name]) for name in ("trigger", "limit", "lots")):
                entry.order = self._wanted(
                    entry, fact.trigger, fact.limit, fact.lots * self.state.plan.rules.lot_size
                )

    def _wanted(self, entry: Entry, trigger: int, limit: int, quantity: int) -> Any:
        """An entry order with these numbers; its swing and stop are those of the decision, if it is the same."""
        decided = self.state.last[entry.kind]["order"]
        order = entry.order.copy()
        if (decided["contract"], decided["trigger"]) == (entry.contract, trigger):
            order[0] = decided
        order["trigger"], order["limit"] = trigger, limit
        order["lots"] = quantity // self.state.plan.rules.lot_size
        return order

    def _ended(self, tag: str) -> None:
        """An order has ended; the slot is free once all its slices have."""
        entry = self._entry_of(tag)
        if entry is None:
            return
        slices = self.ended.setdefault(entry.position, set())
        slices.add(tag)
        slot = self.state.slots[entry.kind]
        if slot.entry is entry and len(slices) == self.log.orders[tag].slices:
            slot.entry = None

    def _entry_of(self, tag: str) -> Entry | None:
        order = self.log.orders[tag]
        return self.state.entries.get(order.position) if order.leg == "entry" else None

    def _shown(self, entry: Entry, fact: OrderUpdated) -> None:
        """A change has arrived, or was acknowledged and then rejected."""
        if self._has_numbers(entry.order[0], fact):
            return
        known = (entry.asked, *reversed(entry.before))
        shown = next((one for one in known if self._has_numbers(one[0], fact)), entry.order)
        if shown is entry.asked:
            entry.before.append(entry.order)
        entry.order = shown

    def _has_numbers(self, order: Any, fact: OrderUpdated) -> bool:
        quantity = int(order["lots"]) * self.state.plan.rules.lot_size
        return (order["trigger"], order["limit"], quantity) == (fact.trigger, fact.limit, fact.quantity)

    def _finish_entry(self, entry: Entry, orders: list[Order]) -> None:
        entry.request = ""
        filled = sum(order.filled for order in orders)
        if any(order.open for order in orders):
            self._tell(entry.position, "entry", "stands", orders, filled)
            entry.request = _under_way(orders)
            entry.withdrawing = entry.request == "cancel"
            slot = self.state.slots[entry.kind]
            slot.entry = entry
            decided = self.state.last[entry.kind : entry.kind + 1]["order"]
            if entry.withdrawing and decided[0]["contract"] != NOBODY:
                slot.wish = decided.copy()  # a switch on its way: what was decided last still stands
        else:
            self._tell(entry.position, "entry", "ended", orders, filled)

    def _finish_short(self, short: Short, stops: list[Order], exits: list[Order]) -> None:
        short.stop_told = sum(order.filled for order in stops)
        short.stop_asked = sum(order.quantity for order in stops)
        short.stop_covers = sum(order.quantity for order in stops if order.open and order.order_id)
        short.stop_request = _under_way(stops)
        short.stop_asked_ns = 0  # waited for anew, as the books were just read
        if any(order.open and order.status == _TRIGGERED for order in stops):
            short.stop_triggered_ns = min(max(order.updated_ns for order in stops), self.state.now_ns)
        exits = [order for order in exits if not takes_back(order)]
        short.exit_told = sum(order.filled for order in exits)
        short.exit_reason = self.exits.get(short.position, "")
        short.exit_covers = sum(order.quantity for order in exits if order.open and order.order_id)
        short.tidied_ns = 0
        short.exit_asked = 0  # whoever pursued it is gone: it is asked for again, and finds what stands
        short.exit_retry_ns = 0
        if self.log.latch.state == "FLATTENING":
            short.must_go = short.must_go or "kill"
        elif self.state.day_latch:
            short.must_go = short.must_go or LATCHES[self.state.day_latch]

    def _tell(self, position: int, leg: Leg, status: Any, orders: list[Order], filled: int) -> None:
        quantity = sum(order.quantity for order in orders)
        trigger, limit = (orders[0].trigger, orders[0].limit) if orders else (0, 0)
        step(
            self.state,
            OrderUpdate(position, leg, status, quantity, trigger, limit, filled, self.state.now_ns),
        )


def _under_way(orders: list[Order]) -> str:
    """The request among these orders whose outcome is not known."""
    open_ = [order for order in orders if order.open]
    if any(not order.order_id for order in open_):
        return "place"
    return next((order.pending for order in open_ if order.pending), "")
