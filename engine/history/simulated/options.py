"""Fair values of the options of one simulated day: Black-Scholes on a smile that moves with the index.

Third stage of the simulated market. Values here are what a quote is centred on; spreads, trades and ticks
are added by `quotes`. Time is trading time: a trading day counts 1/252 of a year, of which the session
takes `SESSION_SHARE` and the night before it the rest, so an option loses value all day long and fastest
on its expiry day.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.history.simulated.levels import TRADING_DAYS_PER_YEAR
from engine.history.simulated.spot import STEPS, DayPath
from engine.market.calendar import trading_days

Floats = npt.NDArray[np.float64]

SESSION_SHARE = 0.70
CARRY = 0.05
"""Growth of the forward over the index per calendar year (parity of BANKNIFTY on 2022-12-30: 4.5 %)."""

# Smile in standard deviations z = ln(strike / forward) / (implied sqrt(T)); fitted to the chain snapshots of
# 2025-08-29: implied / at-the-money = 1 + slope z + CURVE z^2.
SLOPE_NEAR, SLOPE_FAR = -0.025, -0.055
FAR_DAYS = 20.0
CURVE = 0.0445
WING = 6.0
"""The smile is flat beyond this many standard deviations."""
SHORTEST_YEARS = 0.3 / 375 / TRADING_DAYS_PER_YEAR


@dataclass(frozen=True, eq=False)
class FairValues:
    """
    Values of K calls on the path's grid, puts by parity; float64.

    Attributes
    ----------
    call, put : [K, M, S], rupees
    call_delta : [K, M, S]
        Change of the call per index point; the put's is one less.
    vega : [K, M, S], rupees
        Change of either option for a doubling of its implied volatility, to first order.
    """

    call: Floats
    put: Floats
    call_delta: Floats
    vega: Floats


def days_to_expiry(date: dt.date, expiry: dt.date) -> int:
    """Trading days after `date` up to and with `expiry`; 0 on the expiry day."""
    return len(trading_days(date, expiry)) - 1


def years_to_expiry(date: dt.date, expiry: dt.date, minutes: int) -> Floats:
    """
    Trading time left at the end of each step of a session.

    Returns
    -------
    float64[M, S], years; exactly 0 at the close of the expiry day
    """
    left = 1.0 - np.arange(1, minutes * STEPS + 1) / (minutes * STEPS)
    years = (days_to_expiry(date, expiry) + SESSION_SHARE * left) / TRADING_DAYS_PER_YEAR
    return np.asarray(years.reshape(minutes, STEPS))


def fair_values(
    path: DayPath, strikes: npt.NDArray[np.int64], date: dt.date, expiry: dt.date, skew: float
) -> FairValues:
    """
    Values of calls and puts at every step of the day.

    Parameters
    ----------
    path : DayPath
    strikes : int64[K], rupees
    date, expiry : date
    skew : float
        Departure of the smile's slope from its mean on this day.
    """
    from scipy.special import ndtr  # type: ignore[import-untyped]

    minutes = path.spot.shape[0]
    years = years_to_expiry(date, expiry, minutes)
    forward = (path.spot + path.basis) * np.exp(CARRY * (expiry - date).days / 365)
    deviation = path.implied * np.sqrt(np.maximum(years, SHORTEST_YEARS))
    far = min(1.0, days_to_expiry(date, expiry) / FAR_DAYS)
    slope = SLOPE_NEAR + far * (SLOPE_FAR - SLOPE_NEAR) + skew
    strike = strikes[:, None, None].astype(np.float64)
    z = (np.log(strike) - np.log(forward)) / deviation
    bounded = np.clip(z, -WING, WING)
    width = deviation * np.maximum(1.0 + bounded * (slope + CURVE * bounded), 0.3)
    d1 = -z * deviation / width + width / 2
    delta = ndtr(d1)
    call = forward * delta - strike * ndtr(d1 - width)
    vega = forward * np.exp(-0.5 * d1 * d1) * width * 0.3989422804014327
    settled = years <= 0.0
    if settled.any():
        # At the close of the expiry day nothing but the intrinsic value of the printed index is left.
        call[:, settled] = np.maximum(path.spot[settled] - strike[:, 0], 0.0)
        forward = np.where(settled, path.spot, forward)
        vega[:, settled] = 0.0
    return FairValues(call=call, put=call - forward + strike, call_delta=delta, vega=vega)
