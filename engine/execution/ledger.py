"""Positions, trades and money: what was done, in integer ticks, units and paise.

P&L of a short is (entry - exit) x quantity, exact to the paisa. R is told twice: against the trade's own
risk and against the value of one R. Source: swing-break rules 5.5, 6.
"""

import numpy as np

from engine.compiled import njit
from engine.market.prices import PAISE_PER_TICK

# why a position was closed
OPEN = 0
STOP = 1  # its protective stop-limit filled
STOP_GAP = 2  # the stop was triggered, jumped its limit and was sent to market
DAY_STOP = 3
DAY_TARGET = 4
TIME_EXIT = 5
LIMIT_BREACH = 6  # the entry filled beyond a position limit
NO_PRICE = 7  # it never traded again that day: the trade is invalid
EXIT_REASONS = ("open", "stop", "stop_gap", "day_stop", "day_target", "time", "limit_breach", "no_price")

TRADE = np.dtype(
    [
        ("contract", np.int32),  # place in the day's contract list
        ("conf_minute", np.int32),  # minute whose close confirmed the swing low
        ("swing_index", np.int32),
        ("swing_minute", np.int32),
        ("swing_low", np.int32),  # ticks
        ("trigger", np.int32),  # ticks, of the entry order as filled
        ("limit", np.int32),  # ticks
        ("lots", np.int32),
        ("quantity", np.int32),  # units
        ("entry_minute", np.int32),
        ("entry_moment", np.int32),  # moment of the minute, see bar_path
        ("entry_price", np.int32),  # ticks
        ("planned_stop", np.int32),  # ticks, as planned with the order
        ("stop", np.int32),  # ticks, as placed at the fill
        ("exit_minute", np.int32),
        ("exit_moment", np.int32),
        ("exit_price", np.int32),  # ticks; 0 when invalid
        ("reason", np.int32),  # place in EXIT_REASONS
        ("gap_minutes", np.int32),  # minutes held without a bar of the contract: its stop could not be seen
        ("ambiguous", np.bool_),  # entry and stop in one bar that closed below the stop: worse order taken
        ("invalid", np.bool_),  # no price to close it: P&L unknown
        ("planned_risk", np.int64),  # paise, planned stop - swing low
        ("risk", np.int64),  # paise, placed stop - entry
        ("pnl", np.int64),  # paise before charges; 0 when invalid
    ],
    align=True,
)

POSITION = np.dtype(
    [
        ("trade", np.int32),  # place in the day's trades
        ("entry_price", np.int32),  # ticks
        ("quantity", np.int32),  # units, sold short
        ("mark", np.int32),  # ticks, last traded price
        ("stop", np.int32),  # ticks, trigger of the BUY stop-limit
        ("stop_limit", np.int32),  # ticks
        ("stop_live_ms", np.int64),  # from when the stop stands at the exchange; ms after the open
        ("stop_number", np.int32),  # order number of the stop
        ("stop_triggered", np.bool_),
        ("triggered_ms", np.int64),
        ("exit_reason", np.int32),  # OPEN while no exit is asked for
        ("exit_ms", np.int64),  # from when the exit order stands at the exchange
    ],
    align=True,
)


@njit(cache=True, forceinline=True)
def short_pnl(entry: int, exit_: int, quantity: int) -> int:
    """Profit in paise of a short sold at `entry` and bought back at `exit_` (ticks)."""
    return (entry - exit_) * PAISE_PER_TICK * quantity


@njit(cache=True, forceinline=True)
def short_risk(entry: int, stop: int, quantity: int) -> int:
    """Paise lost when a short from `entry` is stopped exactly at `stop` (ticks)."""
    return (stop - entry) * PAISE_PER_TICK * quantity
