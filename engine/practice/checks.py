"""What Kite and the exchange refuse before an order reaches the book.

Reads the form of an order request and answers with values in ticks and units, or with the error a client would
meet. The rules themselves are `engine.execution.exchange_rules`. Sources: `brokers_and_market`, sections 1.3, 1.5.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from engine.errors import DataError
from engine.execution.exchange_rules import (
    UNPROTECTED,
    above_freeze,
    off_the_lot,
    outside_band,
    stop_refusal,
    unknown_contract,
)
from engine.market.contracts import freeze_quantity
from engine.market.prices import to_ticks
from engine.practice.market import Instrument, Market
from engine.practice.orders import SIDES, Refused

TAG = re.compile(r"[A-Za-z0-9]{1,20}")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", "SL-M")
PRODUCTS = ("MIS", "NRML")
VALIDITIES = ("DAY", "IOC")


class Wish(NamedTuple):
    """A valid order request."""

    instrument: Instrument
    side: int
    order_type: str
    product: str
    validity: str
    quantity: int  # units
    limit: int  # ticks, of a MARKET order the edge of its protection
    trigger: int  # ticks
    market_protection: float
    tag: str | None


def refuse(message: str) -> Refused:
    """The answer to a request that is wrong in itself."""
    return Refused("InputException", message)


def read_wish(form: Mapping[str, str], market: Market, variety: str) -> Wish:
    """
    An order request as values.

    Raises
    ------
    Refused
        InputException for whatever Kite refuses before the order book.
    """
    if variety != "regular":
        raise refuse(f"Invalid `variety` {variety}: this exchange takes regular orders only")
    instrument = market.by_key.get(f"{form.get('exchange')}:{form.get('tradingsymbol')}")
    if instrument is None or instrument.place < 0:
        raise refuse(unknown_contract(f"{form.get('exchange')}:{form.get('tradingsymbol')}"))
    tag = form.get("tag") or None
    if tag is not None and not TAG.fullmatch(tag):
        raise refuse("Invalid `tag`. It should be alphanumeric with a max of 20 characters.")
    order_type = choice(form, "order_type", ORDER_TYPES)
    side = SIDES[choice(form, "transaction_type", tuple(SIDES))]
    return Wish(
        instrument=instrument,
        side=side,
        order_type=order_type,
        product=choice(form, "product", PRODUCTS),
        validity=choice(form, "validity", VALIDITIES) if form.get("validity") else "DAY",
        quantity=units(form.get("quantity")),
        limit=price(form, "price") if order_type in {"LIMIT", "SL"} else 0,
        trigger=price(form, "trigger_price") if order_type in {"SL", "SL-M"} else 0,
        market_protection=protection(form),
        tag=tag,
    )


def choice(form: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    """A field that must be one of a few words."""
    value = form.get(name)
    if value not in allowed:
        raise refuse(f"Invalid `{name}`." if value else f"Missing or empty field `{name}`.")
    return value


def units(text: str | None) -> int:
    """A positive whole quantity."""
    if not text:
        raise refuse("Missing or empty field `quantity`.")
    if not text.isdigit() or int(text) < 1:
        raise refuse("Invalid `quantity`.")
    return int(text)


def price(form: Mapping[str, str], name: str) -> int:
    """A positive price on the tick grid, as ticks."""
    text = form.get(name)
    if not text:
        raise refuse(f"Missing or empty field `{name}`.")
    try:
        ticks = to_ticks(text)
    except DataError:
        raise refuse(
            f"Tick size for this script is 0.05. Kindly enter {name} in the multiple of tick size for this script."
        ) from None
    if ticks < 1:
        raise refuse(f"Invalid `{name}`.")
    return ticks


def protection(form: Mapping[str, str]) -> float:
    """`market_protection` as told: 0 none, -1 automatic, else per cent."""
    text = form.get("market_protection") or "0"
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise refuse("failed to decode market_protection") from None
    if value != -1 and not 0 <= value <= 100:
        raise refuse("Invalid `market_protection`. It should be -1 or between 0 and 100.")
    return float(value)


def check_quantity(wish: Wish, market: Market, *, sliced: bool) -> None:
    """Lots and freeze quantity."""
    symbol = wish.instrument.symbol
    _refuse_if(off_the_lot(symbol, wish.quantity, wish.instrument.lot_size))
    freeze = freeze_quantity(wish.instrument.name, market.date)
    if not sliced:
        _refuse_if(above_freeze(symbol, wish.quantity, freeze))
    elif wish.quantity <= freeze:
        raise refuse(f"autoslice is for quantities above the freeze limit of {freeze}.")


def check_prices(wish: Wish, market: Market) -> None:
    """Prices against each other, the last trade and the price band."""
    place = wish.instrument.place
    if wish.order_type in {"MARKET", "SL-M"} and wish.market_protection == 0:
        raise refuse(UNPROTECTED)
    if wish.order_type == "SL":
        _refuse_if(stop_refusal(wish.side, wish.trigger, wish.limit, int(market.last[place])))
    if wish.order_type == "LIMIT":
        _refuse_if(outside_band(wish.side, wish.limit, market.reference(place), market.date))


def _refuse_if(problem: str | None) -> None:
    if problem:
        raise refuse(problem)
