"""The indices behind the options: how the broker names them.

Source: Kite Connect, instruments dump (segment INDICES); the tokens of indices do not change.
"""

from typing import NamedTuple

from engine.errors import MarketFactError


class IndexName(NamedTuple):
    """Symbol and feed token of an index at Kite."""

    symbol: str
    token: int


INDICES = {"NIFTY": IndexName("NIFTY 50", 256265), "BANKNIFTY": IndexName("NIFTY BANK", 260105)}


def index_of(underlying: str) -> IndexName:
    """
    The index of an underlying.

    Raises
    ------
    MarketFactError
        If there is none in the table.
    """
    if underlying not in INDICES:
        raise MarketFactError(f"{underlying} has no index in the table; known are {', '.join(INDICES)}")
    return INDICES[underlying]
