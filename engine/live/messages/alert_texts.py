"""What a person is told of a session: one short text for each committed event that matters to a trader.

A pure fold over the log: the same events give the same texts, so a messenger that was restarted goes on where it
stopped. What an event does to orders and positions is computed by `projections`, as everywhere. The mode stands in
words in every text. Prices and money are exact rupees.
"""

from dataclasses import dataclass
from typing import Literal

from engine.live.log import events as e
from engine.live.log.projections import changes_of
from engine.live.log.state import UNKNOWN, Order, Position, State
from engine.market.clock import NS_PER_MINUTE, from_ns
from engine.market.prices import paise_to_rupees, to_rupees

Level = Literal["info", "warning", "error"]
_Said = tuple[Level, str] | None

MODE_WORDS: dict[e.Mode, str] = {"paper": "PAPER", "practice": "PRACTICE", "live": "LIVE"}
_LEVEL_WORDS: dict[Level, str] = {"info": "", "warning": "WARNING ", "error": "ERROR "}
_DAY_LIMITS: dict[e.DayLatch, str] = {"day_stop": "Daily stop", "day_target": "Daily target"}
_LATCH: dict[e.LatchState, tuple[Level, str]] = {
    "ACTIVE": ("info", "trading is free again"),
    "REDUCING": ("warning", "exits only"),
    "HALTED": ("error", "no new risk"),
    "FLATTENING": ("error", "everything is being closed"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """
    One text for a person.

    Attributes
    ----------
    text : str
        Whole: mode, time and level stand in it.
    seq : int
        Of the event behind it; 0 = none.
    kind : str
        Name of that event's class, or "Alert".
    mode : str
        "paper", "practice", "live", or "" where it is not known.
    ts_ns : int
        When it happened, ns UTC.
    """

    text: str
    level: Level
    seq: int
    kind: str
    mode: e.Mode | Literal[""]
    ts_ns: int


def headed(text: str, level: Level, ts_ns: int, mode: e.Mode | Literal[""] = "", underlying: str = "") -> str:
    """A text with mode, underlying, clock time (IST) and level before it."""
    words = [MODE_WORDS[mode] if mode else "", underlying, f"{from_ns(ts_ns):%H:%M:%S}"]
    return f"{' '.join(word for word in words if word)} {_LEVEL_WORDS[level]}{text}"


def money(paise: int) -> str:
    """Paise as rupees with their sign, e.g. Rs +1234.50."""
    return f"Rs {paise_to_rupees(paise):+}"


class Teller:
    """
    Hears a log, event by event, and says what a person should know.

    Parameters
    ----------
    mode : "paper", "practice" or "live"
    underlying : str
    r_paise : int
        Money behind 1 R.
    before : State
        What the log amounts to before the first event heard.
    """

    def __init__(self, mode: e.Mode, underlying: str, r_paise: int, before: State) -> None:
        self._mode = mode
        self._underlying = underlying
        self._r_paise = r_paise
        self._state = before
        self._standing: set[str] = set()
        self._cancels: set[str] = set()
        self._commands: dict[int, e.CommandTaken] = {}

    def hear(self, event: e.Event) -> Message | None:
        """
        Take the next event; the text for it, if it is worth one.

        Raises
        ------
        EventRefusedError
            If it contradicts those before.
        """
        before = self._state
        self._state = before.after(event.seq, changes_of(before, event))
        said = self._say(event, before)
        if said is None:
            return None
        level, text = said
        whole = headed(text, level, event.ts_ns, self._mode, self._underlying)
        return Message(whole, level, event.seq, event.kind, self._mode, event.ts_ns)

    def _say(self, event: e.Event, before: State) -> _Said:
        match event.fact:
            case e.SessionStarted() as fact:
                return "info", _started(fact)
            case e.SessionEnded() as fact:
                return self._ended(fact)
            case e.DayLatched() as fact:
                pnl = f"{money(fact.day_pnl)}, {self._in_r(fact.day_pnl)}"
                return (
                    "warning",
                    f"{_DAY_LIMITS[fact.reason]} reached with {pnl} before charges: no entries any more today",
                )
            case e.LatchChanged() as fact:
                level, meaning = _LATCH[fact.state]
                return level, f"Latch {fact.state} ({meaning}): {fact.reason}; by {fact.who}"
            case e.LinkChanged() as fact:
                return _link(fact)
            case e.RunnerStarted() as fact:
                day = before.today
                if day is None or day.ended_ns:
                    return None
                return "warning", f"Runner started again as process {fact.pid}; it recovers from the log"
            case e.Mismatch() as fact:
                detail = f" ({fact.detail})" if fact.detail else ""
                return (
                    "error",
                    (
                        f"Broker and log disagree, {fact.subject} {fact.key}: log {fact.ours or '-'}, "
                        f"broker {fact.theirs or '-'}{detail}"
                    ),
                )
            case e.Noticed(level=level, text=text):
                return level, text
            case e.JournalMerged() as fact:
                return (
                    "error" if fact.refused else "warning",
                    (
                        f"{fact.merged} events of the fallback journal are in the log now, {fact.refused} were refused"
                        f"{f': {fact.detail}' if fact.detail else ''}"
                    ),
                )
            case e.ProjectionsRebuilt() as fact:
                return "warning", f"Tables did not equal the log and were written anew: {fact.detail}"
            case e.CommandTaken() as fact:
                self._commands[fact.command] = fact
                return None
            case e.CommandAnswered() as fact:
                taken = self._commands.get(fact.command)
                what = f"{taken.verb} from {taken.origin}" if taken else f"number {fact.command}"
                level = "info" if fact.state == "done" else "warning"
                return level, f"Command {what} {fact.state}: {fact.answer}"
            case e.CancelPrepared() as fact:
                self._cancels.add(fact.tag)
                return None
        return self._say_of_order(event.fact, before)

    def _say_of_order(self, fact: e.Fact, before: State) -> _Said:
        match fact:
            case e.IntentPrepared(leg="exit"):
                return "info", f"Closing: {self._order(fact.tag)}; {fact.reason}"
            case e.OrderAccepted():
                return self._accepted(fact, before.orders[fact.tag])
            case e.OrderRefused():
                return self._failed(fact.tag, "REFUSED", f"{fact.reason} ({fact.code})")
            case e.OrderNotSent():
                return self._failed(fact.tag, "never reached the broker", fact.reason)
            case e.OrderUnknown():
                return "warning", f"Unknown whether the broker has it: {self._order(fact.tag)}; {fact.reason}"
            case e.OrderDenied(quantity=units, symbol=symbol, reason=reason, leg=leg):
                level: Level = "warning" if leg == "entry" else "error"
                return level, f"Not sent, {leg} of {units} {symbol}: {reason}"
            case e.OrderUpdated():
                return self._updated(fact, before.orders[fact.tag])
            case e.RequestAnswered(request="modify"):
                return self._modified(fact, before.orders[fact.tag])
            case e.OutsideFill():
                return self._filled_outside(fact)
            case e.FillBooked():
                return self._filled(fact)
        return None

    # ---- orders ----

    def _accepted(self, fact: e.OrderAccepted, was: Order) -> _Said:
        if fact.tag in self._standing:
            return None  # look and answer both tell it
        self._standing.add(fact.tag)
        order = self._state.orders[fact.tag]
        found = " (found by its tag)" if was.state == UNKNOWN else ""
        if order.leg == "entry":
            return (
                "info",
                f"Entry order stands{found}: {self._order(fact.tag)}; stop planned at {_price(order.stop)}",
            )
        if order.leg == "stop":
            return "info", f"Stop stands{found}: {self._order(fact.tag)}"
        return ("info", f"Exit order stands{found}: {self._order(fact.tag)}") if found else None

    def _failed(self, tag: str, what: str, why: str) -> _Said:
        entry = self._state.orders[tag].leg == "entry"
        return "warning" if entry else "error", f"Order {what}: {self._order(tag)}; {why}"

    def _updated(self, fact: e.OrderUpdated, was: Order) -> _Said:
        order = self._state.orders[fact.tag]
        if order.status == was.status:
            return None
        if order.status == "REJECTED":
            return self._failed(fact.tag, "REJECTED", fact.message or "no reason given")
        position = self._state.positions.get(order.position)
        bare = order.leg == "stop" and position is not None and position.net != 0
        if order.status == "CANCELLED" and bare and fact.tag not in self._cancels:
            return (
                "error",
                f"Stop CANCELLED by somebody else, {-position.net if position else 0} {order.symbol} are short",
            )
        return None

    def _modified(self, fact: e.RequestAnswered, was: Order) -> _Said:
        order = self._state.orders[fact.tag]
        if order.leg == "entry":
            return None  # entries follow the market every minute
        if fact.outcome == "confirmed":
            purpose = f"; now {order.reason}" if order.reason != was.reason else ""
            return "info", f"{order.leg.capitalize()} moved: {self._order(fact.tag)}{purpose}"
        return (
            "warning",
            f"{order.leg.capitalize()} NOT moved ({fact.outcome}): {self._order(fact.tag)}; {fact.reason}",
        )

    def _filled(self, fact: e.FillBooked) -> _Said:
        order = self._state.orders[fact.tag]
        position = self._state.positions[order.position]
        verb = "Sold" if fact.side == "SELL" else "Bought"
        part = f", {order.booked} of {order.quantity}" if order.booked < order.quantity else ""
        why = f"entry {order.slot}" if order.leg == "entry" else order.reason
        text = f"{verb} {fact.quantity} {order.symbol} at {_price(fact.price)} ({why}{part})"
        if position.net == 0:
            return "info", f"{text}. {self._closed(position)}"
        held = f"{-position.net} short" if position.net < 0 else f"{position.net} LONG"
        level: Level = "error" if position.net > 0 else "info"
        return level, f"{text}; now {held}"

    def _filled_outside(self, fact: e.OutsideFill) -> _Said:
        position = self._state.positions[fact.position]
        verb = "sold" if fact.side == "SELL" else "bought"
        after = self._closed(position) if position.net == 0 else f"{-position.net} are still short"
        return (
            "error",
            f"Somebody else {verb} {fact.quantity} {fact.symbol} at {_price(fact.price)}, of ours. {after}",
        )

    def _closed(self, position: Position) -> str:
        minutes = (position.closed_ns - position.opened_ns) // NS_PER_MINUTE
        return (
            f"Position closed after {minutes} min: {money(position.realised)}, {self._in_r(position.realised)}, "
            "before charges"
        )

    def _order(self, tag: str) -> str:
        """An order as a trader says it."""
        order = self._state.orders[tag]
        prices = {
            "SL": f"trigger {_price(order.trigger)} limit {_price(order.limit)}",
            "LIMIT": f"limit {_price(order.limit)}",
            "MARKET": "at market",
        }[order.order_type]
        part = f" (part {order.slice} of {order.slices})" if order.slices > 1 else ""
        return f"{order.side} {order.quantity} {order.symbol} {prices}{part}"

    # ---- the day ----

    def _ended(self, fact: e.SessionEnded) -> _Said:
        day = self._state.days[fact.date.isoformat()]
        trades = [row for row in self._state.trades if row.date == day.date]
        won = sum(trade.realised > 0 for trade in trades)
        gross = sum(trade.realised for trade in trades)
        lines = [
            f"Session of {day.date} ended: {fact.reason}.",
            f"{len(trades)} trades, {won} won; {day.orders} orders, {day.fills} fills, {day.mismatches} mismatches.",
            f"Gross {money(gross)}, {self._in_r(gross)}.",
        ]
        if fact.charges is None:
            lines.append("Charges are not known, so the net result is not known.")
        else:
            net = gross - fact.charges
            lines.append(f"Charges Rs {paise_to_rupees(fact.charges)}. Net {money(net)}, {self._in_r(net)}.")
        if fact.flat:
            return "info", "\n".join([*lines, "Flat, proved from the broker."])
        held = ", ".join(f"{row.net} {row.symbol}" for row in self._state.open_positions) or "none known"
        lines.append(f"NOT PROVED FLAT: look into the broker's app. Open by our log: {held}.")
        return "error", "\n".join(lines)

    def _in_r(self, paise: int) -> str:
        return f"{paise / self._r_paise:+.2f} R"


def _price(ticks: int) -> str:
    return f"Rs {to_rupees(ticks)}"


def _started(fact: e.SessionStarted) -> str:
    prices = "SIMULATED or replayed prices" if fact.simulated else "market prices"
    return (
        f"Session of {fact.date} started: {fact.underlying}, expiry {fact.expiry}, lot {fact.lot_size}, "
        f"{prices} from {fact.feed}, orders to {fact.broker}, parameters {fact.params_hash}"
    )


def _link(fact: e.LinkChanged) -> _Said:
    detail = f": {fact.detail}" if fact.detail else ""
    text = f"{fact.link.capitalize()} {fact.name} is {fact.status.replace('_', ' ')}{detail}"
    if fact.status == "up":
        return "info", text
    if fact.status == "token_expired":
        return "error", text  # its detail names the command
    return "warning", text
