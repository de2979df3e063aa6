"""Day-to-day levels of a simulated index: gaps, closes, volatility, implied volatility.

The first stage of the simulated market. It is a cheap recursion over trading days from a fixed anchor, so
any single day knows its open, its close and its volatility without any other day being made in detail.
The random numbers of a day are indexed by its calendar date: a holiday added to the calendar moves no
other day's draws.
"""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from math import exp, log, sqrt

import numpy as np

from engine.errors import DataError
from engine.market.calendar import session_minutes, trading_days

ANCHOR = dt.date(2021, 1, 1)
ORDINALS = 8_000
"""Calendar days for which draws exist: to the end of 2042."""
TRADING_DAYS_PER_YEAR = 252


@dataclass(frozen=True)
class Underlying:
    """
    What tells one simulated index from another.

    Attributes
    ----------
    number : int
        Part of every random seed, so that two indices are independent.
    level : float
        Index level on the anchor date, points.
    growth : float
        Slow growth per year of the level to which the index is weakly drawn (natural log).
    volatility : float
        Median standard deviation of the open-to-close log return of a day.
    implied : float
        Median at-the-money implied volatility per year of trading time.
    activity : float
        Lots a minute of an at-the-money option with `reference_days` trading days to expiry.
    reference_days : float
        See `activity`; fewer days to expiry mean more volume.
    itm_fade, otm_fade : float
        Fall of log volume per strike into and out of the money.
    """

    number: int
    level: float
    growth: float
    volatility: float
    implied: float
    activity: float
    reference_days: float
    itm_fade: float
    otm_fade: float


UNDERLYINGS = {
    "NIFTY": Underlying(1, 16_000.0, 0.09, 0.0056, 0.128, 18_000.0, 2.4, 0.50, 0.17),
    "BANKNIFTY": Underlying(2, 36_000.0, 0.10, 0.0065, 0.148, 8_000.0, 4.0, 0.62, 0.19),
}


@dataclass(frozen=True)
class DayLevel:
    """
    The frame of one day: what the path within the day has to meet.

    Attributes
    ----------
    date : date
    open, close : float
        Index points.
    volatility : float
        Standard deviation of the open-to-close log return without jumps.
    diffusion : float
        Open-to-close log return without jumps.
    jumps : tuple of float
        Log sizes of the sudden moves of the day; usually empty.
    implied_open, implied_close : float
        At-the-money implied volatility per year of trading time.
    skew : float
        Departure of the day's smile slope from its mean.
    """

    date: dt.date
    open: float
    close: float
    volatility: float
    diffusion: float
    jumps: tuple[float, ...]
    implied_open: float
    implied_close: float
    skew: float


# Log volatility of a day = slow + fast + one-day part. Spreads and memories give the real spread (0.37) and
# autocorrelation (0.50, 0.27, 0.18 at 1, 5, 20 days) of the realised volatility of 2023-2025.
SLOW_MEMORY, SLOW_SPREAD = 0.988, 0.22
FAST_MEMORY, FAST_SPREAD = 0.75, 0.20
ONE_DAY_SPREAD = 0.22
LEVERAGE = -0.30
# Implied volatility follows slow + a part of fast + a premium of its own over a floor: India VIX 2025-08 to
# 2026-08 has quantiles 9.95, 12.4, 22.7 (5, 50, 95 %) and moves by 0.058 a day (log).
IMPLIED_FLOOR, IMPLIED_STRETCH = 2 / 3, 2.5
IMPLIED_OF_FAST = 0.35
PREMIUM_MEMORY, PREMIUM_SPREAD = 0.95, 0.08
IMPLIED_OVERNIGHT = 0.5
SKEW_MEMORY, SKEW_SPREAD = 0.9, 0.012
# Gaps are Student t with 3 degrees of freedom, in units of the day's median volatility.
GAP_SCALE = 0.54
GAP_LIMIT = 0.05
# A standard normal passes 1.2816 with probability 0.10; two chances make 0.20 jumps a day.
JUMP_AT, JUMP_SCALE = 1.2816, 0.7
PULL_TO_TREND = 0.004
FULL_SESSION = 375
"""Minutes of a session with the full volatility of a day; a muhurat hour has its share of it."""


def known(underlying: str) -> Underlying:
    """
    The constants of a simulated index.

    Raises
    ------
    DataError
        If the model does not know the underlying.
    """
    try:
        return UNDERLYINGS[underlying]
    except KeyError:
        names = ", ".join(UNDERLYINGS)
        raise DataError(f"no simulated market for {underlying!r}; choose one of {names}") from None


def day_level(underlying: str, date: dt.date, seed: int) -> DayLevel:
    """
    Open, close and volatilities of one simulated day.

    Raises
    ------
    DataError
        If the underlying is unknown, the date lies before the anchor, or it is no trading day.
    """
    known(underlying)
    if not ANCHOR <= date < dt.date.fromordinal(ANCHOR.toordinal() + ORDINALS):
        raise DataError(
            f"{date} is outside the simulated market, which runs from {ANCHOR} to 2042; choose a date within"
        )
    levels = _levels(underlying, seed, date.year)
    if date not in levels:
        raise DataError(f"{date} is no trading day; a simulated day needs one (see engine.market.calendar)")
    return levels[date]


@lru_cache(maxsize=32)
def _levels(underlying: str, seed: int, year: int) -> dict[dt.date, DayLevel]:
    """All days from the anchor to the end of `year`; a longer run begins with exactly the shorter one."""
    index = known(underlying)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, index.number])))
    draws = rng.standard_normal((ORDINALS, 14)).tolist()
    levels: dict[dt.date, DayLevel] = {}
    slow = fast = premium = skew = 0.0
    last = log(index.level)
    implied_last = index.implied
    for day in trading_days(ANCHOR, dt.date(year, 12, 31)):
        age = day.toordinal() - ANCHOR.toordinal()
        z = draws[age]
        slow = SLOW_MEMORY * slow + SLOW_SPREAD * sqrt(1 - SLOW_MEMORY**2) * z[1]
        shock = LEVERAGE * z[0] + sqrt(1 - LEVERAGE**2) * z[2]
        fast = FAST_MEMORY * fast + FAST_SPREAD * sqrt(1 - FAST_MEMORY**2) * shock
        premium = PREMIUM_MEMORY * premium + PREMIUM_SPREAD * sqrt(1 - PREMIUM_MEMORY**2) * z[4]
        skew = SKEW_MEMORY * skew + SKEW_SPREAD * sqrt(1 - SKEW_MEMORY**2) * z[5]
        volatility = index.volatility * exp(slow + fast + ONE_DAY_SPREAD * z[3])
        volatility *= sqrt(min(1.0, session_minutes(day) / FULL_SESSION))
        mood = exp(IMPLIED_STRETCH * (slow + IMPLIED_OF_FAST * fast + premium))
        implied = index.implied * (IMPLIED_FLOOR + (1 - IMPLIED_FLOOR) * mood)
        student = z[6] / sqrt((z[7] ** 2 + z[8] ** 2 + z[9] ** 2) / 3)
        trend = log(index.level) + index.growth * age / 365
        gap = GAP_SCALE * index.volatility * exp(slow) * student
        gap += index.growth / TRADING_DAYS_PER_YEAR + PULL_TO_TREND * (trend - last)
        opening = last + min(max(gap, -GAP_LIMIT), GAP_LIMIT)
        diffusion = volatility * z[0]
        jumps = tuple(
            JUMP_SCALE * index.volatility * size for chance, size in (z[10:12], z[12:14]) if chance > JUMP_AT
        )
        last = opening + diffusion + sum(jumps)
        levels[day] = DayLevel(
            date=day,
            open=exp(opening),
            close=exp(last),
            volatility=volatility,
            diffusion=diffusion,
            jumps=jumps,
            implied_open=implied_last * (implied / implied_last) ** IMPLIED_OVERNIGHT,
            implied_close=implied,
            skew=skew,
        )
        implied_last = implied
    return levels
