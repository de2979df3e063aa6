"""An order of the paper account, as the exchange sees it and as the book's file keeps it."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from engine.execution.matching import BUY, SELL
from engine.live.brokers.base import Contract, OrderReport, OrderRequest, OrderStatus
from engine.live.brokers.kite_answers import status_of
from engine.live.log.events import Side
from engine.market.prices import TICK_RUPEES

# Kite's words for where an order stands
RECEIVED = "PUT ORDER REQ RECEIVED"
TRIGGER_PENDING = "TRIGGER PENDING"
OPEN = "OPEN"
COMPLETE = "COMPLETE"
CANCELLED = "CANCELLED"
REJECTED = "REJECTED"


SIDES = {"BUY": BUY, "SELL": SELL}


@dataclass(frozen=True, slots=True)
class Change:
    """What a modification asks for; prices in ticks, quantity in units (the total), protection in per cent."""

    order_type: str
    quantity: int
    limit: int
    trigger: int
    market_protection: float

    @classmethod
    def of_request(cls, request: OrderRequest) -> Self:
        """What a modification asks for."""
        return cls(
            request.kind,
            request.quantity,
            request.limit_ticks,
            request.trigger_ticks,
            request.market_protection,
        )


@dataclass(eq=False, slots=True)
class OnItsWay:
    """
    A request that has not reached the exchange yet.

    Attributes
    ----------
    what : "place", "modify" or "cancel"
    sent_ns : int
        Wall clock, UTC.
    counted_ns : int
        Counting clock when it was sent; a wall clock set back holds nothing up.
    delay_ns : int
        How long it takes.
    change : Change or None
        Of a modification.
    """

    what: str
    sent_ns: int
    counted_ns: int
    delay_ns: int
    change: Change | None = None

    @property
    def due_ns(self) -> int:
        """When it arrives, UTC."""
        return self.sent_ns + self.delay_ns

    def is_due(self, now_ns: int, counted_ns: int) -> bool:
        """Whether it has arrived by either clock."""
        return now_ns >= self.due_ns or counted_ns - self.counted_ns >= self.delay_ns


@dataclass(eq=False, slots=True)
class PaperOrder:
    """
    An order of the paper account; prices in ticks (0 where the type has none), quantities in units.

    Attributes
    ----------
    side : BUY or SELL
    limit : int
        Of a MARKET order the edge of its protection, once it stands.
    turnover : int
        Ticks times units filled.
    triggered : bool
        A stop that has become a limit order.
    fresh : bool
        It has not yet met a price since it arrived or was changed.
    active : bool
        It stands in the exchange's book.
    changed_ns : int
        Its last change, UTC.
    coming : list of OnItsWay
    """

    order_id: str
    tag: str
    contract: Contract
    side: int
    order_type: str
    product: str
    quantity: int
    limit: int
    trigger: int
    market_protection: float
    changed_ns: int
    status: str = RECEIVED
    message: str = ""
    filled: int = 0
    turnover: int = 0
    modifications: int = 0
    triggered: bool = False
    fresh: bool = True
    active: bool = False
    coming: list[OnItsWay] = field(default_factory=list)

    @property
    def is_stop(self) -> bool:
        """Whether it is dormant until its trigger is traded."""
        return self.order_type == "SL" and not self.triggered

    @property
    def pending(self) -> int:
        """Units still to be filled."""
        return 0 if self.ended else self.quantity - self.filled

    @property
    def state(self) -> OrderStatus:
        """Where it stands."""
        return status_of(self.status)

    @property
    def ended(self) -> bool:
        """Whether nothing more can happen to it."""
        return self.status in {COMPLETE, CANCELLED, REJECTED}

    @property
    def closing_first(self) -> tuple[bool, str, str]:
        """Its place among those that meet one moment: exits (BUY) first, then calls, then puts, each by age."""
        return self.side != BUY, self.contract.kind, self.order_id

    def report(self) -> OrderReport:
        """The order as a broker shows it."""
        return OrderReport(
            order_id=self.order_id,
            tag=self.tag,
            symbol=self.contract.symbol,
            side=side_name(self.side),
            quantity=self.quantity,
            filled=self.filled,
            average=self.turnover * TICK_RUPEES / self.filled if self.filled else None,
            status=self.state,
            status_text=self.status,
            kind=self.order_type,
            trigger_ticks=self.trigger,
            limit_ticks=0 if self.order_type == "MARKET" else self.limit,
            product=self.product,
            message=self.message,
            time_ns=self.changed_ns,
        )

    def plain(self) -> dict[str, Any]:
        """The order as JSON has it."""
        told = asdict(self)
        told["contract"]["expiry"] = self.contract.expiry.isoformat()
        return told

    @classmethod
    def of_request(cls, request: OrderRequest, order_id: str, contract: Contract, now_ns: int) -> Self:
        """A new order, on its way."""
        return cls(
            order_id=order_id,
            tag=request.tag,
            contract=contract,
            side=SIDES[request.side],
            order_type=request.kind,
            product=request.product,
            quantity=request.quantity,
            limit=request.limit_ticks,
            trigger=request.trigger_ticks,
            market_protection=request.market_protection,
            changed_ns=now_ns,
        )

    @classmethod
    def of_plain(cls, told: Mapping[str, Any]) -> Self:
        """The order again."""
        contract = dict(told["contract"])
        contract["expiry"] = dt.date.fromisoformat(contract["expiry"])
        coming = [
            OnItsWay(**{**one, "change": Change(**one["change"]) if one["change"] else None})
            for one in told["coming"]
        ]
        return cls(**{**told, "contract": Contract(**contract), "coming": coming})


def side_name(side: int) -> Side:
    """BUY or SELL."""
    return "BUY" if side == BUY else "SELL"
