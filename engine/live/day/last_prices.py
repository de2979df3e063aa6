"""The last prices of a day's contracts, as quotes for the session and as a reference for orders.

What is late, worthless or of a time that cannot be is left out. One compiled call for a frame of ticks.
"""

import numpy as np
import numpy.typing as npt

from engine.history.price_step import BUCKET, BUCKET_NS, BUCKETS, LATEST, SIFTED, sift_ticks
from engine.live.decisions.session_inputs import Quotes
from engine.live.decisions.session_state import MINUTE_NS

Records = npt.NDArray[np.void]


class LastPrices:
    """
    Last prices of one day.

    Parameters
    ----------
    contracts : int
    open_ns : int
        Of the session, ns UTC.

    Attributes
    ----------
    newest_ns : int
        The exchange's time of the newest tick, ns UTC; 0 before the first.
    ahead : int
        Ticks whose time could not be yet.
    """

    def __init__(self, contracts: int, open_ns: int) -> None:
        self.newest_ns = self.ahead = 0
        self._open_ns = open_ns
        self._latest = np.zeros(contracts, LATEST)
        self._buckets = np.zeros((BUCKETS, contracts), BUCKET)
        self._is_news = np.zeros(0, np.bool_)
        self._sifted = np.zeros(1, SIFTED)

    def push(self, ticks: Records, latest_ns: int) -> tuple[Quotes, ...]:
        """
        Take ticks in the order they came.

        Parameters
        ----------
        ticks : TICK[n]
            A time of the exchange after `latest_ns` is made 0 in it: unknown, the time of receipt counts.
        latest_ns : int
            A time after this one is none, UTC: taken for the time, it would move or stop this day's clock.

        Returns
        -------
        tuple of Quotes
            One for each minute that they belong to, ascending.
        """
        if self._is_news.shape[0] < ticks.shape[0]:
            self._is_news = np.zeros(ticks.shape[0], np.bool_)
        sift_ticks(ticks, self._latest, self._buckets, self._is_news, self._sifted, self._open_ns, latest_ns)
        kept, newest_ns, first, last, ahead = self._sifted[0].item()
        self.ahead += ahead
        if not kept:
            return ()
        self.newest_ns = max(self.newest_ns, newest_ns)
        if kept < ticks.shape[0]:
            ticks = ticks[self._is_news[: ticks.shape[0]]]
        if first == last:
            return (Quotes(newest_ns, ticks),)
        ns = np.where(ticks["exchange_ns"] > 0, ticks["exchange_ns"], ticks["receive_ns"])
        minute = (ns - self._open_ns) // MINUTE_NS
        return tuple(
            Quotes(int(ns[minute == each].max()), ticks[minute == each]) for each in np.unique(minute)
        )

    def reference(self, contract: int, now_ns: int) -> int | None:
        """Mean price traded in the last 30 s, ticks; else the last price; None before the first."""
        its = self._buckets[:, contract]
        recent = its[its["number"] > now_ns // BUCKET_NS - BUCKETS]
        count = int(recent["count"].sum())
        if count:
            return int(recent["sum"].sum()) // count
        return int(self._latest["price"][contract]) or None
