"""Session VWAP as an exact fraction: the one place that says how a bar enters it.

VWAP after a bar = sum of (high + low + close) x volume / (3 x sum of volume) over the session's bars so far, the
bar itself included; the bar's own (high + low + close) / 3 while nothing was traded. Kept as integers, so that
"4.00 % above" is decided by multiplication. Source: swing-break rules 2.5.
"""

import numpy as np
import numpy.typing as npt

from engine.compiled import int64, njit

_Ints = npt.NDArray[np.int32]


@njit(cache=True, forceinline=True)
def add_bar(
    weighted: int, traded: int, high: int, low: int, close: int, volume: int
) -> tuple[int, int, int, int]:
    """
    Take one bar into the session's sums.

    Parameters
    ----------
    weighted, traded : int
        Sums before the bar: (high + low + close) x volume, and volume (units).
    high, low, close : int, ticks
    volume : int, units

    Returns
    -------
    weighted, traded : int
        Sums after it.
    numerator, denominator : int
        VWAP in ticks is their quotient; the denominator is positive.
    """
    three = int64(high) + int64(low) + int64(close)
    weighted += three * int64(volume)
    traded += int64(volume)
    if traded > 0:
        return weighted, traded, weighted, 3 * traded
    return weighted, traded, three, int64(3)


@njit(cache=True)
def session_vwap(
    high: _Ints, low: _Ints, close: _Ints, volume: _Ints, valid: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """
    Session VWAP of dense bars.

    A minute without a bar keeps the last bar's value.

    Parameters
    ----------
    high, low, close : int32[C, M], ticks
    volume : int32[C, M], units
    valid : bool[C, M]

    Returns
    -------
    numerator, denominator : int64[C, M]
        VWAP in ticks = numerator / denominator; the denominator is 0 before the first bar.
    """
    contracts, minutes = close.shape
    numerator = np.zeros((contracts, minutes), np.int64)
    denominator = np.zeros((contracts, minutes), np.int64)
    for contract in range(contracts):
        weighted, traded = int64(0), int64(0)
        above, below = int64(0), int64(0)
        for minute in range(minutes):
            if valid[contract, minute]:
                weighted, traded, above, below = add_bar(
                    weighted,
                    traded,
                    high[contract, minute],
                    low[contract, minute],
                    close[contract, minute],
                    volume[contract, minute],
                )
            numerator[contract, minute] = above
            denominator[contract, minute] = below
    return numerator, denominator
