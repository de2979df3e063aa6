"""Which strikes of a day are watched: at the money, and so many on each side.

Known at the open and fixed for the day, as a live session fixes it. Source: swing-break rules 1.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from engine.params import SwingBreakParams


def at_the_money(spot: Decimal, rounding_rupees: int) -> int:
    """Spot rounded to the nearest multiple, both whole rupees; a spot just between goes to the even one."""
    multiple = (spot / rounding_rupees).quantize(Decimal(1), ROUND_HALF_EVEN)
    return int(multiple) * rounding_rupees


def watched_strikes(
    spot: Decimal | None, listed: Iterable[int], params: SwingBreakParams
) -> tuple[int, ...] | None:
    """
    Strikes (rupees) to watch, ascending; None means all that are listed.

    Parameters
    ----------
    spot : Decimal or None
        Price of the underlying at the open, rupees; None when it is not known.
    listed : iterable of int
        Strikes that exist that day.

    Returns
    -------
    The strike nearest to ATM and `strikes_each_side` listed strikes on each side of it. All, when the
    parameter is null or the spot is unknown.
    """
    if params.strikes_each_side is None or spot is None:
        return None
    strikes = sorted(set(listed))
    atm = at_the_money(spot, params.atm_rounding_rupees)
    centre = min(range(len(strikes)), key=lambda k: (abs(strikes[k] - atm), strikes[k]))
    low = max(centre - params.strikes_each_side, 0)
    return tuple(strikes[low : centre + params.strikes_each_side + 1])
