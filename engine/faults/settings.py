"""The parameters of a simulated day: loose enough that trades happen, with limits that are reached."""

import datetime as dt
from decimal import Decimal
from random import Random

from engine.params import SwingBreakParams, load_params

OPEN_MINUTE = 555  # of the day, IST: 09:15

_BASE: list[SwingBreakParams] = []


def draw_parameters(draw: Random, minutes: int) -> SwingBreakParams:
    """Parameters of a day of so many minutes."""
    if not _BASE:
        _BASE.append(load_params())
    return _BASE[0].replace(
        min_vwap_premium_percent=Decimal(-20), min_entry_price_rupees=Decimal(20),
        max_entry_price_rupees=Decimal(600), min_stop_percent=Decimal(0), max_stop_percent=Decimal(30),
        stop_buffer_rupees=draw.choice([Decimal("0.05"), Decimal(1)]),
        target_stop_points_rupees=draw.choice([Decimal(3), Decimal(10)]), round_strike_rupees=None,
        entry_limit_buffer_rupees=draw.choice([Decimal("0.5"), Decimal(3)]),
        stop_limit_buffer_rupees=draw.choice([Decimal("0.5"), Decimal(3)]),
        stop_unfilled_seconds=draw.choice([2, 5, 10]), max_positions=draw.choice([None, 2, 5]),
        max_ce_positions=draw.choice([None, 1, 2]), max_pe_positions=draw.choice([None, 1, 3]),
        daily_target_r=draw.choice([None, Decimal(1), Decimal(5)]),
        daily_stop_r=draw.choice([None, Decimal(1), Decimal(5)]), r_value_rupees=draw.choice([6500, 20000]),
        max_lots=draw.choice([1, 6, 10]), entry_start_time=dt.time(9, 15),
        entry_end_time=_at(minutes - 5), forced_exit_time=_at(minutes - 3),
    )  # fmt: skip


def _at(minute: int) -> dt.time:
    return dt.time((OPEN_MINUTE + minute) // 60, (OPEN_MINUTE + minute) % 60)
