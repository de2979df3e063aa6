"""What broker and exchange refuse of an order, and in which words: rules without an order book.

Used by the practice exchange and by paper trading, so that both say no to the same orders. A function answers with
the words of the refusal, or None. Prices in ticks, quantities in units. Sources: reference `brokers_and_market`,
sections 1.3, 1.5 and 5.5; words follow Kite's where they are known.
"""

import datetime as dt

from engine.execution.matching import BUY, SELL, reached
from engine.market.contracts import price_band
from engine.market.prices import to_rupees

MAX_MODIFICATIONS = 25

# protection that Kite chooses for an option when market_protection is -1: up to so many rupees, so many basis points
AUTOMATIC_PROTECTION = ((10, 500), (100, 300), (500, 200))
AUTOMATIC_PROTECTION_ABOVE = 100

CLOSED = "Markets are closed right now. Use AMO for placing orders."
SESSION_ENDED = "The session has ended"
NOT_FOUND = "Couldn't find that `order_id`."
MODIFIED_TOO_OFTEN = "Maximum allowed order modifications exceeded."
NOT_TRADED_TODAY = "17181 : Market orders are not allowed in a contract that has not traded today"
FILLED_ALREADY = "the quantity is already filled"
UNPROTECTED = (
    "Market orders without market protection are not allowed via API. "
    "Please set market protection or use a limit order."
)


def unknown_contract(key: str) -> str:
    """Words for a contract that is not listed; `key` is exchange:symbol."""
    return f"The instrument you are placing an order for has either expired or does not exist ({key})"


def already_over(verb: str, status: str) -> str:
    """Words for a request about an order that has ended; the verb is "cancelled" or "modified"."""
    return f"Order cannot be {verb} as it is already {status.lower()}."


def being_processed(verb: str) -> str:
    """Words for a request about an order that is still on its way to the exchange."""
    return f"Order cannot be {verb} as it is being processed. Try later."


def insufficient_funds(required_rupees: float, available_rupees: float) -> str:
    """Words for an order whose margin is not there."""
    return (
        f"Insufficient funds. Required margin is {required_rupees:.2f} but available margin is "
        f"{available_rupees:.2f}."
    )


def not_above_filled(quantity: int, filled: int) -> str | None:
    """Why an order cannot be changed to this total quantity."""
    if quantity > filled:
        return None
    return f"Quantity {quantity} is not above the {filled} units already filled."


def off_the_lot(symbol: str, quantity: int, lot: int) -> str | None:
    """Why a quantity is not whole lots."""
    if quantity % lot == 0:
        return None
    return f"Quantity should be in multiples of {lot}, the lot size of {symbol}."


def above_freeze(symbol: str, quantity: int, freeze: int) -> str | None:
    """Why a quantity is too large for one order."""
    if quantity <= freeze:
        return None
    return f"Quantity {quantity} exceeds the freeze limit of {freeze} for {symbol}."


def protected_limit(side: int, reference: int, market_protection: float) -> int:
    """The limit in ticks that a protected market order stands at; protection in per cent, -1 = automatic."""
    if market_protection == -1:
        rupees = to_rupees(reference)
        basis_points = next(
            (points for until, points in AUTOMATIC_PROTECTION if rupees <= until), AUTOMATIC_PROTECTION_ABOVE
        )
    else:
        basis_points = int(market_protection * 100)
    return max(reference + side * (reference * basis_points // 10_000), 1)


def stop_refusal(side: int, trigger: int, limit: int, last: int) -> str | None:
    """Why a stop-limit is refused: limit on the wrong side of its trigger, or trigger of the market."""
    if side * limit < side * trigger:
        word = "lower" if side == BUY else "higher"
        return (
            f"Price of a stoploss {'buy' if side == BUY else 'sell'} order cannot be {word} than its "
            "trigger price."
        )
    return wrong_side(side, trigger, last)


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


def outside_band(side: int, limit: int, reference: int, date: dt.date) -> str | None:
    """Why a limit is refused by the price band around a reference (ticks, 0 = none), or None."""
    if reference == 0:
        return None
    low, high = price_band(reference, date)
    if (side == BUY and limit <= high) or (side == SELL and limit >= low):
        return None
    return beyond_circuit(side, high if side == BUY else low)


def beyond_circuit(side: int, circuit: int) -> str:
    """Words for a price beyond a circuit limit (ticks)."""
    return (
        f"Your order price is {'higher' if side == BUY else 'lower'} than the current "
        f"{'upper' if side == BUY else 'lower'} circuit limit of {to_rupees(circuit)}. "
        "Please place an order within the daily range."
    )
