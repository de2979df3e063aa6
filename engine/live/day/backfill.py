"""Closed minutes that nobody watched, asked of the feed's candles for all contracts of the day."""

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from engine.history.bars import BAR
from engine.live.brokers.base import BrokerError, Contract
from engine.live.feeds.candles import Candles

Records = npt.NDArray[np.void]
TRIES = 3
RETRY_S = 1.0


class Backfill:
    """
    Bars of a day's contracts from candles.

    Parameters
    ----------
    open_candles : function
        Makes the source, with today's login; called when first needed.
    """

    def __init__(self, open_candles: Callable[[], Candles], date: dt.date) -> None:
        self._open = open_candles
        self._date = date
        self._candles: Candles | None = None

    async def bars(self, contracts: Sequence[Contract], first: int, last: int) -> Records:
        """
        BAR[n] of minutes `first` to `last`; `instrument` is the place in `contracts`.

        Raises
        ------
        BrokerError
            If the vendor did not answer, three times.
        """
        if self._candles is None:
            self._candles = await asyncio.to_thread(self._open)  # a day that is replayed is read from disk
        candles = self._candles
        parts = []
        for place, contract in enumerate(contracts):
            rows = await self._one(candles, contract, first, last)
            made = np.zeros(rows.shape[0], BAR)
            for name in ("minute", "open", "high", "low", "close", "volume"):
                made[name] = rows[name]
            made["instrument"] = place
            parts.append(made)
        return np.concatenate(parts) if parts else np.zeros(0, BAR)

    async def close(self) -> None:
        """Release the source; the next question opens it anew, with the login of then."""
        candles, self._candles = self._candles, None
        if candles is not None:
            await candles.close()

    async def _one(self, candles: Candles, contract: Contract, first: int, last: int) -> Records:
        for attempt in range(TRIES):
            try:
                return await candles.minute_bars(contract.symbol, contract.token, self._date, first, last)
            except BrokerError:
                if attempt == TRIES - 1:
                    raise
                await asyncio.sleep(RETRY_S)
        raise AssertionError("unreachable")
