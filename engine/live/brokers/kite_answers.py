"""Kite's answers as reports, and our requests as Kite's fields: pure functions, no connection.

Rupees become ticks exactly, or the answer is refused; naive IST times become ns UTC; statuses are read by Kite's
spelling. A field that is missing or cannot be read raises `KeyError`, `TypeError`, `ValueError` or `DataError`; the
adapter makes that `BrokerUnknown`. Source: Kite Connect v3 (orders, portfolio, market quotes), reference
`brokers_and_market`, 1.3, 1.5, 1.7.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from engine.errors import DataError, MarketFactError
from engine.live.brokers.base import (
    TAG,
    Contract,
    ContractMismatchError,
    MarginReport,
    OrderReport,
    OrderRequest,
    OrderStatus,
    PositionReport,
    Quote,
    TradeReport,
)
from engine.live.log.events import Side
from engine.market.clock import IST, to_ns
from engine.market.contracts import UNDERLYINGS, lot_size, tick_size
from engine.market.prices import PAISE_PER_RUPEE, TICK_RUPEES, to_rupees, to_ticks

EXCHANGE = "NFO"
SEGMENT = "NFO-OPT"
VARIETY = "regular"
_OURS = re.compile(rf"(?:{'|'.join(UNDERLYINGS)})\d")
_MARKS = frozenset({"mktp", "autoslice"})
_PENNY_DUST = Decimal("0.000001")
"""Answers are binary floats; what is finer than this is theirs, not the exchange's."""

STATUSES = {
    "PUT ORDER REQ RECEIVED": OrderStatus.PENDING,
    "PUT ORDER REQUEST RECEIVED": OrderStatus.PENDING,
    "VALIDATION PENDING": OrderStatus.PENDING,
    "OPEN PENDING": OrderStatus.PENDING,
    "MODIFY VALIDATION PENDING": OrderStatus.PENDING,
    "MODIFY PENDING": OrderStatus.PENDING,
    "MODIFIED": OrderStatus.PENDING,
    "CANCEL PENDING": OrderStatus.PENDING,
    "AMO REQ RECEIVED": OrderStatus.PENDING,
    "OPEN": OrderStatus.OPEN,
    "TRIGGER PENDING": OrderStatus.TRIGGER_PENDING,
    "COMPLETE": OrderStatus.COMPLETE,
    "CANCELLED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}


def is_ours(line: Mapping[str, Any]) -> bool:
    """Whether a line speaks of a derivative of our underlyings; the account may hold other things."""
    return line["exchange"] == EXCHANGE and _OURS.match(line["tradingsymbol"]) is not None


def ticks(rupees: float | str | None) -> int:
    """A price of an answer as ticks, 0 for none; `DataError` off the tick grid."""
    return to_ticks(Decimal(str(rupees or 0)).quantize(_PENNY_DUST))


def moment_ns(told: dt.datetime | str | None) -> int:
    """A naive IST time of an answer, as the client parsed it or left it, as ns UTC."""
    moment = told if isinstance(told, dt.datetime) else dt.datetime.fromisoformat(str(told))
    return to_ns(moment if moment.tzinfo else moment.replace(tzinfo=IST))


def status_of(text: str) -> OrderStatus:
    """
    Kite's word for a state; a word that is not in its documents is PENDING, from which nothing may be concluded.

    The word itself stays beside it in `OrderReport.status_text`.
    """
    return STATUSES.get(text.strip().upper(), OrderStatus.PENDING)


def order_report(line: Mapping[str, Any]) -> OrderReport:
    """A line of GET /orders, of an order's history or of a postback."""
    filled = _units(line["filled_quantity"])
    times = [line.get("order_timestamp"), line.get("exchange_update_timestamp")]
    return OrderReport(
        order_id=_text(line["order_id"]),
        tag=_tag(line),
        symbol=_text(line["tradingsymbol"]),
        side=_side(line["transaction_type"]),
        quantity=_units(line["quantity"]),
        filled=filled,
        average=Decimal(str(line["average_price"])) if filled else None,
        status=status_of(line["status"]),
        status_text=_text(line["status"]),
        kind=_text(line["order_type"]),
        trigger_ticks=_nearest(line["trigger_price"]),
        limit_ticks=_nearest(line["price"]),
        product=_text(line["product"]),
        message=line.get("status_message") or "",
        time_ns=max(moment_ns(told) for told in times if told),
    )


def trade_report(line: Mapping[str, Any]) -> TradeReport:
    """A line of GET /trades."""
    return TradeReport(
        trade_id=_text(line["trade_id"]),
        order_id=_text(line["order_id"]),
        symbol=_text(line["tradingsymbol"]),
        side=_side(line["transaction_type"]),
        quantity=_units(line["quantity"]),
        price_ticks=ticks(line["average_price"]),
        time_ns=moment_ns(line["fill_timestamp"]),
    )


def position_report(line: Mapping[str, Any]) -> PositionReport:
    """A line of `net` of GET /portfolio/positions."""
    return PositionReport(
        symbol=_text(line["tradingsymbol"]),
        product=_text(line["product"]),
        quantity=_whole(line["quantity"]),
        average=Decimal(str(line["average_price"])),
    )


def quote_of(symbol: str, line: Mapping[str, Any]) -> Quote:
    """An instrument's part of GET /quote."""
    return Quote(
        symbol=symbol,
        last=ticks(line["last_price"]),
        bid=ticks(line["depth"]["buy"][0]["price"]),
        ask=ticks(line["depth"]["sell"][0]["price"]),
        volume=_whole(line["volume"]),
        time_ns=moment_ns(line["timestamp"]),
        low_limit=ticks(line["lower_circuit_limit"]),
        high_limit=ticks(line["upper_circuit_limit"]),
    )


def margin_report(basket: Mapping[str, Any], funds: Mapping[str, Any]) -> MarginReport:
    """POST /margins/basket and GET /user/margins/equity; needs are rounded up, cash down, to a paisa."""
    return MarginReport(
        initial_paise=_paise(basket["initial"]["total"], ROUND_CEILING),
        final_paise=_paise(basket["final"]["total"], ROUND_CEILING),
        available_paise=_paise(funds["net"], ROUND_FLOOR),
    )


def contracts_of(
    lines: Iterable[Mapping[str, Any]], underlying: str, expiry: dt.date | None = None
) -> list[Contract]:
    """
    Options of one expiry from the instruments dump, by strike and kind.

    Parameters
    ----------
    lines : iterable of mapping
        The dump as the official client parses it.
    underlying : str
    expiry : date, optional
        None = the nearest that is listed.

    Raises
    ------
    ContractMismatchError
        If lot, tick or expiry contradict `engine.market.contracts`, or nothing is listed.
    """
    options = [line for line in lines if line["segment"] == SEGMENT and line["name"] == underlying]
    day = expiry or min((line["expiry"] for line in options), default=None)
    listed = [line for line in options if line["expiry"] == day]
    if day is None or not listed:
        raise ContractMismatchError(
            f"Kite lists no {underlying} options{f' of {day}' if day else ''}; check the expiry and the dump of today"
        )
    try:
        lot = lot_size(underlying, day)
    except MarketFactError as error:
        raise ContractMismatchError(
            f"Kite lists {listed[0]['tradingsymbol']} expiring {day}: {error}"
        ) from error
    found = [_contract(line, lot) for line in listed]
    return sorted(found, key=lambda one: (one.strike, one.kind))


def _contract(line: Mapping[str, Any], lot: int) -> Contract:
    symbol, underlying = line["tradingsymbol"], line["name"]
    if line["lot_size"] != lot:
        raise ContractMismatchError(
            f"{symbol}: Kite's lot is {line['lot_size']}, our table says {lot}; read the circular and correct "
            "lot_sizes.csv"
        )
    if Decimal(str(line["tick_size"])) != tick_size(underlying):
        raise ContractMismatchError(
            f"{symbol}: Kite's tick is Rs {line['tick_size']}, ours is Rs {tick_size(underlying)}; prices would be off the grid"
        )
    kind = line["instrument_type"]
    if kind not in {"CE", "PE"} or line["strike"] != int(line["strike"]):
        raise ContractMismatchError(
            f"{symbol}: type {kind!r} with strike {line['strike']} is not CE or PE in whole rupees"
        )
    return Contract(
        symbol=symbol,
        token=line["instrument_token"],
        underlying=underlying,
        expiry=line["expiry"],
        strike=int(line["strike"]),
        kind=kind,
        lot=lot,
    )


def price_fields(request: OrderRequest) -> dict[str, Any]:
    """What place and modify have in common: type, quantity and exact rupees; absent where the type has none."""
    return {
        "order_type": request.kind,
        "quantity": request.quantity,
        "price": str(to_rupees(request.limit_ticks)) if request.limit_ticks else None,
        "trigger_price": str(to_rupees(request.trigger_ticks)) if request.trigger_ticks else None,
        "market_protection": request.market_protection or None,
    }


def margin_leg(request: OrderRequest) -> dict[str, Any]:
    """An order as a leg of POST /margins/basket, prices as JSON numbers."""
    return {
        "exchange": EXCHANGE,
        "tradingsymbol": request.symbol,
        "transaction_type": request.side,
        "variety": VARIETY,
        "product": request.product,
        "order_type": request.kind,
        "quantity": request.quantity,
        "price": float(to_rupees(request.limit_ticks)),
        "trigger_price": float(to_rupees(request.trigger_ticks)),
    }


def _tag(line: Mapping[str, Any]) -> str | None:
    """Our kind of tag among those that Kite shows: it adds marks of its own ("mktp", "autoslice")."""
    told = [line.get("tag"), *(line.get("tags") or ())]
    ours = (tag for tag in told if tag and tag not in _MARKS and TAG.fullmatch(tag))
    return next(ours, None) or line.get("tag") or None


def _nearest(rupees: float | None) -> int:
    """
    Price of an order in ticks, rounded.

    Ours lie on the grid; one that somebody else typed off it was rejected, and must not make the book unreadable.
    """
    return round(Decimal(str(rupees or 0)) / TICK_RUPEES)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"Kite's answer has {value!r} where a text is expected")
    return value


def _side(value: Any) -> Side:
    if value not in {"BUY", "SELL"}:
        raise DataError(f"Kite's answer has {value!r} where BUY or SELL is expected")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise DataError(f"Kite's answer has {value!r} where a whole number is expected")
    return int(value)


def _units(value: Any) -> int:
    whole = _whole(value)
    if whole < 0:
        raise DataError(f"Kite's answer has {whole} where a quantity is expected")
    return whole


def _paise(rupees: Any, rounding: str) -> int:
    return int((Decimal(str(rupees)).quantize(_PENNY_DUST) * PAISE_PER_RUPEE).to_integral_value(rounding))
