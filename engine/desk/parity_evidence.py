"""What a day's log proves about each order, and what disturbed the day: the evidence for a difference's cause.

Nothing is judged here. An order's life is put in the time of the exchange, from its reports; what disturbed the
session (a restart, a line that was down, a person) becomes a stretch of that time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from engine.desk.parity_rows import MS_NS, BacktestDay, SessionDay
from engine.execution.bar_path import MINUTE_MS
from engine.execution.orders import ENTRY, ORDER_EVENTS
from engine.live.log.events import (
    CancelPrepared,
    CommandTaken,
    DayLatched,
    DecisionMade,
    Event,
    FillBooked,
    IntentPrepared,
    LatchChanged,
    LinkChanged,
    Mismatch,
    ModifyPrepared,
    OrderDenied,
    OrderRefused,
    OrderUnknown,
    OrderUpdated,
    ReconcileDone,
    RequestAnswered,
    RunnerStarted,
)
from engine.live.log.state import Order

MINUTE_NS = MINUTE_MS * MS_NS
HALF_DAY_NS = 12 * 60 * MINUTE_NS
BY_ITSELF = frozenset({"session", "reconcile", "runner", "gateway", "store", "trader", "watchdog"})
"""Who moves the latch without a person."""

STANDS = frozenset({"OPEN", "TRIGGER PENDING"})  # Kite's spellings of an order that stands at the exchange
_REQUESTS = frozenset({"pause", "resume", "flatten", "kill", "stop", "reset"})


@dataclass
class Life:
    """
    What the log tells of one order, in exchange time (ns UTC); 0 = never.

    Attributes
    ----------
    asked_ns : int
        When it was prepared.
    stood_ns : int
        First report that it stands.
    numbers : list of (ns, trigger, limit, units)
        What stood, from each report that changed it.
    triggered_ns : int
        First report of a stop as a limit order.
    made_market_ns : int
        When a stop was asked to become a marketable limit.
    changes_asked : list of ns
        Modifications and cancels.
    refusals : list of str
        Why it, or a change of it, was refused.
    fills : list of (ns, price, units)
    unanswered_ns : int
        When the answer to it, or to a change or cancel of it, was lost.
    """

    order: Order
    asked_ns: int
    stood_ns: int = 0
    numbers: list[tuple[int, int, int, int]] = field(default_factory=list)
    triggered_ns: int = 0
    made_market_ns: int = 0
    changes_asked: list[int] = field(default_factory=list)
    cancel_asked_ns: int = 0
    refused_ns: int = 0
    refusals: list[str] = field(default_factory=list)
    fills: list[tuple[int, int, int]] = field(default_factory=list)
    ended_ns: int = 0
    unanswered_ns: int = 0

    @property
    def first_fill_ns(self) -> int:
        """0 without one."""
        return min((fill[0] for fill in self.fills), default=0)

    def stands_at(self, ns: int) -> bool:
        """Whether it stood at the exchange then."""
        return 0 < self.stood_ns <= ns and (not self.ended_ns or ns < self.ended_ns)


@dataclass(frozen=True)
class Disturbance:
    """A stretch of the day in which something else than the strategy acted."""

    cause: str  # of parity_causes.CAUSES
    first_ns: int
    last_ns: int
    detail: str

    def touches(self, first_ns: int, last_ns: int) -> bool:
        """Whether it overlaps another stretch."""
        return self.first_ns <= last_ns and first_ns <= self.last_ns


@dataclass(frozen=True)
class Standing:
    """One line of the backtest's record of an entry order."""

    ns: int
    number: int
    event: str  # of ORDER_EVENTS
    symbol: str
    conf_minute: int
    swing_index: int
    trigger: int
    limit: int


class Evidence:
    """
    The orders' lives and the disturbances of one day, and the backtest's entry orders beside them.

    Parameters
    ----------
    ours : SessionDay
    theirs : BacktestDay

    Attributes
    ----------
    lives : list of Life
        In the order in which the orders were prepared.
    denied : list of (ns, OrderDenied)
    latched_ns : int
        When a daily limit ended the day; 0 = never.
    disturbances : list of Disturbance
    """

    def __init__(self, ours: SessionDay, theirs: BacktestDay) -> None:
        self.ours = ours
        self.theirs = theirs
        self.close_ns = ours.open_ns + theirs.outcome.minutes * MINUTE_NS
        self._by_tag: dict[str, Life] = {}
        self.denied: list[tuple[int, OrderDenied]] = []
        self.latched_ns = 0
        self.disturbances: list[Disturbance] = []
        self._now = ours.open_ns
        self._orders = {order.tag: order for order in ours.orders}
        self._down: dict[tuple[str, str], tuple[int, str]] = {}
        self._forbidden: tuple[int, str, str] | None = None
        self._restart: Disturbance | None = None
        self._read()
        self.lives = list(self._by_tag.values())
        self.standing = list(self._standing())

    def entries_of(self, symbol: str) -> list[Life]:
        """Entry orders of a contract."""
        return [life for life in self.lives if life.order.symbol == symbol and life.order.leg == "entry"]

    def disturbed(self, first_ns: int, last_ns: int) -> Disturbance | None:
        """The first disturbance of a stretch of the day."""
        return next((each for each in self.disturbances if each.touches(first_ns, last_ns)), None)

    def their_latch_ns(self) -> int:
        """When a daily limit ended the backtest's day, as its exits or decisions show; 0 = never."""
        if not self.theirs.outcome.latch:
            return 0
        exits = [row.exit_ns for row in self.theirs.trades if row.reason in {"day_stop", "day_target"}]
        lines = [
            self.theirs.open_ns + (line.minute + 1) * MINUTE_NS
            for line in self.theirs.decisions
            if line.verdict == "day_over"
        ]
        return min([*exits, *lines], default=0)

    # ---- the log ----

    def moment(self, event: Event) -> int:
        """
        When an event happened at the exchange: its own time where the log is kept in it, never before the last known.

        A runner of a played day does not know its time until the feed has told it.
        """
        inside = event.ts_ns < self.close_ns + HALF_DAY_NS
        return max(event.ts_ns, self._now) if inside else self._now

    def _read(self) -> None:
        before = self.ours.open_ns
        for event in self.ours.events:
            now = self.moment(event)
            self._take(event, now, before)
            told = self._told_ns(event)
            self._now = max(self._now, told)
            before = max(now, told)
        self._started()
        for cause, (since, words) in [("outage", each) for each in self._down.values()]:
            self.disturbances.append(Disturbance(cause, since - MINUTE_NS, self.close_ns, words))
        if self._forbidden is not None:
            since, cause, words = self._forbidden
            self.disturbances.append(Disturbance(cause, since, self.close_ns, words))
        self.disturbances.sort(key=lambda each: each.first_ns)

    def _told_ns(self, event: Event) -> int:
        """The exchange time an event carries; 0 = none."""
        match event.fact:
            case DecisionMade() as made:
                return self.ours.open_ns + (made.minute + 1) * MINUTE_NS
            case FillBooked() as fill:
                return fill.time_ns
            case OrderUpdated() as report:
                return report.time_ns
        return 0

    def _take(self, event: Event, now: int, before: int) -> None:
        tag = getattr(event.fact, "tag", None)
        if tag is not None and tag not in self._by_tag and not isinstance(event.fact, IntentPrepared):
            return  # an order of an earlier day
        match event.fact:
            case IntentPrepared() as fact:
                self._by_tag[fact.tag] = Life(self._orders[fact.tag], now)
            case OrderRefused() as fact:
                self._refused(fact.tag, now, f"{fact.code} {fact.reason}")
            case OrderUpdated() as fact:
                self._reported(self._by_tag[fact.tag], fact, fact.time_ns or now)
            case ModifyPrepared() as fact:
                life = self._by_tag[fact.tag]
                life.changes_asked.append(now)
                if fact.order_type != "SL" and life.order.leg == "stop":
                    life.made_market_ns = life.made_market_ns or now
            case CancelPrepared() as fact:
                life = self._by_tag[fact.tag]
                life.changes_asked.append(now)
                life.cancel_asked_ns = life.cancel_asked_ns or now
            case RequestAnswered(outcome="refused") as fact:
                self._refused(fact.tag, now, f"{fact.request}: {fact.reason}")
            case OrderUnknown() | RequestAnswered(outcome="unknown") as fact:
                life = self._by_tag[fact.tag]
                life.unanswered_ns = life.unanswered_ns or now
            case FillBooked() as fact:
                self._by_tag[fact.tag].fills.append((fact.time_ns or now, fact.price, fact.quantity))
            case OrderDenied() as fact:
                self.denied.append((now, fact))
            case DayLatched():
                self.latched_ns = self.latched_ns or now
            case _:
                self._disturbed(event, now, before)

    def _refused(self, tag: str, now: int, words: str) -> None:
        life = self._by_tag[tag]
        life.refused_ns = life.refused_ns or now
        life.refusals.append(words.strip())

    def _reported(self, life: Life, report: OrderUpdated, at: int) -> None:
        if report.status in STANDS:
            life.stood_ns = life.stood_ns or at
            numbers = (report.trigger, report.limit, report.quantity)
            if not life.numbers or life.numbers[-1][1:] != numbers:
                life.numbers.append((at, *numbers))
        if report.status == "OPEN" and report.trigger:
            life.triggered_ns = life.triggered_ns or at
        if report.status in {"COMPLETE", "CANCELLED", "REJECTED"}:
            life.ended_ns = life.ended_ns or at
        if report.status == "REJECTED" or (report.status in STANDS and report.message):
            life.refused_ns = life.refused_ns or at
            life.refusals.append(report.message or "rejected by the exchange")

    def _disturbed(self, event: Event, now: int, before: int) -> None:
        match event.fact:
            case RunnerStarted() as fact:
                words = f"runner {fact.pid} was started again"
                self._started()
                self._restart = Disturbance("restart", before, now + MINUTE_NS, words)
            case ReconcileDone() if self._restart is not None:
                # only now it knows what time it is: a played day went on while it was away
                self._restart = replace(self._restart, last_ns=now + MINUTE_NS)
                self._started()
            case LinkChanged(status="up") as fact:
                since = self._down.pop((fact.link, fact.name), None)
                if since is not None:
                    self.disturbances.append(
                        Disturbance("outage", since[0] - MINUTE_NS, now + MINUTE_NS, since[1])
                    )
            case LinkChanged() as fact:
                words = f"{fact.link} {fact.name} {fact.status} {fact.detail}".strip()
                self._down.setdefault((fact.link, fact.name), (now, words))
            case CommandTaken() as fact if fact.verb in _REQUESTS:
                words = f"{fact.verb} from {fact.origin}"
                self.disturbances.append(Disturbance("operator", now, now + MINUTE_NS, words))
            case LatchChanged() as fact:
                if self._forbidden is not None:
                    began, why, told = self._forbidden
                    self.disturbances.append(Disturbance(why, began, now, told))
                    self._forbidden = None
                if fact.state != "ACTIVE":
                    cause = "doubt" if fact.who in BY_ITSELF else "operator"
                    self._forbidden = (now, cause, f"latch {fact.state} by {fact.who}: {fact.reason}")
            case Mismatch(subject="external") as fact:
                words = f"{fact.key} was traded outside this session"
                self.disturbances.append(Disturbance("external", now - MINUTE_NS, self.close_ns, words))

    def _started(self) -> None:
        if self._restart is not None:
            self.disturbances.append(self._restart)
            self._restart = None

    # ---- the backtest ----

    def _standing(self) -> Iterator[Standing]:
        outcome = self.theirs.outcome
        for line in outcome.orders:
            if line["role"] == ENTRY:
                yield Standing(
                    self.theirs.open_ns + int(line["ms"]) * MS_NS,
                    int(line["number"]),
                    ORDER_EVENTS[line["event"]],
                    outcome.symbols[line["contract"]],
                    *(int(line[name]) for name in ("conf_minute", "swing_index", "trigger", "limit")),
                )
