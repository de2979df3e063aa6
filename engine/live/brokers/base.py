"""The protocol that every broker adapter implements, what it reports, and the four ways a request can end.

The gateway is the only caller. A write either returns, or raises one of the errors below; which one it is decides
what may be done next, so an adapter never guesses: what it cannot prove is `BrokerUnknown`. A read returns the whole
answer or raises; it never returns an empty list for a failed fetch. Source: reference `brokers_and_market`, 1.3
to 1.5, and `reliability`.
"""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from engine.errors import WorkbenchError
from engine.live.log.events import OrderType, Side

Product = Literal["MIS", "NRML"]
TAG = re.compile(r"[A-Za-z0-9]{1,20}")
BROKERS_OWN_PROTECTION = -1
"""`market_protection` that leaves the width to the broker."""


class BrokerError(WorkbenchError):
    """
    Base of the ways a request can fail.

    Attributes
    ----------
    message : str
        The broker's own words, or those of the connection; by default the whole line.
    code : int
        HTTP status, 0 where there was no answer.
    """

    def __init__(self, line: str, code: int = 0, message: str | None = None) -> None:
        super().__init__(line)
        self.message = line if message is None else message
        self.code = code


class BrokerRefused(BrokerError):  # noqa: N818 - an outcome, spelled as an outcome
    """The broker said no: the request has had no effect and never will."""


class BrokerUnknown(BrokerError):  # noqa: N818
    """
    The request may or may not have had an effect: time-out, cut connection, 5xx, an answer that cannot be read.

    Find the order by its tag before anything is sent again. Of a read: nothing was learnt.
    """


class BrokerAuth(BrokerError):  # noqa: N818
    """The login is not good (any more): no effect; a person must log in."""


class BrokerBusy(BrokerError):  # noqa: N818
    """Too many requests: no effect; the same request may be sent again later."""


class OrderRequestError(WorkbenchError):
    """An order request contradicts itself; it was not sent."""


class ContractMismatchError(WorkbenchError):
    """The broker's list of contracts contradicts our own facts; trading on either would be a guess."""


class OrderStatus(StrEnum):
    """Where an order stands; the broker's own word is kept beside it."""

    PENDING = (
        "PENDING"  # on its way to, or being changed at, the exchange; also a word the adapter does not know
    )
    OPEN = "OPEN"  # a limit order in the book, perhaps partly filled
    TRIGGER_PENDING = "TRIGGER_PENDING"  # a stop order that is dormant
    COMPLETE = "COMPLETE"  # wholly filled
    CANCELLED = "CANCELLED"  # over; it may have filled in part
    REJECTED = "REJECTED"  # over; refused after it was accepted

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self in _FINAL


_FINAL = frozenset({OrderStatus.COMPLETE, OrderStatus.CANCELLED, OrderStatus.REJECTED})


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """
    An order as it is sent; SL-M cannot be said (not available for options since 2021-09-27).

    Attributes
    ----------
    tag : str
        Our id of the order, 1 to 20 letters and digits.
    symbol : str
        The broker's symbol, from `Broker.instruments`.
    side : "BUY" or "SELL"
    quantity : int
        Units, not lots; of a modification the total of the order, what has been filled included.
    kind : "SL", "LIMIT" or "MARKET"
    trigger_ticks : int
        Of an SL order; 0 for the others.
    limit_ticks : int
        Of an SL or LIMIT order; 0 for MARKET.
    product : "MIS" or "NRML"
    market_protection : float
        Of a MARKET order: per cent of the last price, above 0 to 100, or -1 for the broker's own width; 0 for the
        others. The broker turns such an order into a limit order, whose rest may stay open.

    Raises
    ------
    OrderRequestError
        If a field contradicts another.
    """

    tag: str
    symbol: str
    side: Side
    quantity: int
    kind: OrderType
    trigger_ticks: int = 0
    limit_ticks: int = 0
    product: Product = "MIS"
    market_protection: float = 0

    def __post_init__(self) -> None:
        if not TAG.fullmatch(self.tag):
            raise OrderRequestError(f"tag {self.tag!r} is not 1 to 20 letters and digits")
        if self.side not in {"BUY", "SELL"} or self.kind not in {"SL", "LIMIT", "MARKET"}:
            raise OrderRequestError(
                f"order {self.tag}: {self.side} {self.kind} is not BUY or SELL of SL, LIMIT or MARKET"
            )
        if self.quantity < 1:
            raise OrderRequestError(f"order {self.tag}: quantity {self.quantity} is not at least one unit")
        if (self.trigger_ticks > 0) != (self.kind == "SL") or self.trigger_ticks < 0:
            raise OrderRequestError(
                f"order {self.tag}: trigger of {self.trigger_ticks} ticks on a {self.kind} order; only SL has one"
            )
        if (self.limit_ticks > 0) == (self.kind == "MARKET") or self.limit_ticks < 0:
            raise OrderRequestError(
                f"order {self.tag}: limit of {self.limit_ticks} ticks on a {self.kind} order; SL and LIMIT need one, MARKET has none"
            )
        protected = self.market_protection == BROKERS_OWN_PROTECTION or 0 < self.market_protection <= 100
        if protected != (self.kind == "MARKET") or (not protected and self.market_protection != 0):
            raise OrderRequestError(
                f"order {self.tag}: market_protection {self.market_protection} on a {self.kind} order; MARKET needs -1 or up to 100 per cent, the others have 0"
            )


@dataclass(frozen=True, slots=True)
class OrderReport:
    """
    An order as the broker shows it.

    Attributes
    ----------
    order_id : str
        The broker's id.
    tag : str or None
        None: an order that nobody tagged, e.g. one from the broker's app.
    symbol : str
    side : "BUY" or "SELL"
    quantity, filled : int
        Units.
    average : Decimal or None
        Rupees per unit of what was filled; None while nothing is.
    status : OrderStatus
    status_text : str
        The broker's own word.
    kind : str
        "SL", "LIMIT" or "MARKET"; of an order from elsewhere also another of the broker's words. A triggered stop
        and a protected market order may be shown as either of their types.
    trigger_ticks, limit_ticks : int
        0 where there is none.
    product : str
    message : str
        Why it was rejected, in the broker's words; "" otherwise.
    time_ns : int
        Of its last change as far as told (whole seconds at Kite), ns UTC.
    """

    order_id: str
    tag: str | None
    symbol: str
    side: Side
    quantity: int
    filled: int
    average: Decimal | None
    status: OrderStatus
    status_text: str
    kind: str
    trigger_ticks: int
    limit_ticks: int
    product: str
    message: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class TradeReport:
    """One fill: quantity in units, price in ticks, time in ns UTC (whole seconds at Kite)."""

    trade_id: str
    order_id: str
    symbol: str
    side: Side
    quantity: int
    price_ticks: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class PositionReport:
    """Net position of one symbol and product: signed units (short below 0), average in rupees (0 when flat)."""

    symbol: str
    product: str
    quantity: int
    average: Decimal


@dataclass(frozen=True, slots=True)
class Quote:
    """Market of one symbol: prices in ticks (0 = none), volume of the day in units, time of the answer in ns UTC."""

    symbol: str
    last: int
    bid: int
    ask: int
    volume: int
    time_ns: int
    low_limit: int = 0  # ticks; price band as the exchange shows it, 0 = not told
    high_limit: int = 0


@dataclass(frozen=True, slots=True)
class Contract:
    """One option as the broker lists it today, checked against our own facts: strike in rupees, lot in units."""

    symbol: str
    token: int  # of the broker's feed; reused after expiry
    underlying: str
    expiry: dt.date
    strike: int
    kind: Literal["CE", "PE"]
    lot: int


@dataclass(frozen=True, slots=True)
class MarginReport:
    """Margin of a basket on top of what is held, and the cash there is for it; all paise."""

    initial_paise: int  # while the orders come in
    final_paise: int  # once all have filled, with the benefit of hedges
    available_paise: int


@runtime_checkable
class Broker(Protocol):
    """
    A broker.

    Every method may raise `BrokerAuth`, `BrokerBusy` and `BrokerUnknown`; writes also `BrokerRefused`. A write whose
    await is cancelled is unknown as well. Reports cover the derivatives of our underlyings; what else the account
    holds is left out.
    """

    async def connect(self) -> str:
        """Prove that the login is good; the user's id at the broker."""

    async def close(self) -> None:
        """Wait for what is on its way, then release connections and threads; later requests are refused."""

    async def place(self, request: OrderRequest) -> str:
        """Send an order; the broker's id of it. Never retries."""

    async def modify(self, order_id: str, request: OrderRequest) -> None:
        """Change quantity, prices and type of an order; tag, symbol, side and product stay."""

    async def cancel(self, order_id: str) -> None:
        """Ask for a cancel. A return is an acknowledgement: a fill may still win."""

    async def orders(self) -> list[OrderReport]:
        """All orders of the day."""

    async def trades(self) -> list[TradeReport]:
        """All fills of the day."""

    async def positions(self) -> list[PositionReport]:
        """Net positions, those closed today included."""

    async def quotes(self, symbols: Sequence[str]) -> list[Quote]:
        """Quotes in the order of the symbols; `BrokerUnknown` names those that are missing."""

    async def instruments(self, underlying: str, expiry: dt.date | None = None) -> list[Contract]:
        """
        Options of one expiry as listed today, by strike and kind, each checked against our contract facts.

        Parameters
        ----------
        underlying : str
        expiry : date, optional
            None = the nearest that is listed.

        Raises
        ------
        ContractMismatchError
            If lot, tick or expiry are not what our tables say, or nothing is listed.
        """

    async def margin(self, requests: Sequence[OrderRequest]) -> MarginReport:
        """What a basket of orders would need."""
