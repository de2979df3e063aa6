"""An order at the practice exchange and its answers in Kite's spelling.

An order carries its own history. Prices are ticks inside and rupees in the answers; times are milliseconds after
the open inside and naive IST texts in the answers, as Kite sends them.
"""

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from engine.errors import WorkbenchError
from engine.execution.matching import BUY, SELL
from engine.market.clock import from_ns
from engine.market.prices import to_rupees
from engine.practice.market import NS_PER_MS, Instrument

# states of an order, Kite Connect v3, orders
RECEIVED = "PUT ORDER REQ RECEIVED"
VALIDATION_PENDING = "VALIDATION PENDING"
OPEN_PENDING = "OPEN PENDING"
TRIGGER_PENDING = "TRIGGER PENDING"
OPEN = "OPEN"
COMPLETE = "COMPLETE"
CANCELLED = "CANCELLED"
REJECTED = "REJECTED"
MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
MODIFY_PENDING = "MODIFY PENDING"
MODIFIED = "MODIFIED"
CANCEL_PENDING = "CANCEL PENDING"
ENDED = frozenset({COMPLETE, CANCELLED, REJECTED})
UPDATE = "UPDATE"  # only in postbacks: a partial fill or a modification

SIDES = {"BUY": BUY, "SELL": SELL}
NAMES = {BUY: "BUY", SELL: "SELL"}


class Refused(WorkbenchError):  # noqa: N818 - the exchange's answer, spelled as an answer
    """A request is refused: Kite's error type, HTTP code and message."""

    def __init__(self, kind: str, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code


@dataclass
class Clock:
    """From milliseconds after the open to the texts of Kite's answers."""

    open_ns: int

    def moment(self, ms: int) -> dt.datetime:
        """Aware IST."""
        return from_ns(self.open_ns + ms * NS_PER_MS)

    def text(self, ms: int | None) -> str | None:
        """Naive IST text, None for no time."""
        return None if ms is None else f"{self.moment(ms):%Y-%m-%d %H:%M:%S}"

    def epoch(self, ms: int) -> int:
        """Seconds since 1970."""
        return (self.open_ns + ms * NS_PER_MS) // 1_000_000_000


def rupees(ticks: float) -> float:
    """A price in ticks as the number Kite's JSON has."""
    return float(to_rupees(int(ticks))) if ticks == int(ticks) else round(ticks / 20, 4)


@dataclass(eq=False)
class Order:
    """
    One order; `limit` and `trigger` in ticks, 0 where the type has none, quantities in units.

    Attributes
    ----------
    triggered : bool
        A stop order that has become a limit order.
    fresh : bool
        It has not yet met a price since it arrived or was modified: it takes a better price than its limit.
    active : bool
        It stands in the book.
    visible_ms : int
        From when the order book shows it; a timed-out order may appear late.
    """

    order_id: str
    instrument: Instrument
    side: int
    order_type: str
    product: str
    validity: str
    quantity: int
    limit: int
    trigger: int
    market_protection: float
    tag: str | None
    user_id: str
    placed_ms: int
    visible_ms: int
    status: str = RECEIVED
    status_message: str | None = None
    exchange_order_id: str | None = None
    update_ms: int | None = None
    exchange_ms: int | None = None
    filled: int = 0
    turnover: int = 0  # ticks x units
    cancelled: int = 0
    modified: bool = False
    modifications: int = 0
    triggered: bool = False
    fresh: bool = True
    active: bool = False
    frozen: bool = False  # stuck on its way: nothing can be done to it
    rest_cancelled: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_stop(self) -> bool:
        """Whether it is dormant until its trigger is traded."""
        return self.order_type == "SL" and not self.triggered

    @property
    def pending(self) -> int:
        """Units still to be filled."""
        return 0 if self.status in ENDED else self.quantity - self.filled

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.status in ENDED

    def answer(self, clock: Clock) -> dict[str, Any]:
        """The order as GET /orders shows it."""
        return {
            "placed_by": self.user_id,
            "order_id": self.order_id,
            "exchange_order_id": self.exchange_order_id,
            "parent_order_id": None,
            "status": self.status,
            "status_message": self.status_message,
            "status_message_raw": self.status_message,
            "order_timestamp": clock.text(self.placed_ms),
            "exchange_update_timestamp": clock.text(self.update_ms),
            "exchange_timestamp": clock.text(self.exchange_ms),
            "variety": "regular",
            "modified": self.modified,
            "exchange": self.instrument.exchange,
            "tradingsymbol": self.instrument.symbol,
            "instrument_token": self.instrument.token,
            "order_type": self.order_type,
            "transaction_type": NAMES[self.side],
            "validity": self.validity,
            "product": self.product,
            "quantity": self.quantity,
            "disclosed_quantity": 0,
            "price": 0 if self.order_type == "MARKET" else rupees(self.limit),
            "trigger_price": rupees(self.trigger),
            "average_price": rupees(self.turnover / self.filled) if self.filled else 0,
            "filled_quantity": self.filled,
            "pending_quantity": self.pending,
            "cancelled_quantity": self.cancelled,
            "market_protection": self.market_protection,
            "meta": {},
            "tag": self.tag,
            "guid": f"practice-{self.order_id}",
        }

    def history_line(self, clock: Clock, status: str) -> dict[str, Any]:
        """One state of the order as GET /orders/{id} shows it."""
        line = self.answer(clock)
        line["status"] = status
        line["order_timestamp"] = clock.text(self.update_ms if self.update_ms is not None else self.placed_ms)
        for name in ("status_message_raw", "exchange_update_timestamp", "market_protection", "meta", "guid"):
            del line[name]
        return line

    def postback(self, clock: Clock, *, status: str, app_id: int, checksum: str) -> dict[str, Any]:
        """The order as a postback and as a text frame of the ticker (there with a blank checksum)."""
        line = self.answer(clock)
        del line["modified"]
        return {
            "user_id": self.user_id,
            "unfilled_quantity": self.pending,
            "app_id": app_id,
            "checksum": checksum,
            **line,
            "status": status,
        }


@dataclass(frozen=True)
class Trade:
    """One fill."""

    trade_id: str
    order: Order
    quantity: int  # units
    price: int  # ticks
    ms: int
    minute: int
    moment: int

    def answer(self, clock: Clock) -> dict[str, Any]:
        """The fill as GET /trades shows it."""
        order = self.order
        return {
            "trade_id": self.trade_id,
            "order_id": order.order_id,
            "exchange": order.instrument.exchange,
            "tradingsymbol": order.instrument.symbol,
            "instrument_token": order.instrument.token,
            "product": order.product,
            "average_price": rupees(self.price),
            "quantity": self.quantity,
            "exchange_order_id": order.exchange_order_id,
            "transaction_type": NAMES[order.side],
            "fill_timestamp": clock.text(self.ms),
            "order_timestamp": f"{clock.moment(self.ms):%H:%M:%S}",
            "exchange_timestamp": clock.text(self.ms),
        }
