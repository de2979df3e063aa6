"""What a session is told: closed bars, prices, order reports, trades, commands, time, the feed's condition.

Every order is named by (position, leg): the session numbers positions, the gateway knows tags, slices and the
broker's ids and tells the sum over the slices. Prices in ticks, quantities in units, moments in ns UTC, contracts
as places in the plan's list.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from engine.history.bar_step import TICK, Records
from engine.live.log.events import LatchState, Leg

Verb = Literal["pause", "resume", "flatten", "kill"]
Request = Literal["place", "modify", "cancel"]


@dataclass(frozen=True, slots=True)
class Bar:
    """One closed minute of one contract."""

    contract: int
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True, slots=True)
class BarsClosed:
    """
    A minute is over; contracts without a trade in it have no bar.

    `replayed` bars rebuild what is known after a restart: they decide, but nothing is sent for them.
    """

    minute: int
    bars: tuple[Bar, ...]
    replayed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Quotes:
    """
    Last traded prices: TICK[n] in the order they came, `instrument` = contract, all of one minute.

    `at_ns` is the newest one's time.
    """

    at_ns: int
    ticks: Records

    @classmethod
    def of(cls, at_ns: int, prices: Sequence[tuple[int, int]]) -> Self:
        """Prices as (contract, ticks)."""
        ticks = np.zeros(len(prices), TICK)
        ticks["exchange_ns"] = at_ns
        for number, (contract, price) in enumerate(prices):
            ticks[number]["instrument"] = contract
            ticks[number]["price"] = price
        return cls(at_ns, ticks)


@dataclass(frozen=True, slots=True)
class Timer:
    """The time. Day loss, forced exit and overdue stops are judged here, after the reports of that moment."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """
    What stands of an order; cumulative, so that late and repeated reports change nothing.

    Attributes
    ----------
    status : str
        "stands", "triggered" (now a limit order) or "ended" (proven: complete, cancelled or rejected).
    filled : int
        Units filled so far, as the broker tells; their trades may come later.
    """

    position: int
    leg: Leg
    status: Literal["stands", "triggered", "ended"]
    quantity: int
    trigger: int
    limit: int
    filled: int
    at_ns: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request had provably no effect; an order that stood before still stands."""

    position: int
    leg: Leg
    request: Request
    reason: str


@dataclass(frozen=True, slots=True)
class Trade:
    """
    One trade of one of our orders; `trade_id` is unique over the day and booked once.

    `reversal` = an exit that sells: it takes back what was bought too many.
    """

    trade_id: str
    position: int
    leg: Leg
    quantity: int
    price: int
    time_ns: int
    reversal: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """A person's word. `position` is for flatten: one position."""

    verb: Verb
    who: str
    reason: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class LatchKnown:
    """The latch as it stands in the log, moved by the session itself or by somebody else."""

    state: LatchState


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """Whether prices are fresh."""

    fresh: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BrokerSnapshot:
    """
    The broker's own answer to what stands and what is held (never a failed fetch).

    Attributes
    ----------
    orders : of ours, ended ones included
    net : (contract, units) of our instruments, negative = short; absent = flat
    """

    orders: tuple[OrderUpdate, ...]
    net: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class EntryKnown:
    """After a restart: an entry order that the log holds."""

    position: int
    kind: int  # CE or PE
    contract: int
    conf_minute: int
    swing_index: int
    trigger: int
    limit: int
    lots: int
    stop: int


Input = (
    BarsClosed | Quotes | Timer | OrderUpdate | RequestRefused | Trade | Command | FeedStatus | BrokerSnapshot
    | EntryKnown | LatchKnown
)  # fmt: skip
