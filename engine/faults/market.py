"""A short made-up day of a few option contracts: wild enough to bring swings, breaks, stops, gaps and day limits."""

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from engine.live.decisions.session_inputs import Bar

STEPS = 10
"""Moments of a minute at which prices are seen."""
STEP_S = 60 // STEPS


@dataclass(frozen=True, eq=False)
class Market:
    """
    Prices of a day.

    Attributes
    ----------
    symbols : tuple of str
        CE before PE, then strike.
    strike : int32[C], rupees
    is_call : bool[C]
    minutes : int
    price : int32[C, minutes * STEPS], ticks
    volume : int32[C, minutes], units
    """

    symbols: tuple[str, ...]
    strike: npt.NDArray[np.int32]
    is_call: npt.NDArray[np.bool_]
    minutes: int
    price: npt.NDArray[np.int32]
    volume: npt.NDArray[np.int32]

    def bars(self, minute: int, without: frozenset[int] = frozenset()) -> tuple[Bar, ...]:
        """Closed bars of a minute, those of some contracts left out."""
        inside = self.price[:, minute * STEPS : (minute + 1) * STEPS]
        return tuple(
            Bar(c, int(row[0]), int(row.max()), int(row.min()), int(row[-1]), int(self.volume[c, minute]))
            for c, row in enumerate(inside)
            if c not in without
        )


def draw_market(draw: Random, lot: int) -> Market:
    """Four to six contracts over half an hour or so; prices in ticks around Rs 150."""
    contracts, minutes = draw.choice([4, 4, 6]), draw.randint(22, 32)
    rng = np.random.default_rng(draw.getrandbits(32))
    steps = minutes * STEPS
    step, jumps = draw.choice([4, 7, 10]), draw.choice([0.0, 0.01, 0.03])
    moves = rng.normal(0, step, (contracts, steps))
    leaps = rng.random((contracts, steps)) < jumps
    moves += leaps * rng.integers(-150, 151, (contracts, steps))
    half = contracts // 2
    moves[half:] -= 0.4 * moves[:half]  # a fall of the calls lifts the puts
    period = rng.uniform(4, 8, (contracts, 1)) * STEPS
    wave = np.sin((np.arange(steps) + rng.uniform(0, 80, (contracts, 1))) * (2 * np.pi) / period)
    wave *= rng.uniform(30, 120, (contracts, 1))
    drift = np.arange(steps) * rng.uniform(-1.2, 0.3, (contracts, 1))  # options lose: lows are broken
    start = 3000 + rng.integers(-300, 300, (contracts, 1))
    price = np.maximum(start + np.cumsum(moves, axis=1) + wave + drift, 200).round().astype(np.int32)
    strikes = np.array([24000 + 50 * (c % half) for c in range(contracts)], np.int32)
    is_call = np.arange(contracts) < half
    symbols = tuple(f"NIFTY26N24{strikes[c]}{'CE' if is_call[c] else 'PE'}" for c in range(contracts))
    volume = rng.integers(0, 30, (contracts, minutes)).astype(np.int32) * lot
    return Market(symbols, strikes, is_call, minutes, price, volume)
