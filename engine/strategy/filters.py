"""The built-in filters and the ranking, each one small compiled function on integers.

Stage 1 judges a swing low once, when it is confirmed; stage 2 judges it again at every closed bar, because
the stop moves with the highest high. Source: swing-break rules 4.1, 4.2, 4.4, with exact arithmetic (4.6).
"""

from engine.compiled import njit
from engine.market.prices import PAISE_PER_TICK
from engine.strategy.rules import BASIS_POINTS, Rules

NO_RANK = 2**62
"""Rank of a candidate that may not be chosen."""

_DISTANCE_CAP = 2**20 - 1
_PRICE_CAP = 2**21 - 1
_ORDER_BITS = 12


@njit(cache=True, forceinline=True)
def in_price_range(low: int, rules: Rules) -> bool:
    """Swing low (ticks) within the entry prices, both inclusive."""
    return rules.min_price <= low <= rules.max_price


@njit(cache=True, forceinline=True)
def has_vwap_premium(low: int, numerator: int, denominator: int, rules: Rules) -> bool:
    """
    Swing low at least the premium above session VWAP.

    Parameters
    ----------
    low : int, ticks
    numerator, denominator : int
        VWAP in ticks is their quotient, see `engine.history.vwap`.
    """
    return low * denominator * BASIS_POINTS >= numerator * (BASIS_POINTS + rules.vwap_premium)


@njit(cache=True, forceinline=True)
def stop_distance_allowed(low: int, distance: int, rules: Rules) -> bool:
    """Distance from swing low to stop (both ticks) within the percentages of the low, both inclusive."""
    scaled = distance * BASIS_POINTS
    return rules.min_stop * low <= scaled <= rules.max_stop * low


@njit(cache=True, forceinline=True)
def affordable_lots(distance: int, rules: Rules) -> int:
    """Lots that risk at most one R at this stop distance (ticks), capped; 0 = the candidate is refused."""
    if distance < 1:
        return 0
    return min(rules.r_value // (distance * PAISE_PER_TICK * rules.lot_size), rules.max_lots)


@njit(cache=True, forceinline=True)
def rank(low: int, distance: int, strike: int, order: int, rules: Rules) -> int:
    """
    One integer that orders candidates; the smallest is best.

    Nearest to the target distance, then a round strike, then the higher premium, then the lower strike and
    the symbol (`order`, the contract's place in the day, which is sorted by both).
    """
    off_target = min(abs(distance - rules.target_distance), _DISTANCE_CAP)
    not_round = 1 if rules.round_strike > 0 and strike % rules.round_strike != 0 else 0
    cheapness = _PRICE_CAP - min(low, _PRICE_CAP)
    return ((off_target * 2 + not_round) * (_PRICE_CAP + 1) + cheapness) * 2**_ORDER_BITS + order
