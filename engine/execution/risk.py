"""Limits and the day latch: who may open, and when the day is over.

The same functions guard the placing of an order and, again, its fill. Money limits are in paise: the daily
limits in R times the value of one R. Source: swing-break rules 6.
"""

from typing import NamedTuple

from engine.compiled import njit
from engine.market.prices import PAISE_PER_RUPEE
from engine.params import SwingBreakParams

UNLIMITED = 2**31

CE = 0
PE = 1


class Limits(NamedTuple):
    """Risk rails of a run; `UNLIMITED` where a rail was loosened explicitly."""

    positions: int
    ce_positions: int
    pe_positions: int
    target: int  # paise of day profit that end the day
    stop: int  # paise of day loss that end the day


def limits_for(params: SwingBreakParams) -> Limits:
    """Rails of one parameter set."""
    r_paise = params.r_value_rupees * PAISE_PER_RUPEE

    def paise(multiple: object) -> int:
        return 2**62 if multiple is None else int(r_paise * multiple)  # type: ignore[operator]

    return Limits(
        positions=params.max_positions or UNLIMITED,
        ce_positions=params.max_ce_positions or UNLIMITED,
        pe_positions=params.max_pe_positions or UNLIMITED,
        target=paise(params.daily_target_r),
        stop=paise(params.daily_stop_r),
    )


@njit(cache=True, forceinline=True)
def may_open(kind: int, ce: int, pe: int, limits: Limits) -> bool:
    """
    Whether one more position of `kind` (CE or PE) fits beside `ce` and `pe` others.

    Others are open positions and, at placement, the entry orders that hold a reservation.
    """
    if ce + pe >= limits.positions:
        return False
    return ce < limits.ce_positions if kind == CE else pe < limits.pe_positions


@njit(cache=True, forceinline=True)
def loss_reached(day_paise: int, limits: Limits) -> bool:
    """Day loss limit; judged at every moment, with every open position marked at that moment's price."""
    return day_paise <= -limits.stop


@njit(cache=True, forceinline=True)
def target_reached(day_paise: int, limits: Limits) -> bool:
    """
    Day profit target; judged at closes only.

    The lows of several contracts inside one bar need not have stood together; the closes did.
    """
    return day_paise >= limits.target
