"""A day as rows that can be compared: what a session's log says it did, and what a backtest of the same day did.

Both sides become the same canonical rows, in integers, so that equal rows mean equal trading. Times are cut to whole
seconds, as a broker's fills carry no finer ones; the moments of a played bar are whole seconds too.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from engine.backtest.outcome import DayOutcome, moment_ms
from engine.errors import DataError
from engine.execution.bar_path import MINUTE_MS, MOMENTS
from engine.execution.decisions import VERDICTS
from engine.execution.ledger import DAY_TARGET, EXIT_REASONS
from engine.live.log.events import DecisionMade, Event, IntentPrepared, SessionStarted
from engine.live.log.projections import replay
from engine.live.log.reader import StoreReader
from engine.live.log.state import Fill, Order, Position
from engine.market.clock import minute_start, to_ns
from engine.market.prices import PAISE_PER_TICK, paise_to_rupees

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
_ORDER_FIELDS = (
    "conf_minute", "swing_index", "swing_minute", "swing_low", "highest_high", "bars_after", "trigger", "limit",
    "lots", "stop",
)  # fmt: skip

TradeKey = tuple[str, int, int]
"""Symbol, confirming minute and number of the swing low: one swing is traded once."""


@dataclass(frozen=True, order=True, slots=True)
class TradeRow:
    """
    One round trip.

    Attributes
    ----------
    conf_minute, swing_index : int
        The swing low behind it, see `TRADE`.
    entry_ns, exit_ns : int
        First fill of the entry, last fill of the exit; ns UTC, whole seconds.
    entry_value, exit_value : int
        Sums of price (ticks) times units: exact for a fill in parts.
    quantity : int
        Units.
    stop : int
        Trigger of the stop as planned at the fill, ticks.
    reason : str
        One of EXIT_REASONS, or a command.
    pnl : int
        Paise before charges.
    """

    symbol: str
    conf_minute: int
    swing_index: int
    entry_ns: int
    entry_value: int
    quantity: int
    stop: int
    exit_ns: int
    exit_value: int
    reason: str
    pnl: int

    @property
    def key(self) -> TradeKey:
        """What it is paired by."""
        return self.symbol, self.conf_minute, self.swing_index

    @property
    def entry_price(self) -> Decimal:
        """Rupees, the mean of its fills."""
        return self._mean(self.entry_value)

    @property
    def exit_price(self) -> Decimal:
        """Rupees, the mean of its fills."""
        return self._mean(self.exit_value)

    def _mean(self, value: int) -> Decimal:
        return (paise_to_rupees(value * PAISE_PER_TICK) / self.quantity).quantize(Decimal("0.0001"))


@dataclass(frozen=True, eq=False)
class SessionDay:
    """
    What the log of one trading day holds.

    Attributes
    ----------
    open_ns : int
        The session's open, ns UTC.
    trades : tuple of TradeRow
        Positions that are flat again, sorted.
    open_positions : tuple of Position
        Those that are not.
    decisions : tuple of DecisionMade
        In the order in which they were made.
    orders, fills
        Rows of the log.
    events : tuple of Event
        From the day's start on, ascending.
    """

    date: dt.date
    open_ns: int
    lot_size: int
    trades: tuple[TradeRow, ...]
    open_positions: tuple[Position, ...]
    decisions: tuple[DecisionMade, ...]
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, eq=False)
class BacktestDay:
    """The rows of a backtest's day; trades that no price could close are left out and counted."""

    outcome: DayOutcome
    open_ns: int
    trades: tuple[TradeRow, ...]
    decisions: tuple[DecisionMade, ...]
    invalid: tuple[str, ...]  # symbols


def trade_hash(date: dt.date, trades: Iterable[TradeRow]) -> str:
    """Sixteen hex digits over the trades of a day; equal for equal trades, whichever side they come from."""
    digest = hashlib.sha256(date.isoformat().encode())
    for row in sorted(trades):
        digest.update(repr(astuple(row)).encode())
    return digest.hexdigest()[:16]


def open_ns_of(date: dt.date) -> int:
    """The open of a trading day, ns UTC."""
    return to_ns(minute_start(date, 0))


def backtest_day(outcome: DayOutcome, open_ns: int | None = None) -> BacktestDay:
    """
    The rows of a backtest's day.

    Parameters
    ----------
    open_ns : int, optional
        Left out: the calendar's.
    """
    opened = open_ns_of(outcome.date) if open_ns is None else open_ns
    done = outcome.trades[~outcome.trades["invalid"]]
    entry = opened + moment_ms(done["entry_minute"], done["entry_moment"]) * MS_NS
    # the day's target is judged when the minute has closed, so what it sells out at that close goes at the minute's end
    at_close = (done["reason"] == DAY_TARGET) & (done["exit_moment"] == MOMENTS - 1)
    exit_ms = np.where(at_close, (done["exit_minute"].astype(np.int64) + 1) * MINUTE_MS,
                       moment_ms(done["exit_minute"], done["exit_moment"]))  # fmt: skip
    exit_ = opened + exit_ms * MS_NS
    trades = [
        TradeRow(
            symbol=outcome.symbols[trade["contract"]],
            conf_minute=int(trade["conf_minute"]),
            swing_index=int(trade["swing_index"]),
            entry_ns=int(entry[k]),
            entry_value=int(trade["entry_price"]) * int(trade["quantity"]),
            quantity=int(trade["quantity"]),
            stop=int(trade["stop"]),
            exit_ns=int(exit_[k]),
            exit_value=int(trade["exit_price"]) * int(trade["quantity"]),
            reason=EXIT_REASONS[trade["reason"]],
            pnl=int(trade["pnl"]),
        )
        for k, trade in enumerate(done)
    ]
    decisions = []
    for line in outcome.decisions:
        order = line["order"]
        wanted = order["contract"] >= 0
        decisions.append(
            DecisionMade(
                minute=int(line["minute"]),
                slot="PE" if line["kind"] else "CE",
                verdict=VERDICTS[line["verdict"]],  # type: ignore[arg-type]
                candidates=int(line["candidates"]),
                qualified=int(line["qualified"]),
                symbol=outcome.symbols[order["contract"]] if wanted else "",
                **{name: int(order[name]) if wanted else 0 for name in _ORDER_FIELDS},
            )
        )
    lost = outcome.trades[outcome.trades["invalid"]]
    invalid = tuple(outcome.symbols[trade["contract"]] for trade in lost)
    return BacktestDay(outcome, opened, tuple(sorted(trades)), tuple(decisions), invalid)


def read_session(path: str | Path, date: dt.date) -> SessionDay:
    """
    The rows of a session's day from its store.

    Parameters
    ----------
    path : path
        The database, which may be in use.

    Raises
    ------
    StoreError
        If it cannot be read.
    DataError
        If it holds no session of that date.
    """
    with StoreReader(path) as reader:
        return session_day(reader.events(limit=-1), date, str(path))


def session_day(
    log: Sequence[Event], date: dt.date, where: str = "the log", open_ns: int | None = None
) -> SessionDay:
    """
    The rows of a session's day from its whole log.

    Raises
    ------
    DataError
        If the log holds no session of that date.
    """
    starts = [event for event in log if isinstance(event.fact, SessionStarted)]
    mine = [event for event in starts if _date(event) == date]
    if not mine:
        held = sorted({_date(event).isoformat() for event in starts})
        raise DataError(
            f"{where} holds no session of {date}; it holds {', '.join(held) or 'none'}: name one of them"
        )
    first = mine[0].seq
    after = min((event.seq for event in starts if event.seq > mine[-1].seq), default=log[-1].seq + 1)
    events = tuple(event for event in log if first <= event.seq < after)
    started = events[0].fact
    assert isinstance(started, SessionStarted)
    state = replay(event for event in log if event.seq < after)
    tags = {event.fact.tag for event in events if isinstance(event.fact, IntentPrepared)}
    orders = tuple(order for order in state.orders.values() if order.tag in tags)
    fills = tuple(fill for fill in state.fills.values() if first <= fill.seq)
    positions = {order.position for order in orders}
    decisions = tuple(
        dict.fromkeys(  # a restart decides its minutes again: the same line twice is one decision
            event.fact for event in events if isinstance(event.fact, DecisionMade)
        )
    )
    trades = [
        _trade_row(position, events, orders, fills, started.lot_size)
        for position in state.trades
        if position.position in positions
    ]
    return SessionDay(
        date=date,
        open_ns=open_ns_of(date) if open_ns is None else open_ns,
        lot_size=started.lot_size,
        trades=tuple(sorted(trades)),
        open_positions=tuple(each for each in state.open_positions if each.position in positions),
        decisions=decisions,
        orders=orders,
        fills=fills,
        events=events,
    )


def _date(event: Event) -> dt.date:
    assert isinstance(event.fact, SessionStarted)
    return event.fact.date


def _trade_row(
    position: Position, events: Sequence[Event], orders: Iterable[Order], fills: Iterable[Fill], lot_size: int
) -> TradeRow:
    mine = sorted((fill for fill in fills if fill.position == position.position), key=lambda fill: fill.seq)
    sold = [fill for fill in mine if fill.side == "SELL"]
    bought = [fill for fill in mine if fill.side == "BUY"]
    entries = [order for order in orders if order.position == position.position and order.leg == "entry"]
    conf_minute, swing_index = swing_of(position, entries, events, sold[0].seq, lot_size)
    return TradeRow(
        symbol=position.symbol,
        conf_minute=conf_minute,
        swing_index=swing_index,
        entry_ns=_second(min(fill.time_ns for fill in sold)),
        entry_value=position.sold_value,
        quantity=position.sold,
        stop=position.stop_trigger,
        exit_ns=_second(max(fill.time_ns for fill in bought)),
        exit_value=position.bought_value,
        reason=position.exit_reason,
        pnl=position.realised,
    )


def swing_of(
    position: Position, entries: Sequence[Order], events: Sequence[Event], filled_seq: int, lot_size: int
) -> tuple[int, int]:
    """
    Confirming minute and number of the swing low that a position's entry was filled for.

    An order is modified from one swing low to the next without a new intent, so the swing is that of the newest
    decision before the fill whose numbers the order had when it filled; without one, that of the intent.
    """
    order = entries[0]
    quantity = sum(each.quantity for each in entries)
    close: tuple[int, int] | None = None
    for event in reversed(events):
        made = event.fact
        if event.seq > filled_seq or not isinstance(made, DecisionMade):
            continue
        if (made.slot, made.symbol, made.trigger, made.limit) == (
            position.slot, position.symbol, order.trigger, order.limit,
        ):  # fmt: skip
            if made.lots * lot_size == quantity:
                return made.conf_minute, made.swing_index
            close = close or (made.conf_minute, made.swing_index)
    return close or (position.conf_minute, position.swing_index)


def _second(ns: int) -> int:
    return ns // SECOND_NS * SECOND_NS
