"""How the practice exchange behaves, apart from the day it plays and the pace it plays it at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ExchangeSettings:
    """
    How the exchange behaves.

    Attributes
    ----------
    match : "bars" or "quotes"
    slip_ticks, slip_basis_points : int
        Slippage of fills against bars, as in a backtest's parameters.
    delay_ms : int
        Exchange time until a request takes effect.
    cash_rupees : int
    user_id : str
    square_off_minute : int or None
        Minute of the session at whose first moment the broker closes MIS positions; None = never.
    """

    match: Literal["bars", "quotes"] = "bars"
    slip_ticks: int = 0
    slip_basis_points: int = 0
    delay_ms: int = 0
    cash_rupees: int = 50_000_000
    user_id: str = "PR0001"
    square_off_minute: int | None = None
