"""The gap before a process: minutes of the day that closed while nobody watched, filled with candles before it decides.

Where stops may be missing they come first, and the minutes wait for their candles (`minute_closing`). The minute in
progress is marked as lost where its beginning was missed.
"""

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.live.brokers.base import BrokerError
from engine.live.day.minute_closing import AGAIN_NS
from engine.live.decisions.session_state import MINUTE_NS
from engine.live.orders.prechecks import may_be_naked

if TYPE_CHECKING:
    from engine.live.day.live_day import LiveDay

Records = npt.NDArray[np.void]
RETRY_S = 1.0


def from_open(day: "LiveDay", now: int) -> bool:
    """Whether the day is watched from its first tick on."""
    if not day.paced:
        return now < day.open_ns
    clock = day.last_clock
    return clock is not None and (clock.minute, clock.moment) == (0, 0)


async def fill_gap(day: "LiveDay", now: int) -> None:
    """Minutes that closed while nobody watched, and the one in progress if its beginning was missed."""
    if day.minutes.closed < 0 and from_open(day, now):
        return
    past, clock = day.link.past_from_ns, day.last_clock
    missing = day.minutes.due(now, grace_ns=0)
    if missing and clock is not None and clock.closes and clock.minute == missing[-1]:
        begun = day.open_ns + missing[-1] * MINUTE_NS
        if past is not None and 0 < past <= begun:  # told again, and its end is still to be answered
            missing = missing[:-1]
    if missing:
        urgent = not day.paced and may_be_naked(day.store.state)  # stops first: the minutes wait for theirs
        bars = None if urgent else await _missing_bars(day, missing[0], missing[-1])
        if bars is not None:
            for minute in missing:
                day.minutes.fill(minute, bars[bars["minute"] == minute])
        now = day.clock.wall_ns()
    day.minutes.resume()
    begun = day.open_ns + (day.minutes.closed + 1) * MINUTE_NS
    if now > begun and (past is None or not 0 < past <= begun):
        day.minutes.lost(begun, now)


async def _missing_bars(day: "LiveDay", first: int, last: int) -> Records | None:
    """Candles of some minutes; None if none come: then the minutes wait for them, and nothing is decided."""
    began = day.clock.monotonic_ns()
    while True:
        try:
            return await day.backfill.bars(day.day.contracts, first, last)
        except BrokerError as error:
            if day.clock.monotonic_ns() - began > AGAIN_NS:
                day.notice("error", f"no candles of minutes {first} to {last} yet ({error})")
                return None
            await day.backfill.close()  # its login may be old
            await asyncio.sleep(RETRY_S)
