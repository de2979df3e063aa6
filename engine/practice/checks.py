"""What Kite and the exchange refuse before an order reaches the book.

Reads the form of an order request and answers with values in ticks and units, or with the error a client would
meet. Sources: `brokers_and_market`, sections 1.3, 1.5 and 5.5; messages follow Kite's where they are known.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from engine.errors import DataError
from engine.execution.matching import BUY, SELL, reached
from engine.market.contracts import freeze_quantity, price_band
from engine.market.prices import to_rupees, to_ticks
from engine.practice.market import Instrument, Market
from engine.practice.orders import SIDES, Refused

TAG = re.compile(r"[A-Za-z0-9]{1,20}")
ORDER_TYPES = ("MARKET", "LIMIT", "SL", "SL-M")
PRODUCTS = ("MIS", "NRML")
VALIDITIES = ("DAY", "IOC")
MAX_MODIFICATIONS = 25

# protection that Kite chooses for an option when market_protection is -1: up to so many rupees, so many basis points
AUTOMATIC_PROTECTION = ((10, 500), (100, 300), (500, 200))
AUTOMATIC_PROTECTION_ABOVE = 100


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
        raise refuse(
            f"The instrument you are placing an order for has either expired or does not exist "
            f"({form.get('exchange')}:{form.get('tradingsymbol')})"
        )
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


def protected_limit(side: int, reference: int, market_protection: float) -> int:
    """The limit in ticks that a protected market order stands at."""
    if market_protection == -1:
        rupees = to_rupees(reference)
        basis_points = next(
            (points for until, points in AUTOMATIC_PROTECTION if rupees <= until), AUTOMATIC_PROTECTION_ABOVE
        )
    else:
        basis_points = int(market_protection * 100)
    return max(reference + side * (reference * basis_points // 10_000), 1)


def check_quantity(wish: Wish, market: Market, *, sliced: bool) -> None:
    """Lots and freeze quantity."""
    lot = wish.instrument.lot_size
    if wish.quantity % lot:
        raise refuse(f"Quantity should be in multiples of {lot}, the lot size of {wish.instrument.symbol}.")
    freeze = freeze_quantity(wish.instrument.name, market.date)
    if sliced and wish.quantity <= freeze:
        raise refuse(f"autoslice is for quantities above the freeze limit of {freeze}.")
    if not sliced and wish.quantity > freeze:
        raise refuse(
            f"Quantity {wish.quantity} exceeds the freeze limit of {freeze} for {wish.instrument.symbol}."
        )


def check_prices(wish: Wish, market: Market) -> None:
    """Prices against each other, the last trade and the price band."""
    place = wish.instrument.place
    last = int(market.last[place])
    if wish.order_type in {"MARKET", "SL-M"} and wish.market_protection == 0:
        raise refuse(
            "Market orders without market protection are not allowed via API. "
            "Please set market protection or use a limit order."
        )
    if wish.order_type == "SL":
        if wish.side * wish.limit < wish.side * wish.trigger:
            word = "lower" if wish.side == BUY else "higher"
            raise refuse(
                f"Price of a stoploss {'buy' if wish.side == BUY else 'sell'} order cannot be {word} than its "
                "trigger price."
            )
        problem = wrong_side(wish.side, wish.trigger, last)
        if problem:
            raise refuse(problem)
    if wish.order_type == "LIMIT":
        problem = outside_band(wish.side, wish.limit, market.reference(place), market)
        if problem:
            raise refuse(problem)


def wrong_side(side: int, trigger: int, last: int) -> str | None:
    """Why a stop's trigger is on the wrong side of the market, or None; no last price judges nothing."""
    if last == 0 or not reached(side, trigger, last):
        return None
    if side == SELL:
        return (
            "Trigger price for stoploss sell orders should be lower than the last traded price "
            f"(Rs. {to_rupees(last)})."
        )
    return (
        "Trigger price for stoploss buy orders should be higher than the last traded price "
        f"(Rs. {to_rupees(last)})."
    )


def outside_band(side: int, limit: int, reference: int, market: Market) -> str | None:
    """Why a limit is refused by the price band around a reference (ticks), or None."""
    if reference == 0:
        return None
    low, high = price_band(reference, market.date)
    if (side == BUY and limit <= high) or (side == SELL and limit >= low):
        return None
    return (
        f"Your order price is {'higher' if side == BUY else 'lower'} than the current "
        f"{'upper' if side == BUY else 'lower'} circuit limit of {to_rupees(high if side == BUY else low)}. "
        "Please place an order within the daily range."
    )
