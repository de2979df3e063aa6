"""Random parameter sets and days that make trades, limits and odd endings frequent."""

import random
from decimal import Decimal

from engine.params import load_params
from oracle.market import random_market

CHOICES = {
    "min_entry_price_rupees": (100, 50, 20),
    "max_entry_price_rupees": (300, 300, 180),
    "min_vwap_premium_percent": (
        Decimal(-20),
        Decimal(-20),
        Decimal(-10),
        Decimal(-2),
        Decimal(0),
        Decimal(1),
    ),
    "min_stop_percent": (Decimal(0), Decimal("0.5"), Decimal(1), Decimal(2)),
    "max_stop_percent": (Decimal(4), Decimal(10), Decimal(30), Decimal(30)),
    "stop_buffer_rupees": (Decimal("0.05"), Decimal("0.50"), Decimal(1)),
    "target_stop_points_rupees": (Decimal(10), Decimal(5), Decimal(3)),
    "round_strike_rupees": (None, 100),
    "swing_variant": ("ge2", "eq2"),
    "same_bar_rule": ("first_vote", "alternation_first"),
    "updated_swing_vwap": ("frozen", "updated"),
    "failed_vwap_low": ("keep_previous", "remove_previous"),
    "entry_trigger_below_low_rupees": (Decimal("0.05"), Decimal("0.05"), Decimal("0.50")),
    "entry_limit_buffer_rupees": (Decimal(0), Decimal("0.50"), Decimal(3)),
    "stop_limit_buffer_rupees": (Decimal(0), Decimal("0.50"), Decimal(3)),
    "bar_path": ("worst", "high_first", "nearest_first"),
    "slippage_rupees": (Decimal(0), Decimal("0.10"), Decimal("0.50")),
    "slippage_percent": (Decimal(0), Decimal("0.25")),
    "stop_unfilled_seconds": (0, 5, 30, 120),
    "max_positions": (None, 1, 2, 5),
    "max_ce_positions": (None, 1, 2),
    "max_pe_positions": (None, 1, 3),
    "daily_target_r": (None, Decimal("0.3"), Decimal(1), Decimal(5)),
    "daily_stop_r": (None, Decimal("0.3"), Decimal(1), Decimal(5)),
    "r_value_rupees": (6500, 2000, 20000),
    "max_lots": (1, 3, 10),
    "entry_start_time": ("09:15", "09:30"),
}
ENDS = (
    ("10:00", "10:25"),
    ("10:20", "10:35"),
    ("15:15", "15:15"),
    ("10:25", "10:25"),
    ("10:20", "15:15"),
)


def parameters(seed, **fixed):
    """A random parameter set; `fixed` values are not drawn."""
    chance = random.Random(seed)
    drawn = {name: chance.choice(values) for name, values in CHOICES.items()}
    drawn["entry_end_time"], drawn["forced_exit_time"] = chance.choice(ENDS)
    return load_params().replace(**{**drawn, **fixed})


def market(seed):
    """A random small day: 4 to 8 contracts, 40 to 120 minutes."""
    chance = random.Random(seed)
    return random_market(
        seed,
        contracts=chance.randint(4, 8),
        minutes=chance.randint(40, 120),
        step=chance.choice([5, 15, 30]),
        grid=chance.choice([1, 5, 20]),
        gap_rate=chance.choice([0, 0.05, 0.3]),
        jump_rate=chance.choice([0, 0.05, 0.2]),
        jump=chance.choice([40, 120, 300]),
    )
