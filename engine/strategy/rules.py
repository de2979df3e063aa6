"""Parameters as the integers that compiled code compares: ticks, paise, basis points.

The one translation from `SwingBreakParams` to what the decision kernels read. Percentages become basis
points, so that "exactly 10.00 %" is decided by integer multiplication and never by a float.
"""

from typing import NamedTuple

from engine.market.prices import PAISE_PER_RUPEE, to_ticks
from engine.params import SwingBreakParams
from engine.strategy.swing import SwingRule

BASIS_POINTS = 10_000


class Rules(NamedTuple):
    """Decision rules of the swing-break strategy for contracts of one lot size."""

    swing: SwingRule
    updated_vwap: bool  # an updated swing takes the VWAP of its new extreme
    remove_failed: bool  # a new low that fails the VWAP rule also removes the one before
    min_price: int  # ticks, inclusive
    max_price: int  # ticks, inclusive
    vwap_premium: int  # basis points over session VWAP, inclusive
    min_stop: int  # basis points of the swing low, inclusive
    max_stop: int  # basis points of the swing low, inclusive
    stop_buffer: int  # ticks above the highest high
    target_distance: int  # ticks; the preferred stop distance
    round_strike: int  # rupees; 0 = no preference
    r_value: int  # paise
    max_lots: int
    lot_size: int  # units
    trigger_offset: int  # ticks below the swing low
    entry_buffer: int  # ticks from entry trigger down to its limit
    stop_limit_buffer: int  # ticks from stop trigger up to its limit


def rules_for(params: SwingBreakParams, lot_size: int) -> Rules:
    """Rules of one parameter set for contracts of `lot_size` units."""
    return Rules(
        swing=SwingRule(params.swing_variant == "eq2", params.same_bar_rule == "alternation_first"),
        updated_vwap=params.updated_swing_vwap == "updated",
        remove_failed=params.failed_vwap_low == "remove_previous",
        min_price=to_ticks(params.min_entry_price_rupees),
        max_price=to_ticks(params.max_entry_price_rupees),
        vwap_premium=int(params.min_vwap_premium_percent * 100),
        min_stop=int(params.min_stop_percent * 100),
        max_stop=int(params.max_stop_percent * 100),
        stop_buffer=to_ticks(params.stop_buffer_rupees),
        target_distance=to_ticks(params.target_stop_points_rupees),
        round_strike=params.round_strike_rupees or 0,
        r_value=int(params.r_value_rupees * PAISE_PER_RUPEE),
        max_lots=params.max_lots,
        lot_size=lot_size,
        trigger_offset=to_ticks(params.entry_trigger_below_low_rupees),
        entry_buffer=to_ticks(params.entry_limit_buffer_rupees),
        stop_limit_buffer=to_ticks(params.stop_limit_buffer_rupees),
    )
