"""Prices as integer ticks, money as integer paise: the one place that converts to and from rupees.

One tick is Rs 0.05, i.e. 5 paise (NSE index options; `reference: NSE contract specification`). Everything
below the edges works on these integers, so a comparison such as "exactly 10.00 %" is exact.
"""

from decimal import Decimal, InvalidOperation

import numpy as np
import numpy.typing as npt

from engine.errors import DataError

PAISE_PER_TICK = 5
PAISE_PER_RUPEE = 100
TICKS_PER_RUPEE = PAISE_PER_RUPEE // PAISE_PER_TICK
TICK_RUPEES = Decimal("0.05")


def to_ticks(rupees: Decimal | str | float) -> int:
    """
    A price in rupees as integer ticks.

    Floats are read by their shortest decimal text, so 115.1 is 115.10 and not its binary neighbour.

    Raises
    ------
    DataError
        If the price is not a whole number of ticks or not a number.
    """
    try:
        ticks = Decimal(str(rupees)) / TICK_RUPEES
    except InvalidOperation as error:
        raise DataError(f"price {rupees!r} is not a number; give rupees such as 115.10") from error
    if not ticks.is_finite() or ticks != ticks.to_integral_value():
        raise DataError(f"price Rs {rupees} is off the tick grid of Rs {TICK_RUPEES}; round it to a tick")
    return int(ticks)


def to_rupees(ticks: int) -> Decimal:
    """A price in ticks as exact rupees with two decimals."""
    return (Decimal(int(ticks)) * TICK_RUPEES).quantize(Decimal("0.01"))


def paise_to_rupees(paise: int) -> Decimal:
    """An amount in paise as exact rupees with two decimals."""
    return (Decimal(int(paise)) / PAISE_PER_RUPEE).quantize(Decimal("0.01"))


def ticks_from_array(rupees: npt.ArrayLike) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """
    Prices in rupees as ticks, with a mask of those that lie on the tick grid.

    Parameters
    ----------
    rupees : float array, any shape
        NaN where missing.

    Returns
    -------
    ticks : int32 array, same shape
        Nearest tick; 0 where missing.
    on_grid : bool array, same shape
        True where the price is finite and within 1e-6 rupees of a tick.
    """
    values = np.asarray(rupees, dtype=np.float64)
    finite = np.isfinite(values)
    safe = np.where(finite, values, 0.0)
    ticks = np.rint(safe * TICKS_PER_RUPEE)
    on_grid = finite & (np.abs(ticks / TICKS_PER_RUPEE - safe) < 1e-6) & (np.abs(ticks) < 2**31)
    return np.where(on_grid, ticks, 0).astype(np.int32), on_grid
