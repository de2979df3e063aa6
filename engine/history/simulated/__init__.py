"""A stochastic market for days that nobody recorded: the model behind `engine.history.simulate`.

Stages, each in its module: `levels` (day to day), `spot` (the index within a day), `options` (fair values),
`quotes` (what an exchange would print), `day` (the frame). Nothing here is tuned for the result of a
strategy; docs/simulated_market.md tells what the model is and where it differs from real files.
"""

from engine.history.simulated.day import DEFAULT_SEED, DEFAULT_STRIKES_EACH_SIDE, simulate_day

MODEL_VERSION = "1"
"""Raised with every change that alters a simulated bar; kept in each day's manifest."""

__all__ = ["DEFAULT_SEED", "DEFAULT_STRIKES_EACH_SIDE", "MODEL_VERSION", "simulate_day"]
