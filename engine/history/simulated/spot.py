"""The path of a simulated index within one day, on a grid finer than a minute.

Second stage of the simulated market: `levels` says where the day opens and closes and how volatile it is,
this module says how it gets there. Inside a step the path's extremes are drawn from the exact law of a
Brownian bridge, so a minute's high and low are those of a continuous path and not of its grid points.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.history.simulated.levels import DayLevel

STEPS = 10
"""Steps of the path in a minute."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DayPath:
    """
    The driving paths of one day; M minutes, S steps a minute, all float64.

    Attributes
    ----------
    spot, high, low : [M, S], index points
        Index at the end of each step and its extremes within the step.
    seen_high, seen_low : [M, S], index points
        The extremes that trades show: trades sample the path, they do not follow it continuously.
    start : [M], index points
        Index at the start of each minute.
    implied : [M, S]
        At-the-money implied volatility per year of trading time.
    basis : [M, S], index points
        How far the price that options follow (the future's) stands off the printed index.
    shape : [M]
        Spread of returns in this minute relative to the day's mean minute (1.0).
    """

    spot: Floats
    high: Floats
    low: Floats
    seen_high: Floats
    seen_low: Floats
    start: Floats
    implied: Floats
    basis: Floats
    shape: Floats


# Mean |return| of the day's 5-minute bars, 2023-2025, as 0.75 + two decays + a small rise into the close.
OPEN_BURST, OPEN_BURST_MINUTES = 0.80, 14.0
MORNING, MORNING_MINUTES = 0.58, 65.0
CLOSE_RISE, CLOSE_RISE_MINUTES = 0.22, 60.0
# The bar of 15:00 moves 1.8 times its neighbours in the same files: 345 minutes after the open.
AFTERNOON_MINUTE, AFTERNOON_LENGTH, AFTERNOON_FACTOR = 345, 5, 1.6
# Log variance within the day: a part that lasts and a part of one minute.
LASTING_SPREAD, LASTING_HALF_LIFE = 0.95, 140.0
MINUTE_SPREAD = 0.75
JUMP_STEPS, JUMP_ROOM_STEPS = 12.0, 200
"""A jump takes its effect within a few minutes, and starts early enough to end before the close."""
# An extreme seen at n samples falls short of the path's by 0.5826 sigma sqrt(dt) (Broadie, Glasserman, Kou 1997).
UNSEEN, SAMPLES_PER_STEP = 0.5826, 4

IMPLIED_SPREAD, IMPLIED_HALF_LIFE = 0.027, 60.0
IMPLIED_TO_SPOT = -3.0
"""Change of log implied volatility per log return of the index."""
BASIS_SPREAD, BASIS_HALF_LIFE_STEPS = 0.00007, 6.0


def decaying_sum(shocks: Floats, half_life: float) -> Floats:
    """
    Each element plus all earlier ones, faded by half every `half_life` elements, along the last axis.

    Parameters
    ----------
    shocks : float64[..., N]

    Returns
    -------
    float64[..., N], unit variance in the long run for independent unit shocks
    """
    fade = 0.5 ** (1.0 / half_life)
    kernel = fade ** np.arange(min(shocks.shape[-1], int(10 * half_life) + 1))
    rows = shocks.reshape(-1, shocks.shape[-1])
    summed = np.stack([np.convolve(row, kernel)[: row.size] for row in rows])
    return np.asarray(summed.reshape(shocks.shape) * np.sqrt(1 - fade**2))


def day_shape(minutes: int) -> Floats:
    """
    Usual spread of returns per minute of a session, mean square 1.

    Parameters
    ----------
    minutes : int
        Minutes in the session.
    """
    m = np.arange(minutes) + 0.5
    shape = (
        0.75
        + OPEN_BURST * np.exp(-m / OPEN_BURST_MINUTES)
        + MORNING * np.exp(-m / MORNING_MINUTES)
        + CLOSE_RISE * np.exp(-(minutes - m) / CLOSE_RISE_MINUTES)
    )
    shape[AFTERNOON_MINUTE : AFTERNOON_MINUTE + AFTERNOON_LENGTH] *= AFTERNOON_FACTOR
    return np.asarray(shape / np.sqrt(np.mean(shape**2)))


def day_path(level: DayLevel, minutes: int, rng: np.random.Generator) -> DayPath:
    """
    One day of the index and of the quantities all its options share.

    Parameters
    ----------
    level : DayLevel
        Open, close and volatilities the path has to meet.
    minutes : int
        M, minutes in the session.
    rng : Generator
        Source of every draw; the number of draws depends on M alone.
    """
    steps = minutes * STEPS
    log_variance = LASTING_SPREAD * decaying_sum(rng.standard_normal(minutes), LASTING_HALF_LIFE)
    log_variance += MINUTE_SPREAD * rng.standard_normal(minutes)
    weight = day_shape(minutes) ** 2 * np.exp(log_variance)
    weight /= weight.sum()
    spread = np.repeat(level.volatility * np.sqrt(weight / STEPS), STEPS)
    clock = np.cumsum(np.repeat(weight / STEPS, STEPS))
    walk = np.cumsum(spread * rng.standard_normal(steps))
    # Given the day's variance, a walk pinned to an independently drawn end has the law of a free walk.
    walk += (level.diffusion - walk[-1]) * clock
    when = rng.integers(0, steps - JUMP_ROOM_STEPS, size=2)
    for at, size in zip(when, level.jumps, strict=False):
        walk[at:] += size * -np.expm1(-np.arange(1, steps - at + 1) / JUMP_STEPS)
    before = np.concatenate(([0.0], walk[:-1]))
    room = -2.0 * spread**2 * np.log(rng.random((2, steps)))
    mean, gap = (before + walk) / 2, (before - walk) ** 2
    high = mean + np.sqrt(gap + room[0]) / 2
    low = mean - np.sqrt(gap + room[1]) / 2

    unseen = UNSEEN * spread / np.sqrt(SAMPLES_PER_STEP)
    seen_high = np.maximum(high - unseen, np.maximum(before, walk))
    seen_low = np.minimum(low + unseen, np.minimum(before, walk))

    wobble = decaying_sum(np.sqrt(weight * minutes) * rng.standard_normal(minutes), IMPLIED_HALF_LIFE)
    ends = np.arange(0, steps + 1, STEPS)
    drift = np.interp(np.arange(1, steps + 1), ends, np.r_[0.0, IMPLIED_SPREAD * wobble])
    log_implied = drift + IMPLIED_TO_SPOT * walk
    end = np.log(level.implied_close / level.implied_open)
    log_implied += (end - log_implied[-1]) * np.arange(1, steps + 1) / steps
    basis = BASIS_SPREAD * level.open * decaying_sum(rng.standard_normal(steps), BASIS_HALF_LIFE_STEPS)

    grid = (minutes, STEPS)
    return DayPath(
        spot=(level.open * np.exp(walk)).reshape(grid),
        high=(level.open * np.exp(high)).reshape(grid),
        low=(level.open * np.exp(low)).reshape(grid),
        seen_high=(level.open * np.exp(seen_high)).reshape(grid),
        seen_low=(level.open * np.exp(seen_low)).reshape(grid),
        start=level.open * np.exp(before[::STEPS]),
        implied=(level.implied_open * np.exp(log_implied)).reshape(grid),
        basis=basis.reshape(grid),
        shape=np.sqrt(weight * minutes),
    )
