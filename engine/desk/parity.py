"""A session's day against a backtest of the same day: equal row for row, or every difference with its cause.

The reading side of the architecture's promise that parity is a test, not a hope: any recorded live, paper or practice
day is compared with `play_day` of the same bars and parameters. What is compared stands in `parity_rows`, where the
evidence comes from in `parity_evidence` and `parity_bars`, how a cause is found in `parity_causes`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.backtest.outcome import DayOutcome
from engine.desk.parity_bars import SeenDay
from engine.desk.parity_causes import CAUSES, Case, Causes
from engine.desk.parity_evidence import MINUTE_NS, Evidence
from engine.desk.parity_rows import (
    BacktestDay,
    SessionDay,
    TradeKey,
    TradeRow,
    backtest_day,
    read_session,
    session_day,
    trade_hash,
)
from engine.live.log.events import DecisionMade
from engine.market.clock import from_ns, minute_label
from engine.market.prices import paise_to_rupees, to_rupees

__all__ = [
    "CAUSES",
    "BacktestDay",
    "Comparison",
    "Difference",
    "SessionDay",
    "TradeRow",
    "backtest_day",
    "compare_day",
    "read_session",
    "session_day",
    "trade_hash",
]

_RANK = {"only_ours": 0, "only_theirs": 0, "entry": 0, "stop": 1, "exit": 2, "decision": 3}
NO_EXCHANGE_RULE = frozenset({"stop_gap", "follows"})
"""What may differ without any latency: the backtest's price of a stop that jumped its limit is no exchange's."""


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One thing in which the sides differ.

    Attributes
    ----------
    what : str
        only_ours or only_theirs (a trade), entry, stop or exit of a trade, or decision.
    key : str
        Which trade, or which minute and slot.
    ours, theirs : str
        "" where that side has nothing.
    cause : str
        One of CAUSES.
    detail : str
        What shows it.
    """

    what: str
    key: str
    ours: str
    theirs: str
    cause: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """Plain, for JSON."""
        return {name: getattr(self, name) for name in ("what", "key", "ours", "theirs", "cause", "detail")}


@dataclass(frozen=True)
class Comparison:
    """
    A session's day beside the backtest's.

    Attributes
    ----------
    trades, decisions, fills : int
        Of the session.
    trade_hash, backtest_trade_hash : str
        Equal for equal trades.
    decisions_equal : bool
        Row for row, in their order.
    differences : tuple of Difference
        In the order of time.
    pnl, backtest_pnl : int
        Paise before charges.
    """

    trades: int
    trade_hash: str
    backtest_trade_hash: str
    decisions: int
    decisions_equal: bool
    differences: tuple[Difference, ...]
    fills: int
    pnl: int
    backtest_pnl: int

    @property
    def equal(self) -> bool:
        """Nothing differs."""
        return self.decisions_equal and self.trade_hash == self.backtest_trade_hash and not self.differences

    @property
    def causes(self) -> dict[str, int]:
        """How often each cause was found."""
        return dict(Counter(each.cause for each in self.differences))

    def is_accounted_for(self, *, exact: bool) -> bool:
        """
        Whether all is well.

        Parameters
        ----------
        exact : bool
            The day was played without latency and faults: then only what NO_EXCHANGE_RULE names may differ, else
            everything that has a cause.
        """
        causes = set(self.causes)
        return self.equal or (
            bool(causes) and (causes <= NO_EXCHANGE_RULE if exact else "unexplained" not in causes)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain, for JSON."""
        return {
            "trades": self.trades,
            "trade_hash": self.trade_hash,
            "backtest_trade_hash": self.backtest_trade_hash,
            "decisions": self.decisions,
            "decisions_equal": self.decisions_equal,
            "differences": [each.as_dict() for each in self.differences],
            "fills": self.fills,
            "pnl": str(paise_to_rupees(self.pnl)),
            "backtest_pnl": str(paise_to_rupees(self.backtest_pnl)),
        }


def compare_day(
    ours: SessionDay,
    outcome: DayOutcome | BacktestDay,
    *,
    latency_ms: int = 0,
    seen: SeenDay | None = None,
) -> Comparison:
    """
    Compare a session's day with a backtest of the same day and the same parameters.

    Parameters
    ----------
    ours : SessionDay
        From `read_session`.
    outcome : DayOutcome or BacktestDay
    latency_ms : int
        Delay that was put between session and exchange; 0 where none was.
    seen : SeenDay, optional
        From `seen_day`: the day by the session's own bars, where they are not the backtest's.
    """
    theirs = outcome if isinstance(outcome, BacktestDay) else backtest_day(outcome, ours.open_ns)
    causes = Causes(Evidence(ours, theirs), latency_ms, seen)
    cases = [*_trade_cases(ours, theirs), *_decision_cases(ours, theirs)]
    differences = []
    for case in sorted(cases, key=lambda each: (each.at_ns, _RANK[each.what], each.label)):
        cause, detail = causes.explain(case)
        told = [_told(case.what, row) for row in (case.ours, case.theirs)]
        differences.append(Difference(case.what, case.label, told[0], told[1], cause, detail))
    return Comparison(
        trades=len(ours.trades),
        trade_hash=trade_hash(ours.date, ours.trades),
        backtest_trade_hash=trade_hash(ours.date, theirs.trades),
        decisions=len(ours.decisions),
        decisions_equal=ours.decisions == theirs.decisions,
        differences=tuple(differences),
        fills=len(ours.fills),
        pnl=sum(row.pnl for row in ours.trades),
        backtest_pnl=sum(row.pnl for row in theirs.trades),
    )


def _trade_cases(ours: SessionDay, theirs: BacktestDay) -> list[Case]:
    mine, other = _by_key(ours.trades), _by_key(theirs.trades)
    cases = []
    for key in sorted(mine.keys() | other.keys()):
        (symbol, minute, swing), again = key
        label = f"{symbol} swing {swing} of {minute_label(ours.date, minute)}" + (
            f" ({again})" if again else ""
        )
        a, b = mine.get(key), other.get(key)
        if a is None or b is None:
            row = a or b
            assert row is not None
            cases.append(Case("only_theirs" if a is None else "only_ours", row.entry_ns, label, a, b))
            continue
        if (a.entry_ns, a.entry_value, a.quantity) != (b.entry_ns, b.entry_value, b.quantity):
            cases.append(Case("entry", min(a.entry_ns, b.entry_ns), label, a, b))
        if a.stop != b.stop:
            cases.append(Case("stop", min(a.entry_ns, b.entry_ns), label, a, b))
        if (a.exit_ns, a.exit_price, a.reason) != (b.exit_ns, b.exit_price, b.reason):
            cases.append(Case("exit", min(a.exit_ns, b.exit_ns), label, a, b))
    return cases


def _by_key(rows: Iterable[TradeRow]) -> dict[tuple[TradeKey, int], TradeRow]:
    """Trades by swing, and by how often that was traded before: 0, unless something is badly wrong."""
    made: dict[tuple[TradeKey, int], TradeRow] = {}
    for row in rows:
        made[row.key, sum(key == row.key for key, _ in made)] = row
    return made


def _decision_cases(ours: SessionDay, theirs: BacktestDay) -> list[Case]:
    mine = {(line.minute, line.slot): line for line in ours.decisions}
    other = {(line.minute, line.slot): line for line in theirs.decisions}
    cases = [
        Case(
            "decision",
            ours.open_ns + (minute + 1) * MINUTE_NS,
            f"{slot} at the close of {minute_label(ours.date, minute)}",
            mine.get((minute, slot)),
            other.get((minute, slot)),
        )
        for minute, slot in sorted(mine.keys() | other.keys())
        if mine.get((minute, slot)) != other.get((minute, slot))
    ]
    if not cases and ours.decisions != theirs.decisions:
        pairs = zip(ours.decisions, theirs.decisions, strict=False)
        a, b = next(pair for pair in pairs if pair[0] != pair[1])
        cases.append(Case("decision", ours.open_ns + (a.minute + 1) * MINUTE_NS, "order of the rows", a, b))
    return cases


def _told(what: str, row: TradeRow | DecisionMade | None) -> str:
    """The side of a difference in words."""
    if row is None:
        return ""
    if isinstance(row, DecisionMade):
        counts = f"{row.qualified} of {row.candidates} qualify"
        if not row.symbol:
            return f"{row.verdict}, {counts}"
        prices = " ".join(f"{name} {to_rupees(getattr(row, name))}" for name in ("trigger", "limit", "stop"))
        return f"{row.verdict} {row.symbol} {prices} lots {row.lots} swing {row.swing_index}, {counts}"
    entry = f"{row.quantity} at {row.entry_price.normalize():f} {from_ns(row.entry_ns):%H:%M:%S}"
    exit_ = f"{row.exit_price.normalize():f} {from_ns(row.exit_ns):%H:%M:%S} {row.reason}"
    match what:
        case "entry":
            return entry
        case "stop":
            return f"stop {to_rupees(row.stop)}"
        case "exit":
            return exit_
    return f"{entry}, {exit_}"
