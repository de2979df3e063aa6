"""Money of a live day from its own fills: exact to the paisa, in integers, charges as the contract note will bill them.

Pure. What is open is valued at the prices given; where one is missing the sum is unknown (None), never zero.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.live.log.money import billed_charges
from engine.live.log.state import Fill, Position


@dataclass(frozen=True)
class Money:
    """
    One day's money in paise.

    Attributes
    ----------
    gross : int or None
        Realised and open profit before charges; None where an open position has no price.
    realised : int
        Of the closed positions alone.
    charges : int
        Of what has been filled so far, as billed.
    net : int or None
    r, net_r : Decimal or None
        Gross and net over the value of one R; None where either is unknown.
    """

    gross: int | None
    realised: int
    charges: int
    net: int | None
    r: Decimal | None
    net_r: Decimal | None


def day_money(
    date: dt.date,
    positions: Iterable[Position],
    fills: Sequence[Fill],
    marks: Mapping[str, int],
    r_paise: int | None,
) -> Money:
    """
    What a day stands at.

    Parameters
    ----------
    positions : of that day, open and closed
    fills : theirs
    marks : last traded price by symbol, ticks
    r_paise : value of one R; None where it is not known
    """
    gross: int | None = 0
    realised = 0
    for position in positions:
        realised += position.realised
        mark = marks.get(position.symbol, 0) if position.net else 1
        gross = None if gross is None or not mark else gross + position.pnl(mark)
    charges = billed_charges(date, fills)
    net = None if gross is None else gross - charges
    return Money(gross, realised, charges, net, in_r(gross, r_paise), in_r(net, r_paise))


def in_r(paise: int | None, r_paise: int | None) -> Decimal | None:
    """An amount over the value of one R, two decimals; None where either is unknown."""
    if paise is None or not r_paise:
        return None
    return (Decimal(paise) / r_paise).quantize(Decimal("0.01")) + 0  # -0.00 is 0.00
