"""What the log amounts to: orders, positions, fills, days and the latch, as immutable rows.

The same rows are the columns of the projection tables. Units as in `events`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from engine.live.log.events import DayLatch, LatchState, Leg, Mode, OrderType, Side, Slot
from engine.market.prices import PAISE_PER_TICK

PREPARED, SENT, ACCEPTED = "PREPARED", "SENT", "ACCEPTED"
REFUSED, UNKNOWN, TERMINAL = "REFUSED", "UNKNOWN", "TERMINAL"
ENDED_STATES = frozenset({REFUSED, TERMINAL})
REJECTED = "REJECTED"  # accepted, then refused
ENDED_STATUSES = frozenset({"COMPLETE", "CANCELLED", REJECTED})  # Kite's spellings
NOT_SENT = "NOT_SENT"
OUTSIDE = "outside"
"""Why a position ended that somebody else bought back."""


@dataclass(frozen=True, slots=True)
class Order:
    """
    One intent and what became of it.

    Attributes
    ----------
    state : str
        PREPARED, SENT, ACCEPTED, UNKNOWN (all open: their risk is reserved), REFUSED or TERMINAL.
    order_id, status : str
        The broker's; "" while unknown. `status` is NOT_SENT for one that provably never arrived.
    quantity, trigger, limit : int
        As last confirmed at the broker.
    filled : int
        Units filled as the broker's order tells; never falls.
    booked : int
        Units of its booked trades. Below `filled` while trades are on their way.
    pending : str
        "", "modify" or "cancel": a request without a known outcome; `next_*` is what a modification asked for.
    reason : str
        What the order is for; that of a modification counts once it is confirmed.
    modifications : int
        Modifications prepared so far, the refused ones too.
    """

    tag: str
    position: int
    slot: Slot
    leg: Leg
    reason: str
    symbol: str
    side: Side
    quantity: int
    order_type: OrderType
    trigger: int
    limit: int
    protection_percent: int
    slice: int
    slices: int
    conf_minute: int
    swing_index: int
    stop: int
    state: str
    order_id: str
    status: str
    filled: int
    booked: int
    average_milliticks: int
    pending: str
    next_order_type: OrderType
    next_quantity: int
    next_trigger: int
    next_limit: int
    next_reason: str
    modifications: int
    detail: str
    prepared_ns: int
    updated_ns: int

    @property
    def open(self) -> bool:
        """Whether its end is not proven: its risk stays reserved."""
        return self.state not in ENDED_STATES

    @property
    def reserved(self) -> int:
        """Units that may still fill."""
        return max(max(self.quantity, self.next_quantity) - self.filled, 0) if self.open else 0


@dataclass(frozen=True, slots=True)
class Position:
    """
    One position from its first fill to flat, derived from fills alone.

    Attributes
    ----------
    sold, bought : int
        Units.
    sold_value, bought_value : int
        Sums of price (ticks) times units.
    stop_trigger, stop_limit, stop_quantity : int
        As planned last; 0 before.
    closed_ns : int
        When it became flat; 0 while open.
    exit_reason : str
        Reason of the order whose fill closed it; "" while open.
    """

    position: int
    date: str
    slot: Slot
    symbol: str
    conf_minute: int
    swing_index: int
    planned_stop: int
    sold: int
    sold_value: int
    bought: int
    bought_value: int
    stop_trigger: int
    stop_limit: int
    stop_quantity: int
    opened_ns: int
    closed_ns: int
    exit_reason: str

    @property
    def net(self) -> int:
        """Units held: negative = short, 0 = flat."""
        return self.bought - self.sold

    @property
    def realised(self) -> int:
        """Paise before charges; 0 until flat."""
        return (self.sold_value - self.bought_value) * PAISE_PER_TICK if self.net == 0 else 0

    def pnl(self, mark: int) -> int:
        """Paise before charges with what is open valued at `mark` ticks."""
        return (self.sold_value - self.bought_value + self.net * mark) * PAISE_PER_TICK


@dataclass(frozen=True, slots=True)
class Fill:
    """One booked trade of the broker."""

    order_id: str
    trade_id: str
    tag: str
    position: int
    symbol: str
    side: Side
    quantity: int
    price: int
    time_ns: int
    seq: int


@dataclass(frozen=True, slots=True)
class Day:
    """
    One trading day in a line.

    Attributes
    ----------
    realised : int
        Paise before charges of the positions closed that day.
    charges : int or None
        Paise, told at the end.
    latched : str
        "", "day_stop" or "day_target".
    flat : bool
        Proved flat at the end.
    reconciled_ns : int
        When broker and log were last compared; 0 = never.
    start_seq : int
        `seq` of its (last) SessionStarted.
    """

    date: str
    underlying: str
    expiry: str
    mode: Mode
    params_hash: str
    lot_size: int
    broker: str
    feed: str
    simulated: bool
    started_ns: int
    ended_ns: int
    starts: int
    orders: int
    fills: int
    positions: int
    realised: int
    charges: int | None
    latched: DayLatch | str
    flat: bool
    reconciled_ns: int
    mismatches: int
    start_seq: int


@dataclass(frozen=True, slots=True)
class Latch:
    """The trading latch: who moved it there, why and when."""

    state: LatchState
    reason: str
    who: str
    ts_ns: int

    @property
    def strictness(self) -> int:
        """0 for ACTIVE to 3 for FLATTENING."""
        return STRICTNESS[self.state]


STRICTNESS: dict[LatchState, int] = {"ACTIVE": 0, "REDUCING": 1, "HALTED": 2, "FLATTENING": 3}
NEVER_SET = Latch("HALTED", "no event has set the latch", "store", 0)


def stricter(one: Latch, other: Latch) -> Latch:
    """The one that forbids more; the first of two equal ones."""
    return one if one.strictness >= other.strictness else other


def fill_key(order_id: str, trade_id: str) -> str:
    """The key under which a broker's trade is booked once."""
    return f"{order_id}/{trade_id}"


def _none() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Changes:
    """The rows that one event makes new or different; `None` leaves the latch."""

    orders: tuple[Order, ...] = ()
    positions: tuple[Position, ...] = ()
    fills: tuple[Fill, ...] = ()
    days: tuple[Day, ...] = ()
    latch: Latch | None = None


@dataclass(frozen=True)
class State:
    """
    All rows after the event `seq`.

    Attributes
    ----------
    orders : by tag
    positions : by number
    fills : by `fill_key`
    days : by ISO date
    """

    seq: int = 0
    latch: Latch = NEVER_SET
    orders: Mapping[str, Order] = field(default_factory=_none)
    positions: Mapping[int, Position] = field(default_factory=_none)
    fills: Mapping[str, Fill] = field(default_factory=_none)
    days: Mapping[str, Day] = field(default_factory=_none)

    @property
    def today(self) -> Day | None:
        """The day started last."""
        return max(self.days.values(), key=lambda day: day.start_seq, default=None)

    @property
    def open_orders(self) -> tuple[Order, ...]:
        """Orders whose end is not proven, in the order of their tags' first appearance."""
        return tuple(order for order in self.orders.values() if order.open)

    @property
    def open_positions(self) -> tuple[Position, ...]:
        """Positions that are not flat."""
        return tuple(position for position in self.positions.values() if position.net)

    @property
    def trades(self) -> tuple[Position, ...]:
        """Positions that are flat again."""
        return tuple(position for position in self.positions.values() if not position.net)

    @property
    def next_position(self) -> int:
        """The number for the next position: above every one that an order or a position carries."""
        last_order = max((order.position for order in self.orders.values()), default=0)
        return max(last_order, max(self.positions, default=0)) + 1

    def after(self, seq: int, changes: Changes) -> "State":
        """The state with the rows of one more event."""
        return replace(
            self,
            seq=seq,
            latch=changes.latch or self.latch,
            orders=_with(self.orders, {order.tag: order for order in changes.orders}),
            positions=_with(self.positions, {row.position: row for row in changes.positions}),
            fills=_with(self.fills, {fill_key(row.order_id, row.trade_id): row for row in changes.fills}),
            days=_with(self.days, {day.date: day for day in changes.days}),
        )

    def digest(self) -> str:
        """Hash over everything, independent of the order in which rows appeared (sha256, hex)."""
        text = json.dumps(
            [
                self.seq,
                astuple(self.latch),
                *([astuple(rows[key]) for key in sorted(rows)] for rows in self._maps()),
            ],
            separators=(",", ":"),
            ensure_ascii=False,
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _maps(self) -> Iterator[Mapping[Any, Any]]:
        yield from (self.orders, self.positions, self.fills, self.days)


def _with(rows: Mapping[Any, Any], new: Mapping[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType({**rows, **new}) if new else rows
