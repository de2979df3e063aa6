"""What the log of a live session says, in a trader's words: one short line per event that a person wants to read.

Pure. The words carry no judgement that the event does not hold; what happens every minute without news (an order
sent, a comparison that agreed) has no line.
"""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from engine.desk.plots import reason_label, rupees
from engine.live.log import events as e
from engine.live.log.state import ENDED_STATUSES
from engine.market.clock import from_ns, minute_label
from engine.market.prices import paise_to_rupees, to_rupees

Level = Literal["info", "good", "warning", "error"]
_Told = tuple[Level, str] | None
_VERBS = {
    "pause": "pause",
    "resume": "resume",
    "flatten": "flatten one position",
    "kill": "KILL",
    "stop": "stop",
    "reset": "reset",
}
_LEGS = {"entry": "entry", "stop": "stop order", "exit": "exit"}


@dataclass(frozen=True)
class LogLine:
    """
    One line for a person.

    Attributes
    ----------
    seq : int
        Of the event.
    clock : str
        HH:MM:SS IST, by the session's clock.
    level : str
        info, good, warning or error.
    """

    seq: int
    clock: str
    level: Level
    text: str


def price(ticks: int) -> str:
    """Ticks as rupees, "152.35"."""
    return f"{to_rupees(ticks)}"


def money(paise: int, *, sign: bool = True) -> str:
    """Paise as rupees the Indian way, exact to the paisa: "+Rs 1,234.50"."""
    return rupees(paise_to_rupees(paise), decimals=2, sign=sign)


def command_label(verb: str) -> str:
    """A command's verb in words."""
    return _VERBS.get(verb, verb)


def decided_at(date: dt.date, minute: int) -> str:
    """When the bar of a minute had closed, HH:MM IST."""
    return minute_label(date, minute + 1)


class LogWords:
    """
    Tells events in the order of the log; remembers what a tag stands for.

    Call it with each event, ascending.
    """

    def __init__(self) -> None:
        self._intents: dict[str, e.IntentPrepared] = {}
        self._symbols: dict[int, str] = {}
        self._verbs: dict[int, str] = {}
        self._date: dt.date | None = None

    def __call__(self, event: e.Event) -> LogLine | None:
        """The line of an event; None where there is nothing to tell."""
        say = _SAYS.get(type(event.fact))
        told = say(self, event.fact) if say else None
        if told is None:
            return None
        return LogLine(event.seq, f"{from_ns(event.ts_ns):%H:%M:%S}", *told)

    def _order(self, tag: str) -> str:
        """An order in words: "entry of NIFTY24NOV2624000CE"."""
        intent = self._intents.get(tag)
        return f"{_LEGS[intent.leg]} of {intent.symbol}" if intent else f"order {tag}"

    # ---- session ----

    def _runner_started(self, fact: e.RunnerStarted) -> _Told:
        return "info", f"runner started, process {fact.pid}"

    def _session_started(self, fact: e.SessionStarted) -> _Told:
        self._date = fact.date
        prices = ", SIMULATED PRICES" if fact.simulated else ""
        return "good", (
            f"{fact.mode.upper()} session of {fact.underlying}, {fact.date:%d %b %Y}, expiry {fact.expiry:%d %b}, "
            f"lot {fact.lot_size}, broker {fact.broker}, prices from {fact.feed}{prices}"
        )

    def _session_ended(self, fact: e.SessionEnded) -> _Told:
        if fact.flat:
            return "good", f"session ended ({fact.reason}), proved flat"
        return "error", f"session ended ({fact.reason}), NOT proved flat: look at the broker's own page"

    def _day_latched(self, fact: e.DayLatched) -> _Told:
        return "warning", f"{reason_label(fact.reason)} at {money(fact.day_pnl)}: no entry any more today"

    def _latch_changed(self, fact: e.LatchChanged) -> _Told:
        level: Level = "good" if fact.state == "ACTIVE" else "warning"
        return level, f"trading latch {fact.state}: {fact.reason} (by {fact.who})"

    def _link_changed(self, fact: e.LinkChanged) -> _Told:
        level: Level = "good" if fact.status == "up" else "warning" if fact.status == "stale" else "error"
        detail = f": {fact.detail}" if fact.detail else ""
        return level, f"{fact.link} {fact.name} is {fact.status.replace('_', ' ')}{detail}"

    # ---- decisions and orders ----

    def _decision_made(self, fact: e.DecisionMade) -> _Told:
        when = f"{decided_at(self._date, fact.minute)} close" if self._date else f"minute {fact.minute}"
        return "info", f"{fact.slot} at the {when}: {decision_words(fact)}"

    def _stop_planned(self, fact: e.StopPlanned) -> _Told:
        symbol = self._symbols.get(fact.position, f"position {fact.position}")
        return "info", f"stop of {symbol} shall stand at {price(fact.trigger)}, {fact.quantity} units"

    def _intent_prepared(self, fact: e.IntentPrepared) -> _Told:
        self._intents[fact.tag] = fact
        self._symbols[fact.position] = fact.symbol
        at = {
            "SL": f"trigger {price(fact.trigger)}, limit {price(fact.limit)}",
            "LIMIT": f"limit {price(fact.limit)}",
            "MARKET": f"at market within {fact.protection_percent} %",
        }[fact.order_type]
        part = f" (part {fact.slice} of {fact.slices})" if fact.slices > 1 else ""
        why = f", {reason_label(fact.reason).lower()}" if fact.leg == "exit" else ""
        return "info", (f"{_LEGS[fact.leg]}: {fact.side} {fact.quantity} {fact.symbol}, {at}{part}{why}")

    def _order_denied(self, fact: e.OrderDenied) -> _Told:
        return "warning", f"{_LEGS[fact.leg]} of {fact.symbol} not sent: {fact.reason}"

    def _order_refused(self, fact: e.OrderRefused) -> _Told:
        return "error", f"{self._order(fact.tag)} refused by the broker: {fact.reason}"

    def _order_unknown(self, fact: e.OrderUnknown) -> _Told:
        return (
            "warning",
            f"{self._order(fact.tag)}: no answer ({fact.reason}); being looked for, not sent again",
        )

    def _order_accepted(self, fact: e.OrderAccepted) -> _Told:
        return ("good", f"{self._order(fact.tag)} found at the broker") if fact.found else None

    def _order_not_sent(self, fact: e.OrderNotSent) -> _Told:
        return "warning", f"{self._order(fact.tag)} never reached the broker: {fact.reason}"

    def _order_updated(self, fact: e.OrderUpdated) -> _Told:
        if fact.status == "REJECTED":
            return "error", f"{self._order(fact.tag)} rejected: {fact.message or 'no reason told'}"
        if fact.status in ENDED_STATUSES and fact.status != "COMPLETE":
            filled = f" after {fact.filled} of {fact.quantity} filled" if fact.filled else ""
            return "info", f"{self._order(fact.tag)} {fact.status.lower()}{filled}"
        return None

    def _modify_prepared(self, fact: e.ModifyPrepared) -> _Told:
        at = f"trigger {price(fact.trigger)}, " if fact.trigger else ""
        return (
            "info",
            f"{self._order(fact.tag)} moves to {at}limit {price(fact.limit)}, {fact.quantity} units",
        )

    def _cancel_prepared(self, fact: e.CancelPrepared) -> _Told:
        return "info", f"{self._order(fact.tag)} is being withdrawn: {fact.reason}"

    def _request_answered(self, fact: e.RequestAnswered) -> _Told:
        if fact.outcome == "confirmed":
            return None
        request = "change" if fact.request == "modify" else "withdrawal"
        reason = f": {fact.reason}" if fact.reason else ""
        return "warning", f"{request} of the {self._order(fact.tag)} {fact.outcome}{reason}"

    def _fill_booked(self, fact: e.FillBooked) -> _Told:
        intent = self._intents.get(fact.tag)
        what = f" {intent.symbol} ({_LEGS[intent.leg]})" if intent else f" of order {fact.order_id}"
        done = "sold" if fact.side == "SELL" else "bought"
        return "good", f"{done} {fact.quantity}{what} at {price(fact.price)}"

    def _outside_fill(self, fact: e.OutsideFill) -> _Told:
        done = "sold" if fact.side == "SELL" else "bought"
        return "warning", (
            f"somebody else {done} {fact.quantity} {fact.symbol} of ours at {price(fact.price)} (the broker, or a person "
            "in its app)"
        )

    # ---- truth against log, commands ----

    def _noticed(self, fact: e.Noticed) -> _Told:
        return fact.level, fact.text

    def _reconcile_done(self, fact: e.ReconcileDone) -> _Told:
        if not fact.mismatches:
            return None
        return "error", f"broker and log disagree in {fact.mismatches} places"

    def _mismatch(self, fact: e.Mismatch) -> _Told:
        detail = f" ({fact.detail})" if fact.detail else ""
        return (
            "error",
            f"mismatch, {fact.subject} {fact.key}: ours {fact.ours or 'none'}, broker's {fact.theirs or 'none'}{detail}",
        )

    def _command_taken(self, fact: e.CommandTaken) -> _Told:
        self._verbs[fact.command] = fact.verb
        return "info", f"command {fact.command}, {command_label(fact.verb)}, from {fact.origin}"

    def _command_answered(self, fact: e.CommandAnswered) -> _Told:
        verb = command_label(self._verbs.get(fact.command, "command"))
        level: Level = "good" if fact.state == "done" else "warning"
        return level, f"{verb} {fact.state}: {fact.answer}"

    def _journal_merged(self, fact: e.JournalMerged) -> _Told:
        return "warning", f"{fact.merged} events from the fallback journal are in the log now"

    def _projections_rebuilt(self, fact: e.ProjectionsRebuilt) -> _Told:
        return "warning", f"tables made anew from the log: {fact.detail}"


def decision_words(fact: e.DecisionMade) -> str:
    """What a slot wants and why, without the time."""
    if fact.symbol:
        lots = f"{fact.lots} lot{'s' if fact.lots > 1 else ''}"
        return (
            f"sell {lots} {fact.symbol} if {price(fact.trigger)} trades (swing low {price(fact.swing_low)}), limit "
            f"{price(fact.limit)}, stop {price(fact.stop)}; best of {_qualified(fact)}"
        )
    return {
        "none_qualifies": f"nothing to sell, {_qualified(fact)}",
        "no_room": f"no room, a position limit is reached; {_qualified(fact)}",
        "outside_hours": f"outside the entry hours; {_qualified(fact)}",
        "day_over": f"the day is over for entries; {_qualified(fact)}",
        "wanted": _qualified(fact),
    }[fact.verdict]


def reason_words(date: dt.date, fact: e.DecisionMade) -> str:
    """Why the wanted contract is wanted: its swing low, what has happened since, how far the stop is."""
    distance = fact.stop - fact.swing_low
    return (
        f"swing low {price(fact.swing_low)} at {minute_label(date, fact.swing_minute)}, known since "
        f"{decided_at(date, fact.conf_minute)}; highest since {price(fact.highest_high)}, so the stop is {price(distance)} "
        f"or {100 * distance / max(fact.swing_low, 1):.1f} % away; best of {_qualified(fact)}"
    )


def _qualified(fact: e.DecisionMade) -> str:
    if not fact.candidates:
        return "no candidates"
    return f"{fact.qualified or 'none'} of {fact.candidates} candidates qualif{'ies' if fact.qualified == 1 else 'y'}"


_SAYS: dict[type[e.Fact], Callable[[LogWords, Any], _Told]] = {
    kind: getattr(LogWords, method)
    for name, kind in e.KINDS.items()
    if hasattr(LogWords, method := "_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
}
"""How each kind is told: the method named as the kind."""
