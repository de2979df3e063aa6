"""What a session knows of its day. Changed by `session.step` alone; everything that leaves it is immutable."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.execution.decisions import DECISION
from engine.execution.hours import Hours, trading_hours
from engine.execution.ledger import short_pnl
from engine.execution.risk import Limits, limits_for
from engine.live.decisions.session_intents import Intent
from engine.live.log.events import LatchState
from engine.params import SwingBreakParams
from engine.strategy.candidates import LOW_EVENT, SLOT, Pool, level_names, new_pool
from engine.strategy.closed_minute import Tape, new_tape
from engine.strategy.predicates import CANDIDATE, Predicate
from engine.strategy.rules import Rules, rules_for
from engine.strategy.swing_break import DESIRED_ORDER, NOBODY, Day

MINUTE_NS = 60_000_000_000
"""Nanoseconds of a minute."""


@dataclass(frozen=True, eq=False)
class Plan:
    """
    What a session is started with; fixed for the day.

    Attributes
    ----------
    open_ns : int
        Moment of the open, ns UTC.
    minutes : int
        Length of the session.
    symbols, strike, is_call : length C
        Contracts in the order of DayBars: CE first, then strike (rupees), then symbol.
    """

    date: dt.date
    underlying: str
    expiry: dt.date
    open_ns: int
    minutes: int
    symbols: tuple[str, ...]
    strike: npt.NDArray[np.int32]
    is_call: npt.NDArray[np.bool_]
    rules: Rules
    limits: Limits
    hours: Hours
    stop_unfilled_ns: int
    predicates: tuple[Predicate, ...]

    @property
    def exit_ns(self) -> int:
        """When every position is bought back."""
        return self.open_ns + self.hours.exit_minute * MINUTE_NS


def plan_for(
    params: SwingBreakParams,
    *,
    date: dt.date,
    expiry: dt.date,
    open_ns: int,
    open_minute: int,
    minutes: int,
    lot_size: int,
    symbols: Sequence[str],
    strike: npt.NDArray[np.int32],
    is_call: npt.NDArray[np.bool_],
    predicates: Sequence[Predicate] = (),
) -> Plan:
    """The plan of one day; `open_minute` is the minute of the day (IST) of the open, `lot_size` in units."""
    return Plan(
        date=date,
        underlying=params.underlying,
        expiry=expiry,
        open_ns=open_ns,
        minutes=minutes,
        symbols=tuple(symbols),
        strike=np.asarray(strike, np.int32),
        is_call=np.asarray(is_call, np.bool_),
        rules=rules_for(params, lot_size),
        limits=limits_for(params),
        hours=trading_hours(params, open_minute, minutes),
        stop_unfilled_ns=params.stop_unfilled_seconds * 1_000_000_000,
        predicates=tuple(predicates),
    )


@dataclass(slots=True)
class Entry:
    """
    One entry order, from its request to its proven end.

    Attributes
    ----------
    order : DESIRED_ORDER[1]
        What stands; before the first answer, what was asked.
    asked : DESIRED_ORDER[1]
        What the modification on its way asks for.
    request : str
        "place", "modify" or "cancel" while its outcome is open, else "".
    withdrawing : bool
        Its end was asked for.
    """

    position: int
    kind: int
    order: npt.NDArray
    asked: npt.NDArray
    request: str = "place"
    withdrawing: bool = False
    modifications: int = 0
    asked_ns: int = 0  # when the request on its way was made; 0 = by an earlier process
    refused_ns: int = 0
    refusals: int = 0  # of its withdrawal, one after another
    before: list[npt.NDArray] = field(default_factory=list)  # what stood before each acknowledged change
    filled: int = 0  # units, as told
    ended: bool = False

    @property
    def contract(self) -> int:
        """Place in the plan's list."""
        return int(self.order[0]["contract"])


@dataclass(slots=True)
class Slot:
    """The entry order of one option type, and what is wanted of it."""

    entry: Entry | None = None
    wish: npt.NDArray | None = None  # DESIRED_ORDER[1] still to be reached; None = leave things as they are


@dataclass(slots=True)
class Short:
    """One position from its first fill on. Values are sums of price (ticks) times units."""

    position: int
    kind: int
    contract: int
    entry: Entry
    opened_ns: int
    planned_stop: int
    stop: int  # ticks
    stop_limit: int
    told: int = 0  # units sold, as the order's reports tell
    sold: int = 0  # units sold, by trades
    sold_value: int = 0
    bought: int = 0
    bought_value: int = 0
    bought_by_exit: int = 0
    stop_request: str = ""  # "place" or "modify" on its way
    stop_asked: int = 0  # units asked for last
    stop_asked_ns: int = 0
    stop_covers: int = 0  # units of the stop that stands, filled ones included; 0 = none stands
    stop_told: int = 0  # units bought by the stop, as told
    stop_triggered_ns: int = 0
    stop_is_exit: bool = False  # the stop was turned into the exit's limit order
    must_go: str = ""  # why it may not stay, known when it was opened
    exit_reason: str = ""  # why it is being bought back
    exit_told: int = 0  # units bought by the exit, as told
    exit_covers: int = 0  # units of the exit that stands, filled ones included; 0 = none stands
    exit_asked: int = 0  # units that the exit shall have bought in all; 0 = it has to be asked for again
    exit_retry_ns: int = 0  # not again before this
    tidied_ns: int = 0  # when what is left of it was last asked away
    closed_by: str = ""  # reason of the last trade that bought

    @property
    def units(self) -> int:
        """Units that are short and need protection, by trades and by what the orders' reports tell."""
        return max(max(self.told, self.sold) - max(self.bought, self.stop_told + self.exit_told), 0)

    @property
    def flat(self) -> bool:
        """Every told fill is booked and nothing is open."""
        return 0 < self.sold == self.bought and self.told <= self.sold

    @property
    def unbooked(self) -> bool:
        """Whether a fill was told whose trade is still on its way."""
        return self.told > self.sold or self.stop_told + self.exit_told > self.bought

    def pnl(self, mark: int) -> int:
        """Paise before charges with what is open valued at `mark` ticks."""
        return short_pnl(self.sold_value, self.bought_value + (self.sold - self.bought) * mark, 1)


class ClosedTrade(NamedTuple):
    """A position that is flat again."""

    position: int
    contract: int
    symbol: str
    kind: int
    conf_minute: int
    swing_index: int
    quantity: int
    entry_ns: int
    entry_value: int  # price (ticks) times units
    stop: int
    exit_ns: int
    exit_value: int
    reason: str
    pnl: int  # paise before charges


def no_order() -> npt.NDArray:
    """A DESIRED_ORDER[1] that wants nothing."""
    made = np.zeros(1, DESIRED_ORDER)
    made["contract"] = NOBODY
    return made


@dataclass(slots=True)
class SessionState:
    """Everything that one step leaves for the next."""

    plan: Plan
    day: Day
    tape: Tape
    pool: Pool
    lows: npt.NDArray  # LOW_EVENT[C], working room
    row: npt.NDArray  # CANDIDATE[1], working room
    blocked: npt.NDArray[np.bool_]  # [C], working room
    addresses: npt.NDArray[np.int64]
    wanted: npt.NDArray  # DESIRED_ORDER[2]
    last: npt.NDArray  # DECISION[2]
    price: npt.NDArray[np.int32]  # [C], last traded, 0 before the first
    next_position: int
    now_ns: int = 0
    closed_minute: int = -1
    highs: dict[int, npt.NDArray[np.int32]] = field(default_factory=dict)  # of minutes in progress
    slots: tuple[Slot, Slot] = field(default_factory=lambda: (Slot(), Slot()))
    entries: dict[int, Entry] = field(default_factory=dict)
    shorts: dict[int, Short] = field(default_factory=dict)
    booked: set[str] = field(default_factory=set)
    trades: dict[int, ClosedTrade] = field(default_factory=dict)  # by position
    day_latch: int = 0  # place in fills.LATCHES
    latch: LatchState = "ACTIVE"
    feed_fresh: bool = True
    unbooked_ns: int = 0  # since when the price of a fill has been unknown; 0 = none is
    withdrawn: dict[int, int] = field(default_factory=dict)  # contract -> when its entry order ended, ns
    cycles: dict[int, list[int]] = field(default_factory=dict)  # contract -> moments of churn, ns
    margin_refused_ns: int = 0  # when an entry was last refused for it; 0 = none was since some was freed
    margin_told_ns: int = 0  # when a person was last told of it; 0 = not since one has seen to it
    outbox: list[Intent] = field(default_factory=list)

    @property
    def open(self) -> list[Short]:
        """Positions that are short."""
        return [short for short in self.shorts.values() if short.units > 0]

    @property
    def may_enter(self) -> bool:
        """Whether a new entry may be asked for at all."""
        return self.latch == "ACTIVE" and self.feed_fresh and self.day_latch == 0

    def day_paise(self) -> int:
        """Realised and open profit of the day at the last traded prices, in paise."""
        return sum(short.pnl(int(self.price[short.contract])) for short in self.shorts.values())


def new_state(plan: Plan, next_position: int = 1) -> SessionState:
    """The state before the first minute; positions are counted from `next_position`."""
    contracts = len(plan.symbols)
    shape = (contracts, plan.minutes)
    funnel = np.zeros(len(level_names(tuple(p.name for p in plan.predicates))), np.int64)
    last = np.zeros(2, DECISION)
    last["order"]["contract"] = NOBODY
    high, low, close, open_, volume = (np.zeros(shape, np.int32) for _ in range(5))
    day: Any = Day(
        high, low, close, open_, volume, np.zeros(shape, np.bool_), plan.strike, plan.is_call,
        (plan.expiry - plan.date).days,
    )  # fmt: skip
    return SessionState(
        plan=plan,
        day=day,
        tape=new_tape(contracts, plan.minutes, funnel),
        pool=new_pool(np.zeros(contracts, SLOT), funnel),
        lows=np.zeros(contracts, LOW_EVENT),
        row=np.zeros(1, CANDIDATE),
        blocked=np.zeros(contracts, np.bool_),
        addresses=np.array([p.address for p in plan.predicates], np.int64),
        wanted=np.zeros(2, DESIRED_ORDER),
        last=last,
        price=np.zeros(contracts, np.int32),
        next_position=next_position,
    )
