"""Why a session's day differs from the backtest's: one cause for every difference, found in the evidence.

Causes are a closed list. A cause is told only where the log or the orders of both sides show it; what they do not
show is "unexplained". A difference that another one brought about (a place taken, a swing used up, another day P&L)
"follows" it and names it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.desk.parity_bars import SeenDay
from engine.desk.parity_evidence import MINUTE_NS, Evidence, Life
from engine.desk.parity_rows import MS_NS, SECOND_NS, TradeKey, TradeRow
from engine.execution.bar_path import MOMENT_MS
from engine.execution.ledger import EXIT_REASONS
from engine.live.decisions.session_entries import MARGIN_WAIT_NS, means_no_margin
from engine.live.log.events import DecisionMade
from engine.market.clock import from_ns

CAUSES = {
    "stop_gap": "a stop jumped its limit: the backtest takes the worse of two prices, an exchange its own",
    "refused_late": "an entry or its change arrived when its trigger was reached and was refused",
    "no_margin": "the broker had no margin for an entry; for a while no other was asked for",
    "refused": "the broker refused an order for another reason",
    "denied": "our own gateway let no such order out",
    "entry_latency": "an entry order, its change or its cancel took effect later on one side",
    "exit_latency": "a stop or an exit took effect, and met its price, later on one side",
    "stop_refused": "the stop was refused or did not come to stand in time, so the position was bought back",
    "partial_fill": "an order filled in parts or not wholly",
    "bars": "ticks came late or not at all, so the session's bars are not the backtest's",
    "outage": "prices or the broker's line were away",
    "restart": "the runner was started again",
    "operator": "a person stepped in",
    "doubt": "the session forbade entries itself, for a doubt about its book",
    "external": "the contract was traded outside the session",
    "session_cut": "the session did not see the position's end",
    "no_price": "the backtest had no price to close it, so it counts no trade",
    "follows": "another difference brought it about",
    "unexplained": "nothing in the evidence shows why",
}
_BY_RULE = frozenset({*EXIT_REASONS, "unprotected", "surplus"})
"""Why a session closes a position by itself; any other reason is a person's."""
_DAY_REASONS = frozenset({"day_stop", "day_target"})
_STOPS = frozenset({"stop", "stop_gap"})
_TRIGGER_REACHED = ("trigger price for stoploss", "trigger reached", "trigger is reached")
NEXT_MOMENT_NS = int(MOMENT_MS[1]) * MS_NS
"""No moment of a minute is further from the next than this."""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One difference before its cause is known.

    Attributes
    ----------
    what : str
        only_ours, only_theirs, entry, stop, exit, decision.
    at_ns : int
        When the sides parted, ns UTC.
    ours, theirs : TradeRow, DecisionMade or None
    """

    what: str
    at_ns: int
    label: str
    ours: Any
    theirs: Any


Found = tuple[str, str]
"""A cause and what shows it."""


class Causes:
    """
    Finds causes, case by case in the order of time.

    Parameters
    ----------
    evidence : Evidence
    latency_ms : int
        Delay the day was played with; 0 where none was put in.
    seen : SeenDay, optional
        The day by the session's own bars, where they are not the backtest's.
    """

    def __init__(self, evidence: Evidence, latency_ms: int = 0, seen: SeenDay | None = None) -> None:
        self.evidence = evidence
        self.seen = seen
        self.latency_ms = latency_ms
        self.earlier: list[Case] = []
        self._ours = evidence.ours.trades
        self._theirs = evidence.theirs.trades

    def explain(self, case: Case) -> Found:
        """The cause of a case, and its evidence in words; to be asked in the order of time."""
        finders: dict[str, Sequence[Callable[[Case], Found | None]]] = {
            "only_theirs": (
                self._cut,
                self._saw_otherwise,
                self._not_entered,
                self._follows,
                self._disturbed,
            ),
            "only_ours": (
                self._priceless,
                self._saw_otherwise,
                self._entered_alone,
                self._follows,
                self._disturbed,
            ),
            "entry": (
                self._parts,
                self._saw_otherwise,
                self._entered_otherwise,
                self._follows,
                self._disturbed,
            ),
            "stop": (
                self._follows_own_entry,
                self._saw_otherwise,
                self._planned_otherwise,
                self._disturbed,
                self._follows,
            ),
            "exit": (
                self._saw_otherwise,
                self._left_otherwise,
                self._disturbed,
                self._follows_own_entry,
                self._follows,
            ),
            "decision": (self._saw_otherwise, self._follows, self._disturbed, self._stood_otherwise),
        }
        found = next((each for find in finders[case.what] if (each := find(case))), None)
        self.earlier.append(case)
        return found or ("unexplained", "")

    def _saw_otherwise(self, case: Case) -> Found | None:
        """Bars of the session's own, on which the backtest does as the session did."""
        if self.seen is None or not self.seen.does(case.what, case.ours, case.theirs):
            return None
        row = case.ours or case.theirs
        apart = self.seen.apart(row.symbol, _slot(case), case.at_ns)
        if apart is None:
            return None
        minute, words = apart
        began = self.evidence.ours.open_ns + minute * MINUTE_NS
        away = self.evidence.disturbed(began, began + MINUTE_NS)
        if away is not None and away.cause in {"outage", "restart"}:
            return away.cause, f"{away.detail}; {words}"
        return "bars", words

    # ---- trades that one side has not ----

    def _cut(self, case: Case) -> Found | None:
        held = [p for p in self.evidence.ours.open_positions if p.symbol == case.theirs.symbol]
        if held:
            return "session_cut", f"{-held[0].net} units of it are still held in the log"
        return None

    def _priceless(self, case: Case) -> Found | None:
        if case.ours.symbol in self.evidence.theirs.invalid:
            return "no_price", "it never traded again that day"
        return None

    def _not_entered(self, case: Case) -> Found | None:
        row: TradeRow = case.theirs
        first, last = self._decided_ns(row), row.entry_ns
        for life in self.evidence.entries_of(row.symbol):
            if life.refusals and first <= life.refused_ns <= last + SECOND_NS:
                return _refusal(life)
        for now, denied in self.evidence.denied:
            if denied.symbol == row.symbol and denied.leg == "entry" and first <= now <= last:
                return "denied", denied.reason
        for life in self.evidence.entries_of(row.symbol):
            late = self._late(life, row)
            if late and not life.fills and life.asked_ns <= last:
                return late
        for life in self.evidence.lives:
            leaving = 0 < life.cancel_asked_ns <= last and not 0 < life.ended_ns <= last - MINUTE_NS
            if life.order.leg == "entry" and life.order.slot == row.symbol[-2:] and leaving:
                words = f"{life.order.symbol}, asked to go at {_clock(life.cancel_asked_ns)}, held the slot"
                return "entry_latency", words
        return self._held_back(last)

    def _held_back(self, at_ns: int) -> Found | None:
        """The refusal because of which the session asked for no entry then."""
        for life in reversed(self.evidence.lives):
            since = at_ns - life.refused_ns
            if life.order.leg == "entry" and 0 <= since < MARGIN_WAIT_NS + MINUTE_NS:
                words = next((each for each in life.refusals if means_no_margin(each)), "")
                if words:
                    return "no_margin", f"{life.order.symbol} at {_clock(life.refused_ns)}: {words}"
        return None

    def _entered_alone(self, case: Case) -> Found | None:
        row: TradeRow = case.ours
        lines = [line for line in self.evidence.standing if line.symbol == row.symbol]
        of_swing = [line for line in lines if (line.conf_minute, line.swing_index) == row.key[1:]]
        if any(line.event == "rejected" and line.ns <= row.entry_ns for line in of_swing):
            return "refused_late", "the backtest's entry was refused: its trigger was reached"
        for life in self._filled_entries(row):
            before = [at for at in life.changes_asked if at < life.first_fill_ns + SECOND_NS]  # whole seconds
            gone = [line for line in of_swing if line.event == "cancelled" and line.ns <= row.entry_ns]
            if before and (gone or not of_swing):
                return (
                    "entry_latency",
                    f"filled while a change asked for at {_clock(before[-1])} was on its way",
                )
            late = self._late(life, row)
            if late:
                return late
        return None

    # ---- trades that both have ----

    def _parts(self, case: Case) -> Found | None:
        lives = self._filled_entries(case.ours)
        short = [life for life in lives if life.ended_ns and life.order.filled < life.order.quantity]
        if short:
            order = short[0].order
            return "partial_fill", f"{order.filled} of {order.quantity} units filled"
        if any(len(life.fills) > 1 for life in lives):
            return "partial_fill", f"filled in {sum(len(life.fills) for life in lives)} parts"
        return None

    def _entered_otherwise(self, case: Case) -> Found | None:
        for life in self._filled_entries(case.ours):
            late = self._late(life, case.theirs)
            if late:
                return late
        return None

    def _planned_otherwise(self, case: Case) -> Found | None:
        """A change of the order, and with it of the planned stop, that was on its way when the entry filled."""
        filled = case.ours.entry_ns
        for life in self._filled_entries(case.ours):
            asked = max((at for at in (life.asked_ns, *life.changes_asked) if at <= filled), default=filled)
            if filled > asked and not any(asked <= at <= filled for at, *_ in life.numbers):
                return "entry_latency", f"filled while a change asked for at {_clock(asked)} was on its way"
        for line in reversed(self.evidence.ours.decisions):
            # a new plan for the stop alone asks nothing of the exchange, while the backtest delays it too
            if line.symbol == case.ours.symbol and 0 <= filled - self._ns(line) < self.latency_ms * MS_NS:
                return "entry_latency", f"the plan decided at {_clock(self._ns(line))} was on its way"
        return None

    def _left_otherwise(self, case: Case) -> Found | None:
        ours, theirs = case.ours, case.theirs
        lives = self._closing(ours)
        if ours.reason not in _BY_RULE:
            touched = self.evidence.disturbed(ours.entry_ns, ours.exit_ns)
            detail = (
                touched.detail if touched and touched.cause == "operator" else f"bought back by {ours.reason}"
            )
            return "operator", detail
        if ours.reason == "unprotected":
            refused = [life for life in lives if life.order.leg == "stop" and life.refusals]
            denied = [d for _, d in self.evidence.denied if d.leg == "stop" and d.symbol == ours.symbol]
            words = refused[0].refusals[0] if refused else denied[0].reason if denied else ""
            if words:
                return "stop_refused", words
            gone_ns = min((life.asked_ns for life in lives if life.order.leg == "exit"), default=ours.exit_ns)
            stops = [life for life in lives if life.order.leg == "stop"]
            if stops and stops[0].unanswered_ns:
                return "outage", f"the stop asked for at {_clock(stops[0].asked_ns)} had no answer"
            if stops and not 0 < stops[0].stood_ns <= gone_ns:
                return (
                    "stop_refused",
                    f"the stop asked for at {_clock(stops[0].asked_ns)} did not stand in time",
                )
        if {ours.reason, theirs.reason} <= _STOPS and "stop_gap" in {ours.reason, theirs.reason}:
            return "stop_gap", f"ours left by {ours.reason}, the backtest by {theirs.reason}"
        if {ours.reason, theirs.reason} & _DAY_REASONS and self._latches_differ(case):
            # else the same day's end, found later: what came of it was late
            followed = self._follows_money(case)
            if followed or ours.reason != theirs.reason:
                return followed
        fills = [fill for life in lives for fill in life.fills]
        if len({price for _, price, _ in fills}) > 1:
            return "partial_fill", f"bought back in {len(fills)} parts"
        lost = next((life.unanswered_ns for life in lives if life.unanswered_ns), 0)
        if lost and ours.reason in _STOPS and theirs.reason not in _STOPS:
            return (
                "outage",
                f"the change of the stop asked for at {_clock(lost)} had no answer, so it counts as a stop",
            )
        return self._left_late(ours, theirs, lives)

    def _left_late(self, ours: TradeRow, theirs: TradeRow, lives: Sequence[Life]) -> Found | None:
        for life in lives:
            # it stood only after the moment at which the backtest's was met, or on the way to it
            late = life.stood_ns > ours.entry_ns or (self.latency_ms and life.stood_ns)
            missed = theirs.reason in _STOPS and theirs.exit_ns - life.stood_ns <= NEXT_MOMENT_NS
            if life.order.leg == "stop" and late and missed:
                return "exit_latency", f"the stop stood from {_clock(life.stood_ns)}"
        last = max(lives, key=lambda life: max((at for at, _, _ in life.fills), default=0), default=None)
        if last is None or not last.fills or (last.order.leg == "stop" and not last.made_market_ns):
            return None
        asked = last.made_market_ns or last.asked_ns
        took = max(at for at, _, _ in last.fills) - asked
        apart = abs(ours.exit_ns - theirs.exit_ns)
        if apart > max(took, 0) + self.latency_ms * MS_NS + MINUTE_NS:
            return None  # further than what was on its way
        if took >= MS_NS or self.latency_ms:
            told = f"{took // MS_NS if took >= MS_NS else self.latency_ms} ms"
            return "exit_latency", f"asked for at {_clock(asked)}, on its way for {told}"
        return None

    # ---- decisions ----

    def _stood_otherwise(self, case: Case) -> Found | None:
        """An entry order that stood on one side alone when the minute closed."""
        made: DecisionMade = case.ours or case.theirs
        ours = [
            life for life in self.evidence.lives if life.order.leg == "entry" and life.stands_at(case.at_ns)
        ]
        standing: dict[int, str] = {}
        for line in self.evidence.standing:
            if line.ns <= case.at_ns:
                standing.pop(line.number, None)
                if line.event in {"placed", "modified", "triggered"}:
                    standing[line.number] = line.symbol
        parted = {life.order.symbol for life in ours} ^ set(standing.values())
        since = case.at_ns - MINUTE_NS * max(made.minute, 1)
        entries = [
            each for each in self.evidence.lives if each.order.leg == "entry" and each.order.symbol in parted
        ]
        for life in reversed(entries):
            if life.refusals and since <= life.refused_ns <= case.at_ns:
                return _refusal(life)
        for life in entries:
            leaving = life.cancel_asked_ns and not 0 < life.ended_ns < case.at_ns
            slow = life.stood_ns - life.asked_ns >= SECOND_NS or self.latency_ms or leaving
            if slow and life.asked_ns <= case.at_ns:
                return "entry_latency", f"{life.order.symbol} was asked for at {_clock(life.asked_ns)}"
        return self._held_back(case.at_ns) if parted and not entries else None

    # ---- consequences ----

    def _disturbed(self, case: Case) -> Found | None:
        row = case.ours or case.theirs
        first = case.at_ns
        if isinstance(row, TradeRow):
            first = row.entry_ns if case.what in {"stop", "exit"} else self._decided_ns(row)
        found = self.evidence.disturbed(min(first, case.at_ns), case.at_ns)
        return (found.cause, found.detail) if found else None

    def _follows_own_entry(self, case: Case) -> Found | None:
        for each in self.earlier:
            if each.what == "entry" and each.label == case.label:
                return "follows", f"entry of {each.label}"
        return None

    def _follows(self, case: Case) -> Found | None:
        """What earlier differences changed for this one: swings, places, the day's end, the decision before."""
        keys = self._parted(case.at_ns)
        for each in self.earlier:
            row = each.ours or each.theirs
            if isinstance(row, TradeRow) and row.key in keys:
                return "follows", f"{each.what} of {each.label}"
        if self._latches_differ(case):
            return self._follows_money(case)
        slot = _slot(case)
        for each in reversed(self.earlier):
            if each.what == "decision" and _slot(each) == slot and self._decision_parts(slot, case.at_ns):
                return "follows", f"decision of {each.label}"
        return None

    def _follows_money(self, case: Case) -> Found | None:
        first = next((each for each in self.earlier if isinstance(each.ours or each.theirs, TradeRow)), None)
        if first is None:
            return self._disturbed(case)
        return "follows", f"{first.what} of {first.label}: another day P&L"

    def _latches_differ(self, case: Case) -> bool:
        ours, theirs = self.evidence.latched_ns, self.evidence.their_latch_ns()
        if bool(ours) != bool(theirs):
            return min(at for at in (ours, theirs) if at) <= case.at_ns
        # theirs is known by what followed it: an exit on its way, at the next moment of a played minute
        asked = theirs - self.latency_ms * MS_NS - NEXT_MOMENT_NS
        return not asked - SECOND_NS <= ours <= theirs and min(ours, asked) <= case.at_ns

    def _parted(self, ns: int) -> set[TradeKey]:
        """Swings used up, and positions open, on one side alone at a moment."""
        used = _keys(self._ours, lambda row: row.entry_ns <= ns) ^ _keys(
            self._theirs, lambda row: row.entry_ns <= ns
        )
        held = _keys(self._ours, lambda row: row.entry_ns <= ns <= row.exit_ns) ^ _keys(
            self._theirs, lambda row: row.entry_ns <= ns <= row.exit_ns
        )
        return used | held

    def _decision_parts(self, slot: str, ns: int) -> bool:
        """Whether what was decided last for a slot differs at a moment."""

        def newest(lines: Sequence[DecisionMade]) -> DecisionMade | None:
            past = [line for line in lines if line.slot == slot and self._ns(line) < ns]
            return past[-1] if past else None

        return newest(self.evidence.ours.decisions) != newest(self.evidence.theirs.decisions)

    # ---- orders ----

    def _filled_entries(self, row: TradeRow) -> list[Life]:
        return [
            life
            for life in self.evidence.entries_of(row.symbol)
            if life.fills and life.first_fill_ns // SECOND_NS * SECOND_NS <= row.entry_ns
            and max(at for at, _, _ in life.fills) >= row.entry_ns
        ]  # fmt: skip

    def _closing(self, row: TradeRow) -> list[Life]:
        positions = {life.order.position for life in self._filled_entries(row)}
        return [
            life
            for life in self.evidence.lives
            if life.order.position in positions and life.order.leg in {"stop", "exit"}
        ]

    def _late(self, life: Life, row: TradeRow) -> Found | None:
        """Whether an entry order of ours stood later, or with other numbers, than the backtest's of a trade."""
        theirs = [
            line
            for line in self.evidence.standing
            if line.symbol == row.symbol and line.event in {"placed", "modified"} and line.ns <= row.entry_ns
        ]
        if not theirs:
            return None
        if not life.stood_ns:
            return "entry_latency", f"asked for at {_clock(life.asked_ns)}, it never stood"
        begun = next(line for line in theirs if line.number == theirs[-1].number)
        stood = [each for each in life.numbers if each[0] <= row.entry_ns]
        if not stood:
            return (
                "entry_latency",
                f"stood from {_clock(life.stood_ns)}, the backtest's from {_clock(begun.ns)}",
            )
        now = stood[-1]
        if now[1:3] != (theirs[-1].trigger, theirs[-1].limit):
            return (
                "entry_latency",
                f"a change was on its way: trigger {now[1]}, the backtest's {theirs[-1].trigger} ticks",
            )
        if life.stood_ns - begun.ns >= SECOND_NS:
            return (
                "entry_latency",
                f"stood from {_clock(life.stood_ns)}, the backtest's from {_clock(begun.ns)}",
            )
        return None

    def _decided_ns(self, row: TradeRow) -> int:
        return self.evidence.ours.open_ns + (row.conf_minute + 1) * MINUTE_NS

    def _ns(self, line: DecisionMade) -> int:
        return self.evidence.ours.open_ns + (line.minute + 1) * MINUTE_NS


def _refusal(life: Life) -> Found:
    words = life.refusals[-1]
    if any(mark in words.lower() for mark in _TRIGGER_REACHED):
        return "refused_late", words
    return ("no_margin" if means_no_margin(words) else "refused"), words


def _keys(rows: Sequence[TradeRow], wanted: Callable[[TradeRow], bool]) -> set[TradeKey]:
    return {row.key for row in rows if wanted(row)}


def _slot(case: Case) -> str:
    row = case.ours or case.theirs
    return row.slot if isinstance(row, DecisionMade) else row.symbol[-2:]


def _clock(ns: int) -> str:
    return f"{from_ns(ns):%H:%M:%S}" if ns else "never"
