"""How a resting order fills: stop-limit and limit, against moves of price or against quotes.

A stop-limit is dormant until the market trades at or through its trigger; then it is a limit order. A gap
through the limit rests unfilled until price comes back. Without quotes, a price *moves* through every tick
between two moments of a bar and *jumps* between bars; with quotes, only what bid and ask offer is traded.
Used by the backtest, by paper trading and by the practice exchange. Source: swing-break rules 5.1, 5.5.
"""

from engine.compiled import int64, njit

BUY = 1
SELL = -1
UNFILLED = 0
BASIS_POINTS = 10_000


@njit(cache=True, forceinline=True)
def slipped(price: int, side: int, ticks: int, basis_points: int) -> int:
    """
    A price made worse for the trader by the slippage model, in ticks, at least one tick.

    A fixed number of ticks plus a share of the price; the larger share of a tick counts whole.
    """
    share = (price * basis_points + BASIS_POINTS - 1) // BASIS_POINTS
    return max(price + side * (ticks + share), 1)


@njit(cache=True, forceinline=True)
def reached(side: int, trigger: int, price: int) -> bool:
    """Whether a stop order of this side is triggered by a trade at `price`."""
    return side * price >= side * trigger


@njit(cache=True, forceinline=True)
def stop_limit_fill(
    side: int,
    trigger: int,
    limit: int,
    triggered: bool,
    previous: int,
    price: int,
    jump: bool,
    slip_ticks: int,
    slip_basis_points: int,
) -> tuple[bool, int]:
    """
    Match a stop-limit against one step of price.

    Parameters
    ----------
    side : BUY or SELL
    trigger, limit : int, ticks
        Limit at or beyond the trigger: below it for a SELL, above it for a BUY.
    triggered : bool
        Whether it is already a limit order.
    previous, price : int, ticks
        The step; every tick between is traded unless it is a jump.
    jump : bool
        Only `price` is traded, not what lies between.
    slip_ticks, slip_basis_points : int
        Slippage of the fill at the trigger; never beyond the limit.

    Returns
    -------
    triggered : bool
    fill : int, ticks
        UNFILLED (0) when it rests.
    """
    if not triggered:
        if not reached(side, trigger, price):
            return False, UNFILLED
        market = price if jump else side * max(side * previous, side * trigger)
        if side * market > side * limit:
            return True, UNFILLED  # the gap went through the limit: it rests
        worse = slipped(market, side, slip_ticks, slip_basis_points)
        return True, side * min(side * worse, side * limit)
    if side * price <= side * limit:
        return True, limit  # the market came back to the resting limit
    return True, UNFILLED


@njit(cache=True, forceinline=True)
def limit_fill(side: int, limit: int, price: int, fresh: bool) -> int:
    """
    Match a limit order against the next price; UNFILLED or the fill in ticks.

    An order that crosses the first price it meets (`fresh`) takes that better price. One that rested fills at
    its limit, whatever the market jumps to.
    """
    if side * price > side * limit:
        return UNFILLED
    return price if fresh else limit


@njit(cache=True, forceinline=True)
def quote_fill(
    side: int, limit: int, quantity: int, bid: int, bid_quantity: int, ask: int, ask_quantity: int
) -> tuple[int, int]:
    """
    Match a live limit order against the best quote.

    Parameters
    ----------
    bid, ask : int, ticks; 0 when that side of the book is empty
    bid_quantity, ask_quantity : int, units offered there

    Returns
    -------
    price : int, ticks; UNFILLED when nothing crosses
    filled : int, units
        At most what the quote offers: the rest stays open.
    """
    price, offered = (ask, ask_quantity) if side == BUY else (bid, bid_quantity)
    if price <= 0 or offered <= 0 or side * price > side * limit:
        return UNFILLED, 0
    return price, min(quantity, offered)


@njit(cache=True, forceinline=True)
def inside_bar(fill: int, low: int, high: int) -> int:
    """A fill moved to the nearest price that the bar really traded; UNFILLED stays so."""
    return UNFILLED if fill == UNFILLED else int64(min(max(fill, low), high))
