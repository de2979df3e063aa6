"""Minutes close: in order, each told once, those that were not watched wholly filled up from candles first.

A minute without its bars is worse than one that comes late: it waits for its candles, and every later one behind it,
as long as that is of use. Nothing is sent for a minute that was filled up. Fault 24 of the reference `reliability`.
"""

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.history.bars import BAR
from engine.live.brokers.base import BrokerError
from engine.live.decisions.session_inputs import BarsClosed
from engine.live.decisions.session_state import MINUTE_NS
from engine.market.clock import from_ns

if TYPE_CHECKING:
    from engine.live.day.live_day import LiveDay

Records = npt.NDArray[np.void]
CANDLES_WAIT_NS = 300_000_000_000
"""So long after its end a minute waits for candles that do not come; then what was watched of it must do."""
AGAIN_NS = 10_000_000_000


class MinuteClosing:
    """
    Closes the minutes of one day.

    Parameters
    ----------
    day : LiveDay
        Its trader is there.
    """

    def __init__(self, day: "LiveDay") -> None:
        self._day = day
        self._turn = asyncio.Lock()
        self._again_ns = 0
        self._told_failure = ""

    async def close_until(self, now_ns: int, *, patient: bool) -> None:
        """
        Close what is due.

        Parameters
        ----------
        now_ns : int
            Of the day, ns UTC.
        patient : bool
            Whether minutes may wait for their candles; a played day does not wait.
        """
        async with self._turn:
            while due := self._day.minutes.due(now_ns):
                if not await self._close_first(due, now_ns, patient=patient):
                    return

    async def _close_first(self, due: tuple[int, ...], now_ns: int, *, patient: bool) -> bool:
        minutes = self._day.minutes
        first = due[0]
        if not minutes.needs_candles(first):
            self._tell(minutes.close(first))
            return True
        missing = [first]
        while missing[-1] < due[-1] and minutes.needs_candles(missing[-1] + 1):
            missing.append(missing[-1] + 1)
        waits = patient and now_ns - self._end_of(first) < CANDLES_WAIT_NS
        if waits and self._day.clock.monotonic_ns() < self._again_ns:
            return False
        try:
            bars = await self._day.backfill.bars(self._day.day.contracts, missing[0], missing[-1])
        except BrokerError as error:
            if waits:
                self._again_ns = self._day.clock.monotonic_ns() + AGAIN_NS
                return False
            self._day.notice(
                "error",
                f"{self._clocks([first])} was not watched wholly and has no candles ({error}); told as it was seen",
            )
            self._tell(minutes.close(first))
            return True
        self._day.notice(
            "info",
            f"{self._clocks(missing)} filled up from candles; nothing is sent for it",
        )
        for minute in missing:
            self._tell(minutes.fill(minute, bars[bars["minute"] == minute]))
        return True

    def _tell(self, closed: BarsClosed) -> None:
        day = self._day
        day.record_bars(_rows(closed))
        day.trader.tell(closed)
        day.minutes.write()
        day.status.minute = closed.minute
        if day.bar_log.failure != self._told_failure:
            self._told_failure = day.bar_log.failure
            day.notice("warning", self._told_failure)

    def _end_of(self, minute: int) -> int:
        return self._day.open_ns + (minute + 1) * MINUTE_NS

    def _clocks(self, minutes: list[int]) -> str:
        """Minutes in words, HH:MM IST."""
        first, last = (
            f"{from_ns(self._end_of(each) - MINUTE_NS):%H:%M}" for each in (minutes[0], minutes[-1])
        )
        return f"minute {first}" if first == last else f"time from {first} to {last}"


def _rows(closed: BarsClosed) -> Records:
    rows = np.zeros(len(closed.bars), BAR)
    for place, bar in enumerate(closed.bars):
        row = rows[place]
        row["instrument"], row["minute"] = bar.contract, closed.minute
        row["open"], row["high"], row["low"], row["close"] = bar.open, bar.high, bar.low, bar.close
        row["volume"] = bar.volume
    return rows
