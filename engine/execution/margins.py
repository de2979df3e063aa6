"""What a portfolio of options blocks as margin: an approximation.

Close enough to see an order refused, not to plan with: a short option blocks 9.3 % of its notional as SPAN (the floor
of the price scan range of index options) and 2 % as exposure, 2 % more on its expiry day; a long of the same type and
quantity in the book caps the SPAN at the distance of the strikes; a long costs its premium. Money in paise. Sources:
nseclearing SPAN page and circulars in `brokers_and_market`, section 6.
"""

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple

from engine.execution.matching import BUY
from engine.market.prices import PAISE_PER_RUPEE, PAISE_PER_TICK

SPAN_BASIS_POINTS = 930
EXPOSURE_BASIS_POINTS = 200
EXPIRY_DAY_BASIS_POINTS = 200


class OptionLeg(NamedTuple):
    """A part of a portfolio: held, or on order."""

    kind: str  # CE or PE
    strike: int  # rupees
    expiry: dt.date
    side: int
    quantity: int  # units
    price: int  # ticks; of a long, what it costs


class Need(NamedTuple):
    """Margin needed, paise."""

    span: int
    exposure: int
    premium: int

    @property
    def total(self) -> int:
        """Sum in paise."""
        return self.span + self.exposure + self.premium


def need_of_legs(legs: Iterable[OptionLeg], date: dt.date, spot_rupees: float | None) -> Need:
    """
    Margin of a portfolio: shorts with the hedges among them, longs at their premium.

    Parameters
    ----------
    legs : iterable of OptionLeg
        Hedges cover shorts in this order.
    date : date
        Trading day.
    spot_rupees : float or None
        Value of the index; None = each strike stands for it.
    """
    longs: list[tuple[OptionLeg, list[int]]] = []
    shorts: list[OptionLeg] = []
    premium = 0
    for leg in legs:
        if leg.side == BUY:
            longs.append((leg, [leg.quantity]))
            premium += leg.quantity * leg.price * PAISE_PER_TICK
        else:
            shorts.append(leg)
    span = exposure = 0
    for leg in shorts:
        notional = int((spot_rupees or leg.strike) * PAISE_PER_RUPEE)
        per_unit = notional * SPAN_BASIS_POINTS // 10_000
        rest = leg.quantity
        for hedge, uncovered in longs:
            if hedge.kind != leg.kind or not uncovered[0]:
                continue
            covered = min(rest, uncovered[0])
            uncovered[0] -= covered
            rest -= covered
            span += covered * min(per_unit, abs(hedge.strike - leg.strike) * PAISE_PER_RUPEE)
        span += rest * per_unit
        extra = EXPIRY_DAY_BASIS_POINTS if leg.expiry == date else 0
        exposure += leg.quantity * notional * (EXPOSURE_BASIS_POINTS + extra) // 10_000
    return Need(span, exposure, premium)
